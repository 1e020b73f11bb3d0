"""Webhooks over HTTP, on the whole service: register, change, rotate, test, replay, read, remove."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest
from standardwebhooks import Webhook

from app.config import Settings
from app.errors import SettingsError
from tests.integration.conftest import RunningService, running_service
from tests.integration.webhooks.receiver import Receiver, answer, running_receiver
from tests.waiting import until

TOKEN_KEY = "a" * 43 + "="
ORDER = {
    "exchange": "NSE", "tradingsymbol": "INFY", "transaction_type": "BUY", "quantity": 1, "product": "MIS",
    "order_type": "MARKET", "tag": "mine",
}  # fmt: skip
PATH = "/advanced/webhooks"


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with running_receiver() as running:
        yield running


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return Settings(
        **settings.model_dump()
        | {"token_key": TOKEN_KEY, "webhook_allow_loopback": True, "limit_webhooks": "1000/second"}
    )


async def test_an_order_arrives_at_the_endpoint(service: RunningService, receiver: Receiver) -> None:
    """Signed, with its tag and its state; the log shows the delivery, the metrics count it."""
    made = await service.client.post(PATH, json={"url": receiver.url(), "tags": ["mine"]})
    assert made.status_code == 201, made.text
    webhook = made.json()
    assert (webhook["status"], webhook["reachable"], webhook["account_id"]) == ("active", True, "primary")
    assert webhook["secret"].startswith("whsec_")
    assert (await service.client.post("/orders?wait=10", json=ORDER)).status_code == 201

    async def ended() -> bool:
        return any(one.message["type"] == "order_completed" for one in receiver.at("/hook"))

    await until(ended)
    completed = next(one for one in receiver.at("/hook") if one.message["type"] == "order_completed")
    message = Webhook(webhook["secret"]).verify(completed.body, completed.headers)
    assert (message["data"]["tag"], message["data"]["state"]) == ("mine", "completed")
    events = (await service.client.get("/events")).json()["data"]
    (event,) = [one for one in events if one["event"] == "order_completed"]
    assert (message["seq"], message["data"], message["timestamp"]) == (event["seq"], event["data"], event["timestamp"])

    async def delivered() -> bool:
        log = (await service.client.get(f"{PATH}/{webhook['webhook_id']}/deliveries?status=delivered")).json()["data"]
        return message["seq"] in {one["seq"] for one in log}

    await until(delivered)
    metrics = (await service.anonymous.get("/metrics")).text
    assert 'ticker_webhook_deliveries_total{result="delivered"}' in metrics
    assert "ticker_webhook_backlog 0.0" in metrics


async def test_an_endpoint_is_read_changed_and_removed(service: RunningService, receiver: Receiver) -> None:
    """The secret is shown at the registration and at a rotation alone."""
    made = (await service.client.post(PATH, json={"url": receiver.url(), "events": ["order_failed"]})).json()
    where = f"{PATH}/{made['webhook_id']}"
    shown = {name: value for name, value in made.items() if name not in {"secret", "reachable"}}
    assert (await service.client.get(where)).json() == shown
    assert (await service.client.get(PATH)).json() == {"data": [shown], "next_cursor": None}
    changed = await service.client.patch(where, json={"status": "paused", "events": [], "max_age_s": 60})
    assert changed.json() == shown | {"status": "paused", "events": [], "max_age_s": 60.0}
    back = await service.client.patch(where, json={"status": "active", "max_age_s": None})
    assert back.json() == shown | {"events": []}
    fresh = (await service.client.post(f"{where}/rotate-secret")).json()
    assert fresh["secret"].startswith("whsec_")
    assert fresh["secret"] != made["secret"]
    assert (await service.client.delete(where)).status_code == 204
    for answered in (
        await service.client.get(where),
        await service.client.patch(where, json={"ordered": True}),
        await service.client.delete(where),
        await service.client.post(f"{where}/test"),
        await service.client.post(f"{where}/rotate-secret"),
        await service.client.post(f"{where}/replay", json={"from_seq": 1}),
        await service.client.get(f"{where}/deliveries"),
    ):
        assert (answered.status_code, answered.json()["code"]) == (404, "NOT_FOUND")


async def test_a_test_event_and_a_replay_over_http(service: RunningService, receiver: Receiver) -> None:
    """The test's answer is the receiver's own; a replay is accepted and delivered by the loop."""
    made = (await service.client.post(PATH, json={"url": receiver.url()})).json()
    where = f"{PATH}/{made['webhook_id']}"
    receiver.behaviour = answer(418, body=b"short and stout")
    tested = (await service.client.post(f"{where}/test")).json()
    assert (tested["type"], tested["status"]) == ("test", "given_up")
    assert (tested["attempts"][0]["http_status"], tested["attempts"][0]["body"]) == (418, "short and stout")
    receiver.behaviour = answer(200)
    again = await service.client.post(f"{where}/replay", json={"delivery_id": tested["delivery_id"]})
    assert (again.status_code, again.json()) == (202, {"due": 1, "continue_from": None})

    async def arrived() -> bool:
        return len(receiver.at("/hook")) == 2

    await until(arrived)
    first, second = receiver.at("/hook")
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    none = await service.client.post(f"{where}/replay", json={"delivery_id": str(uuid4())})
    assert none.status_code == 404
    assert (await service.client.post(f"{where}/replay", json={"from_seq": 1})).json()["due"] == 0
    listed = await service.client.get(f"{where}/deliveries?limit=1")
    assert listed.json()["next_cursor"]
    rest = await service.client.get(f"{where}/deliveries?cursor={listed.json()['next_cursor']}")
    assert rest.json() == {"data": [], "next_cursor": None}
    assert (await service.client.get(f"{where}/deliveries?cursor=x")).status_code == 400


WRONG: list[tuple[dict[str, Any], str, str]] = [
    ({"events": ["order_exploded"]}, "events", "order_completed"),  # the known ones are listed
    ({"url": "https://10.0.0.1/"}, "url", "10.0.0.0/8"),
    ({"url": "http://example.com/"}, "url", "https"),
    ({"url": "https://user:word@example.com/"}, "url", "user"),
    ({"max_age_s": 0}, "max_age_s", "greater"),
    ({"secret": "whsec_mine"}, "secret", "not permitted"),
    ({"tags": [""]}, "tags", "character"),
]


async def test_a_wrong_registration_is_refused_with_the_field(service: RunningService) -> None:
    """Nothing is stored, and nothing is connected to."""
    for body, where, what in WRONG:
        refused = await service.client.post(PATH, json={"url": "http://127.0.0.1:9/"} | body)
        assert refused.status_code == 400
        (error, *_) = refused.json()["errors"]
        assert where in error["loc"]
        assert what in error["msg"]
    assert (await service.client.get(PATH)).json()["data"] == []


async def test_an_account_has_ten_endpoints_at_most(service: RunningService, receiver: Receiver) -> None:
    """An endpoint that does not answer is registered all the same, and the answer says so."""
    receiver.behaviour = answer(500)
    for _ in range(9):
        assert (await service.client.post(PATH, json={"url": receiver.url()})).json()["reachable"] is True
    unreachable = await service.client.post(PATH, json={"url": "http://127.0.0.1:9/"})
    assert (unreachable.status_code, unreachable.json()["reachable"]) == (201, False)
    refused = await service.client.post(PATH, json={"url": receiver.url()})
    assert (refused.status_code, refused.json()["code"]) == (409, "WEBHOOK_LIMIT")


async def test_without_a_sealing_key_nothing_is_registered(settings: Settings, receiver: Receiver) -> None:
    """No secret is stored in the clear; and without the switch no endpoint on this machine is taken."""
    bare = Settings(**settings.model_dump() | {"token_key": "", "webhook_allow_loopback": True})
    async with running_service(bare) as service:
        refused = await service.client.post(PATH, json={"url": receiver.url()})
    assert (refused.status_code, refused.json()["code"]) == (409, "TOKEN_KEY_MISSING")
    closed = Settings(**settings.model_dump() | {"webhook_allow_loopback": False})
    async with running_service(closed) as service:
        refused = await service.client.post(PATH, json={"url": receiver.url()})
    assert (refused.status_code, receiver.requests) == (400, [])


def test_production_refuses_endpoints_on_this_machine(settings: Settings) -> None:
    """Whatever else is set."""
    values = settings.model_dump() | {"environment": "production", "paper": True, "api_key": "0123456789abcdef" * 2}
    values |= {"database_url": "postgresql://ticker:a-word-of-its-own@127.0.0.1/ticker"}
    Settings(**values | {"webhook_allow_loopback": False})
    with pytest.raises(SettingsError, match="WEBHOOK_ALLOW_LOOPBACK"):
        Settings(**values)
