"""The published schemas hold for what the whole service sends: the stream, the log, the webhooks' bodies."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

import httpx
from websockets.asyncio.client import connect

from app.events.event_schemas import event_schemas
from tests.integration.conftest import API_KEY, RunningService
from tests.integration.events.conftest import check_message, receive
from tests.json_schema import violations

ORDER = {
    "exchange": "NSE", "tradingsymbol": "INFY", "transaction_type": "BUY", "quantity": 1, "product": "CNC",
    "order_type": "MARKET",
}  # fmt: skip


async def post(client: httpx.AsyncClient, path: str, body: dict[str, Any], **params: Any) -> Any:
    headers = {"Idempotency-Key": uuid4().hex}
    answer = await client.post(path, json=body, headers=headers, params=params)
    assert answer.status_code < 300, answer.text
    return answer.json()


async def trade(client: httpx.AsyncClient) -> None:
    """Orders that fill, rest and are cancelled, and are refused; a batch; a subscription."""
    await post(client, "/subscriptions", {"exchange": "NSE", "tradingsymbol": "INFY", "requested_mode": "full"})
    await post(client, "/orders", ORDER)
    quotes = (await client.get("/quotes", params={"i": "NSE:INFY"})).json()["data"]
    below = int(quotes["NSE:INFY"]["last_price"] * 0.96)
    resting = await post(client, "/orders", ORDER | {"order_type": "LIMIT", "price": below, "tag": "rests"})
    await client.delete(f"/orders/{resting['order_id']}")
    await post(client, "/orders", ORDER | {"order_type": "LIMIT", "price": 1.0})
    await post(client, "/advanced/batch-orders", {"orders": [ORDER, ORDER], "rollback_on_failure": False})


async def test_what_the_service_sends_is_what_its_schemas_say(service: RunningService) -> None:
    """Each event of the log and each message of the stream, the snapshot with the orders of the day included."""
    await trade(service.client)
    page = (await service.client.get("/events", params={"limit": 500})).json()
    kinds = {event["event"] for event in page["data"]}
    assert kinds >= {"order_placed", "order_completed", "order_cancelled", "batch_completed", "subscription_changed"}
    for event in page["data"]:
        schema = (await service.client.get(f"/schemas/events/{event['event']}.json")).json()
        assert violations(event, schema) == []
        body = {name: value for name, value in event.items() if name not in {"type", "event"}}
        assert violations(body | {"type": event["event"]}, schema) == []
    async with connect(f"{service.ws_url}/advanced/ws/orders/primary") as socket:
        await socket.send(json.dumps({"type": "auth", "api_key": API_KEY}))
        assert (await receive(socket))["type"] == "authenticated"
        snapshot = await receive(socket)
    assert len(snapshot["orders"]) >= 5
    check_message(snapshot)


async def test_each_type_has_its_page_and_no_other_has_one(service: RunningService) -> None:
    """The closed list, with the key that every path needs."""
    for kind, schema in event_schemas().items():
        answer = await service.client.get(f"/schemas/events/{kind}.json")
        assert (answer.status_code, answer.headers["content-type"]) == (200, "application/schema+json")
        assert answer.json() == schema
    assert (await service.client.get("/schemas/asyncapi.json")).json()["asyncapi"] == "3.0.0"
    assert (await service.client.get("/schemas/events/order_vanished.json")).status_code == 404
    assert (await service.anonymous.get("/schemas/events/order_placed.json")).status_code == 401
