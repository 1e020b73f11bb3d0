"""Logging in and out over HTTP, against the simulator's session rules."""

import asyncio
import base64
import hashlib
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import psycopg
import pytest

from app.config import Settings
from simulator.server import RunningSimulator
from tests.integration.conftest import RunningService, running_service
from tests.waiting import until

SEAL = base64.b64encode(b"k" * 32).decode()


async def test_accounts_show_their_session_and_no_secret(service: RunningService) -> None:
    """State, origin and feed; neither key, nor secret, nor token."""
    answer = await service.client.get("/accounts")
    (account,) = answer.json()["data"]
    assert account["account_id"] == "primary"
    assert account["has_session"] is True
    assert account["token_origin"] == "settings"
    assert account["token_valid_until"] is None
    for secret in ("simkey", "simsecret", "simtoken"):
        assert secret not in answer.text


async def test_an_unknown_account_is_404(service: RunningService) -> None:
    """On every route that takes an account."""
    for path in ("/accounts/unknown", "/accounts/unknown/login-url", "/portfolio/margins?account_id=unknown"):
        answer = await service.client.get(path)
        assert (answer.status_code, answer.json()["code"]) == (404, "NOT_FOUND")


async def test_the_login_url_carries_the_apps_key(service: RunningService) -> None:
    """It is Kite's own page."""
    url = urlsplit((await service.client.get("/accounts/primary/login-url")).json()["login_url"])
    assert url.hostname == "kite.zerodha.com"
    assert parse_qs(url.query)["api_key"] == ["simkey"]


async def test_a_dead_token_replaces_no_session_that_works(service: RunningService) -> None:
    """The caller hears it from the broker; the account trades on."""
    assert (await service.client.get("/portfolio/margins")).status_code == 200
    dead = await service.client.post("/accounts/primary/session", json={"access_token": "wrong"})
    assert (dead.status_code, dead.json()["code"]) == (422, "BROKER_REFUSED")
    assert dead.json()["broker"]["error_type"] == "TokenException"
    account = (await service.client.get("/accounts/primary")).json()
    assert (account["has_session"], account["token_origin"]) == (True, "settings")
    assert (await service.client.get("/portfolio/margins")).status_code == 200


async def test_a_token_that_cannot_be_proven_waits_for_the_broker(
    service: RunningService, simulator: RunningSimulator
) -> None:
    """While another one works; without one, the new token is as good as any."""
    assert (await service.client.get("/portfolio/margins")).status_code == 200
    fault = {"method": "GET", "path": "/user/profile", "kind": "status", "times": -1,
             "params": {"code": 503, "error_type": "NetworkException", "message": "away"}}  # fmt: skip
    async with httpx.AsyncClient(base_url=simulator.url, trust_env=False) as sim:
        (await sim.post("/_sim/faults", json=fault)).raise_for_status()
    unproven = await service.client.post("/accounts/primary/session", json={"access_token": "simtoken"})
    assert (unproven.status_code, unproven.json()["code"]) == (502, "BROKER_UNAVAILABLE")
    assert (await service.client.get("/accounts/primary")).json()["token_origin"] == "settings"
    await _expire(simulator, expired=True)
    assert (await service.client.get("/portfolio/margins")).json()["code"] == "SESSION_EXPIRED"
    taken = await service.client.post("/accounts/primary/session", json={"access_token": "simtoken"})
    assert (taken.status_code, taken.json()["token_origin"]) == (200, "login")


async def test_a_new_token_is_in_force_at_once(service: RunningService) -> None:
    """At the next request, without a restart; it ends at six in the morning."""
    mended = await service.client.post("/accounts/primary/session", json={"access_token": "simtoken"})
    assert mended.json()["token_valid_until"].endswith("T06:00:00+05:30")
    assert mended.json()["user_id"] == "SIM001"
    assert (await service.client.get("/portfolio/margins")).status_code == 200


async def test_a_token_file_replaces_a_working_session_only_when_it_works(settings: Settings, tmp_path: Path) -> None:
    """A dead one is known to be dead without a request of a client failing; a later one that works is used."""
    async with running_service(settings.model_copy(update={"token_dir": tmp_path})) as service:
        assert (await service.client.get("/portfolio/margins")).status_code == 200
        (tmp_path / "primary").write_text("dead")
        for _ in range(25):
            account = (await service.client.get("/accounts/primary")).json()
            assert (account["has_session"], account["token_origin"]) == (True, "settings")
            assert (await service.client.get("/portfolio/margins")).status_code == 200
            await asyncio.sleep(0.1)
        (tmp_path / "primary").write_text("simtoken\n")

        async def is_used() -> bool:
            return bool((await service.client.get("/accounts/primary")).json()["token_origin"] == "file")

        await until(is_used, within_s=4, every_s=0.1)
        (tmp_path / "primary").write_text("dead again")
        assert (await service.client.get("/portfolio/margins")).status_code == 200


async def _states(service: RunningService) -> tuple[bool, str | None, str | None, str, list[str]]:
    """Session and validity by the account, validity, status and reasons by health."""
    account = (await service.client.get("/accounts/primary")).json()
    health = (await service.client.get("/health")).json()
    (feed,), (trading,) = health["ticker"]["accounts"], health["orders"]["accounts"]
    valid_until = account["token_valid_until"]
    return account["has_session"], valid_until, feed["token_valid_until"], health["status"], trading["reasons"]


@pytest.mark.parametrize("again", ["a new token comes", "a request succeeds"])
async def test_a_session_that_the_broker_has_refused_is_none(
    service: RunningService, simulator: RunningSimulator, again: str
) -> None:
    """Not for the account, not for health, until a new token comes or a request succeeds; ticks prove nothing."""
    await service.client.post("/accounts/primary/session", json={"access_token": "simtoken"})

    async def is_fine() -> bool:
        has_session, *validities, status, reasons = await _states(service)
        return has_session and all(validities) and status == "ok" and reasons == []

    await until(is_fine, within_s=15, every_s=0.1)
    await _expire(simulator, expired=True)
    assert (await service.client.get("/portfolio/margins")).json()["code"] == "SESSION_EXPIRED"
    assert (await _states(service))[:3] == (False, None, None)

    async def is_reported() -> bool:
        return (await _states(service))[3:] == ("degraded", ["no_session"])

    await until(is_reported, within_s=3, every_s=0.1)
    if again == "a new token comes":
        token = await _request_token(simulator)
        answer = await service.client.post("/accounts/primary/session", json={"request_token": token})
        assert answer.json()["has_session"] is True
    else:
        await _expire(simulator, expired=False)
    assert (await service.client.get("/portfolio/margins")).status_code == 200
    assert (await _states(service))[0] is True
    await until(is_fine, within_s=15, every_s=0.1)


async def _expire(simulator: RunningSimulator, *, expired: bool) -> None:
    async with httpx.AsyncClient(trust_env=False) as client:
        body = {"user_id": "SIM001", "expired": expired}
        (await client.post(f"{simulator.url}/_sim/session", json=body)).raise_for_status()


async def test_a_feed_that_waits_for_a_login_connects_when_it_comes(settings: Settings) -> None:
    """No token at the start: degraded; a login over HTTP is all that is missing."""
    async with running_service(
        settings.model_copy(update={"kite_access_token": type(settings.api_key)("")})
    ) as service:
        assert (await service.client.get("/accounts/primary")).json()["has_session"] is False
        assert (await service.client.get("/health")).json()["status"] == "degraded"
        await service.client.post("/accounts/primary/session", json={"access_token": "simtoken"})

        async def connected() -> bool:
            return bool((await service.client.get("/accounts/primary")).json()["feed_connected"])

        await until(connected, within_s=3)


async def test_a_login_is_exchanged_at_the_broker(service: RunningService, simulator: RunningSimulator) -> None:
    """A request token in, a session out; a wrong one is the broker's refusal."""
    wrong = await service.client.post("/accounts/primary/session", json={"request_token": "nonsense"})
    assert (wrong.status_code, wrong.json()["code"]) == (422, "BROKER_REFUSED")
    assert wrong.json()["broker"]["http_status"] == 403
    assert (await service.client.get("/accounts/primary")).json()["has_session"] is True
    token = await _request_token(simulator)
    answer = await service.client.post("/accounts/primary/session", json={"request_token": token})
    assert answer.status_code == 200
    assert answer.json()["user_id"] == "SIM001"
    assert (await service.client.get("/portfolio/holdings")).status_code == 200


@pytest.mark.parametrize("token", ["t\u00f6ken", "to\r\nken", "to ken", "token\x00"])
async def test_a_token_that_no_header_can_carry_is_refused(service: RunningService, token: str) -> None:
    """And the session that was there stays."""
    answer = await service.client.post("/accounts/primary/session", json={"access_token": token})
    assert answer.status_code == 400
    assert token not in answer.text
    assert (await service.client.get("/portfolio/margins", params={"account_id": "primary"})).status_code == 200


async def _request_token(simulator: RunningSimulator) -> str:
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.get(f"{simulator.url}/connect/login", params={"api_key": "simkey", "v": "3"})
    location = answer.headers.get("location")
    assert location is not None
    (token,) = parse_qs(urlsplit(location).query)["request_token"]
    return str(token)


async def test_logging_out_holds_until_the_next_login(service: RunningService) -> None:
    """The settings' token does not come back by itself."""
    out = await service.client.delete("/accounts/primary/session")
    assert out.json()["has_session"] is False
    assert (await service.client.get("/portfolio/margins")).status_code == 409


async def test_a_login_survives_a_restart_when_it_is_sealed(settings: Settings, database_url: str) -> None:
    """And it cannot be read in the database."""
    sealed = settings.model_copy(update={"token_key": type(settings.api_key)(SEAL)})
    async with running_service(sealed) as service:
        answer = await service.client.post("/accounts/primary/session", json={"access_token": "simtoken"})
        assert answer.json()["persistent"] is True
    with psycopg.connect(database_url) as connection:
        row = connection.execute("SELECT access_token, supersedes FROM broker_session").fetchone()
    assert row is not None
    assert b"simtoken" not in row[0]
    assert row[1] == hashlib.sha256(b"simtoken").digest()
    async with running_service(sealed) as service:
        assert (await service.client.get("/accounts/primary")).json()["token_origin"] == "login"
    newer = sealed.model_copy(update={"kite_access_token": type(settings.api_key)("newer")})
    async with running_service(newer) as service:
        assert (await service.client.get("/accounts/primary")).json()["token_origin"] == "settings"


async def test_a_session_needs_exactly_one_token(service: RunningService) -> None:
    """Neither and both are 400."""
    for body in ({}, {"request_token": "a", "access_token": "b"}):
        answer = await service.client.post("/accounts/primary/session", json=body)
        assert answer.status_code == 400
        assert "either request_token or access_token" in answer.text


async def test_the_portfolio_is_the_brokers_own(service: RunningService) -> None:
    """Kite's fields, unchanged."""
    margins = (await service.client.get("/portfolio/margins")).json()
    assert {"equity", "commodity"} <= margins.keys()
    assert isinstance(margins["equity"]["net"], int | float)
    assert {"net", "day"} == (await service.client.get("/portfolio/positions")).json().keys()
    assert (await service.client.get("/portfolio/holdings")).json()["next_cursor"] is None


def _postback(order_id: str, *, secret: str = "simsecret") -> dict[str, object]:
    timestamp = "2025-03-03 10:00:00"
    checksum = hashlib.sha256(f"{order_id}{timestamp}{secret}".encode()).hexdigest()
    return {"order_id": order_id, "order_timestamp": timestamp, "checksum": checksum, "status": "COMPLETE"}


async def test_a_genuine_postback_is_taken_as_a_hint(service: RunningService) -> None:
    """No key needed, nothing about the order believed."""
    answer = await service.anonymous.post("/postback/primary", json=_postback("250303000000001"))
    assert (answer.status_code, answer.json()) == (202, {"accepted": True})
    assert (await service.client.get("/events?account_id=primary")).json()["data"] == []


async def test_a_genuine_postback_makes_the_order_book_be_read(
    service: RunningService, simulator: RunningSimulator
) -> None:
    """Another program's order whose push was lost: nobody knows of it until the postback comes."""
    form = {"exchange": "NSE", "tradingsymbol": "INFY", "transaction_type": "BUY", "quantity": "1", "product": "MIS",
            "order_type": "LIMIT", "price": "1000"}  # fmt: skip

    async def connected() -> bool:
        return bool((await service.client.get("/accounts/primary")).json()["feed_connected"])

    await until(connected)
    await asyncio.sleep(1.0)  # the reads that the start and the connection cause
    async with httpx.AsyncClient(base_url=simulator.url, trust_env=False) as sim:
        await sim.post("/_sim/faults", json={"kind": "drop_update", "times": -1})
        session = {"Authorization": "token simkey:simtoken"}
        order_id = (await sim.post("/orders/regular", data=form, headers=session)).json()["data"]["order_id"]
    await asyncio.sleep(1.0)
    assert (await service.client.get("/orders")).json()["data"] == []
    assert (await service.anonymous.post("/postback/primary", json=_postback(order_id))).status_code == 202

    async def shown() -> bool:
        return bool((await service.client.get(f"/orders/{order_id}")).status_code == 200)

    await until(shown)


async def test_a_forged_postback_is_refused(service: RunningService) -> None:
    """Wrong secret, foreign account, no checksum, no JSON."""
    forged = await service.anonymous.post("/postback/primary", json=_postback("1", secret="guess"))
    assert (forged.status_code, forged.json()["code"]) == (403, "FORBIDDEN")
    assert (await service.anonymous.post("/postback/unknown", json=_postback("1"))).status_code == 404
    assert (await service.anonymous.post("/postback/primary", json={"order_id": "1"})).status_code == 400
    assert (await service.anonymous.post("/postback/primary", content=b"\xff")).status_code == 400
