"""One login at the broker in two accounts: the second has no session, whichever way its token came."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from app.config import Settings
from simulator.server import running_simulator
from simulator.settings import SimulatorSettings
from tests.faults.rewriting_proxy import RewritingProxy, rewriting_proxy
from tests.integration.conftest import RunningService, running_service
from tests.waiting import until

ROSTER = """accounts:
- {account_id: primary, api_key: simkey, api_secret: simsecret, access_token: simtoken}
- {account_id: second, api_key: simkey2, api_secret: simsecret2%s}
"""
ORDER = {"exchange": "NSE", "tradingsymbol": "INFY", "transaction_type": "BUY", "quantity": 1, "product": "CNC",
         "order_type": "LIMIT", "price": 1400, "account_id": "second"}  # fmt: skip


@asynccontextmanager
async def two_accounts(
    settings: Settings, tmp_path: Path, *, token: str = ""
) -> AsyncIterator[tuple[RunningService, RewritingProxy]]:
    """A service whose second account is the first one's user at the broker."""
    roster = tmp_path / "accounts.yaml"
    roster.write_text(ROSTER % token)
    async with (
        running_simulator(SimulatorSettings(port=0, ticks_per_second=0, accounts=2)) as simulator,
        rewriting_proxy(simulator.url) as proxy,
    ):

        def one_user(_method: str, path: str, body: bytes) -> bytes:
            if path not in ("/user/profile", "/session/token"):
                return body
            answer = json.loads(body)
            answer["data"]["user_id"] = "SIM001"
            return json.dumps(answer).encode()

        proxy.rewrite = one_user
        changes = {
            "accounts_file": roster,
            "kite_rest_url": proxy.url,
            "kite_ws_url": simulator.url.replace("http", "ws"),
        }
        async with running_service(settings.model_copy(update=changes)) as service:
            yield service, proxy


async def has_session(service: RunningService, account_id: str) -> bool:
    return bool((await service.client.get(f"/accounts/{account_id}")).json()["has_session"])


async def test_a_login_of_another_accounts_user_is_refused(settings: Settings, tmp_path: Path) -> None:
    """With a clear error and an alarm; the first account goes on, the second has no session."""
    async with two_accounts(settings, tmp_path) as (service, _):
        await until(lambda: has_session(service, "primary"))
        await service.client.post("/accounts/primary/session", json={"access_token": "simtoken"})
        refused = await service.client.post("/accounts/second/session", json={"request_token": "simreqtoken2"})
        assert (refused.status_code, refused.json()["code"]) == (409, "LOGIN_OF_ANOTHER_ACCOUNT")
        assert not await has_session(service, "second")
        refused = await service.client.post("/accounts/second/session", json={"access_token": "simtoken2"})
        assert (refused.status_code, refused.json()["code"]) == (409, "LOGIN_OF_ANOTHER_ACCOUNT")
        assert not await has_session(service, "second")
        assert await has_session(service, "primary")
        assert 'ticker_order_alarms_total{kind="login_shared"} 1' in (await service.client.get("/metrics")).text


async def test_a_configured_token_of_another_accounts_user_does_not_trade(settings: Settings, tmp_path: Path) -> None:
    """The broker is asked whose it is; orders of that account are held for a login of its own."""
    async with two_accounts(settings, tmp_path, token=", access_token: simtoken2") as (service, proxy):

        async def is_refused() -> bool:
            return not await has_session(service, "second")

        await until(is_refused)
        assert await has_session(service, "primary")
        held = await service.client.post("/orders?wait=1", json=ORDER)
        assert (held.json()["status"], held.json()["last_error"]["code"]) == ("held", "NO_SESSION")
        proxy.rewrite = lambda _method, _path, body: body
        own = await service.client.post("/accounts/second/session", json={"request_token": "simreqtoken2"})
        assert own.json()["user_id"] == "SIM002"
        assert await has_session(service, "second")


@pytest.mark.parametrize("order", [("primary", "second"), ("second", "primary")])
async def test_two_users_have_two_sessions(settings: Settings, tmp_path: Path, order: tuple[str, str]) -> None:
    """In whichever order they log in."""
    async with two_accounts(settings, tmp_path) as (service, proxy):
        proxy.rewrite = lambda _method, _path, body: body
        for account_id in order:
            token = "simreqtoken" if account_id == "primary" else "simreqtoken2"
            answer = await service.client.post(f"/accounts/{account_id}/session", json={"request_token": token})
            assert answer.status_code == 200
        assert [await has_session(service, account_id) for account_id in order] == [True, True]
