"""The main paths through the whole service: ticks from the broker to Redis and sockets, orders there and back."""

import asyncio
import json
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

from app.db.redis import make_redis
from tests.integration.conftest import API_KEY, RunningService

ORDER = {
    "exchange": "NSE",
    "tradingsymbol": "INFY",
    "transaction_type": "BUY",
    "quantity": 1,
    "product": "CNC",
    "order_type": "MARKET",
}


async def _until_type(stream: ClientConnection, kind: str) -> dict[str, Any]:
    async with asyncio.timeout(8):
        while True:
            message: dict[str, Any] = json.loads(await stream.recv())
            if message.get("type") == kind:
                return message


async def test_a_subscription_makes_ticks_flow_to_redis_and_to_sockets(service: RunningService) -> None:
    """One request, and the instrument's ticks are on its channel, in the last values and on the tick stream."""
    redis = make_redis(service.settings.redis_url.get_secret_value())
    wanted = {"exchange": "NSE", "tradingsymbol": "INFY", "requested_mode": "full"}
    created = await service.client.post("/subscriptions", json=wanted)
    assert created.status_code == 201, created.text
    token = created.json()["instrument_token"]
    async with redis.pubsub() as pubsub, connect(f"{service.ws_url}/ws/ticks", proxy=None) as stream:
        await pubsub.subscribe(f"{service.settings.redis_prefix}ticks:{token}")
        await stream.send(json.dumps({"type": "auth", "api_key": API_KEY}))
        await _until_type(stream, "authenticated")
        await stream.send(json.dumps({"action": "subscribe", "tokens": [token], "mode": "full"}))
        async with asyncio.timeout(8):
            while (message := await pubsub.get_message(ignore_subscribe_messages=True, timeout=8)) is None:
                continue
            tick = json.loads(message["data"])
            while (pushed := json.loads(await stream.recv())).get("instrument_token") != token:
                continue
    assert (tick["tradingsymbol"], tick["account_id"], tick["source"]) == ("INFY", "primary", "simulator")
    assert pushed["source"] == "simulator"
    last = await redis.hget(f"{service.settings.redis_prefix}last", str(token))
    assert last is not None
    await redis.aclose()
    health = (await service.anonymous.get("/health")).json()
    assert health["ticker"]["accounts"][0]["subscriptions"] == 1
    assert health["ticker"]["accounts"][0]["last_tick_age_ms"] < 30_000
    metrics = (await service.anonymous.get("/metrics")).text
    assert "ticker_active_subscriptions 1.0" in metrics
    assert 'ticker_broker_requests_total{endpoint="instruments",outcome="ok"} 1.0' in metrics


async def test_a_batch_is_placed_and_its_events_are_on_the_stream(service: RunningService) -> None:
    """Durable, sent once, completed; the order stream has each step with rising numbers."""
    async with connect(f"{service.ws_url}/advanced/ws/orders/primary", proxy=None) as stream:
        await stream.send(json.dumps({"type": "auth", "api_key": API_KEY}))
        start = await _until_type(stream, "authenticated")
        answer = await service.client.post(
            "/advanced/batch-orders?wait=20", json={"orders": [ORDER, ORDER]}, headers={"Idempotency-Key": "k" * 16}
        )
        assert answer.status_code == 201, answer.text
        batch = answer.json()
        assert (batch["status"], batch["succeeded"]) == ("completed", 2)
        first = await _until_type(stream, "order_update")
        second = await _until_type(stream, "order_update")
    assert (first["seq"], second["seq"]) == (start["seq"] + 1, start["seq"] + 2)
    orders = (await service.client.get("/orders")).json()["data"]
    assert {order["batch_id"] for order in orders} == {batch["batch_id"]}
    again = await service.client.post(
        "/advanced/batch-orders", json={"orders": [ORDER, ORDER]}, headers={"Idempotency-Key": "k" * 16}
    )
    assert again.headers["idempotent-replayed"] == "true"
    assert again.json()["batch_id"] == batch["batch_id"]


async def test_bad_orders_are_refused_with_every_problem_and_nothing_sent(service: RunningService) -> None:
    """400 with one entry per field, and `sent: no`."""
    answer = await service.client.post("/orders", json=ORDER | {"quantity": "many", "product": "XYZ", "colour": "red"})
    body = answer.json()
    assert answer.status_code == 400
    assert {entry["loc"][-1] for entry in body["errors"]} == {"quantity", "product", "colour"}
    assert (body["sent"], body["retryable"]) == ("no", "no")
    assert (await service.client.get("/orders")).json()["data"] == []
