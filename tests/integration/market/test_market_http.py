"""Market data through the running service, its real adapter and the simulator."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
from redis.asyncio import Redis

from simulator.server import RunningSimulator
from tests.integration.conftest import RunningService


async def poll(client: httpx.AsyncClient, path: str, *, wanted: str, count: int = 1) -> list[dict[str, Any]]:
    """The list at ``path`` as soon as it has ``count`` entries of status ``wanted``."""
    async with asyncio.timeout(20):
        while True:
            entries: list[dict[str, Any]] = (await client.get(path)).json()["data"]
            if sum(entry["status"] == wanted for entry in entries) >= count:
                return entries
            await asyncio.sleep(0.05)


async def token_of(service: RunningService, symbol: str, *, exchange: str = "NSE") -> int:
    answer = await service.client.get("/instruments", params={"query": symbol, "exchange": exchange})
    token: int = answer.json()["data"][0]["instrument_token"]
    return token


async def test_a_subscription_ticks_into_redis(service: RunningService) -> None:
    """From POST to PUBLISH: full mode, named, truthful about the simulator; status and quote follow."""
    prefix = service.settings.redis_prefix
    redis = Redis.from_url(service.settings.redis_url.get_secret_value())
    token = await token_of(service, "INFY")
    pubsub = redis.pubsub()
    await pubsub.subscribe(f"{prefix}ticks:{token}")
    await pubsub.get_message(timeout=20)
    created = await service.client.post(
        "/subscriptions", json={"exchange": "NSE", "tradingsymbol": "INFY", "requested_mode": "full"}
    )
    message = await pubsub.get_message(ignore_subscribe_messages=True, timeout=20)
    (status,) = await poll(service.client, "/subscriptions/status", wanted="ticking")
    quote = (await service.client.get("/quotes", params={"i": "NSE:INFY"})).json()
    stored = await redis.hget(f"{prefix}last", str(token))
    await pubsub.aclose()  # type: ignore[no-untyped-call]
    await redis.aclose()
    assert created.status_code == 201
    assert (created.json()["instrument_token"], created.json()["requested_mode"]) == (token, "full")
    assert message is not None
    assert stored is not None
    tick = json.loads(message["data"])
    assert (tick["tradingsymbol"], tick["mode"], tick["source"], tick["account_id"]) == (
        "INFY", "full", "simulator", "primary",
    )  # fmt: skip
    assert len(tick["depth"]["buy"]) == 5
    assert (status["instrument_token"], status["socket"], status["mode"]) == (token, 0, "full")
    assert quote["data"]["NSE:INFY"]["origin"] == "tick"
    assert quote["data"]["NSE:INFY"]["stale"] is False
    assert quote["missing"] == []


async def test_bulk_gives_a_result_per_item(service: RunningService) -> None:
    """What is wrong with one does not stop the others."""
    token = await token_of(service, "SBIN")
    items = [
        {"exchange": "NSE", "tradingsymbol": "INFY", "requested_mode": "ltp"},
        {"instrument_token": token},
        {"instrument_token": 1},
        {"exchange": "NSE", "tradingsymbol": "INFY", "account_id": "missing"},
    ]
    answer = await service.client.post("/subscriptions/bulk", json={"items": items})
    body = answer.json()
    assert answer.status_code == 200
    assert (body["changed"], body["removed"], body["refused"]) == (2, 0, 2)
    assert [entry["index"] for entry in body["data"]] == [0, 1, 2, 3]
    assert [entry["error"] and entry["error"]["code"] for entry in body["data"]] == [
        None, None, "NOT_FOUND", "NOT_FOUND",
    ]  # fmt: skip
    ticking = await poll(service.client, "/subscriptions?status=ticking", wanted="ticking", count=2)
    assert {entry["tradingsymbol"] for entry in ticking} == {"INFY", "SBIN"}


async def test_a_set_and_the_api_share_an_instrument_until_both_unsubscribe(service: RunningService) -> None:
    """DELETE takes back only what POST gave."""
    item = {"exchange": "NSE", "tradingsymbol": "INFY", "requested_mode": "ltp"}
    token = (await service.client.post("/subscriptions", json=item)).json()["instrument_token"]
    put = await service.client.put("/subscriptions/sets/bot", json={"items": [{**item, "requested_mode": "quote"}]})
    assert put.json()["data"][0]["subscription"]["owners"] == {"api": "ltp", "bot": "quote"}
    removed = await service.client.delete(f"/subscriptions/{token}")
    assert removed.json() == {"instrument_token": token, "still_wanted_by": ["bot"]}
    (left,) = (await service.client.get("/subscriptions")).json()["data"]
    assert (left["mode"], left["owners"]) == ("quote", {"bot": "quote"})
    await service.client.put("/subscriptions/sets/bot", json={"items": []})
    assert (await service.client.get("/subscriptions")).json() == {"data": [], "next_cursor": None}
    assert (await service.client.delete(f"/subscriptions/{token}")).status_code == 404


async def test_bad_subscriptions_are_refused_with_the_field(service: RunningService) -> None:
    """400 for the request, 404 for what does not exist, 400 for the reserved owner."""
    bad: list[dict[str, Any]] = [
        {},
        {"instrument_token": 1, "exchange": "NSE", "tradingsymbol": "INFY"},
        {"exchange": "NSE"},
        {"instrument_token": 408065, "requested_mode": "everything"},
        {"instrument_token": 408065, "surprise": 1},
    ]
    for body in bad:
        answer = await service.client.post("/subscriptions", json=body)
        assert (answer.status_code, answer.json()["code"]) == (400, "VALIDATION_FAILED"), body
        assert answer.json()["errors"]
    unknown = await service.client.post("/subscriptions", json={"exchange": "NSE", "tradingsymbol": "NOPE"})
    assert (unknown.status_code, unknown.json()["detail"]) == (404, "instrument NSE:NOPE does not exist")
    reserved = await service.client.put("/subscriptions/sets/api", json={"items": []})
    assert reserved.status_code == 400


async def test_instruments_are_searched_page_by_page(service: RunningService) -> None:
    """Cursors lead through all of them; a made-up cursor is refused."""
    seen: list[str] = []
    params: dict[str, Any] = {"exchange": "MCX", "limit": 40}
    while True:
        page = (await service.client.get("/instruments", params=params)).json()
        seen += [row["tradingsymbol"] for row in page["data"]]
        if page["next_cursor"] is None:
            break
        params["cursor"] = page["next_cursor"]
    assert len(seen) == len(set(seen)) > 40
    assert seen == sorted(seen)
    assert (await service.client.get("/instruments", params={"cursor": "???"})).status_code == 400
    assert (await service.client.get("/instruments/1")).status_code == 404


async def test_the_dump_is_reloaded_on_demand(service: RunningService) -> None:
    """And nothing has changed when the broker's has not."""
    answer = await service.client.post("/admin/instrument-refresh", params={"force": "true"})
    body = answer.json()
    assert answer.status_code == 200
    assert (body["added"], body["expired"]) == (0, 0)
    assert body["instruments"] >= 3000
    assert body["last_refresh"].endswith("+05:30")


async def test_quotes_of_instruments_that_never_ticked_come_from_the_broker(
    service: RunningService, simulator: RunningSimulator
) -> None:
    """With the field names of a tick; unknown ones are listed."""
    answer = (await service.client.get("/quotes", params={"i": ["NSE:SBIN", "NSE:NOPE"]})).json()
    value = answer["data"]["NSE:SBIN"]
    assert (value["origin"], value["stale"], value["source"]) == ("broker", False, "simulator")
    assert value["volume_traded"] >= 0
    assert isinstance(value["exchange_timestamp"], int)
    assert answer["missing"] == ["NSE:NOPE"]
    malformed = await service.client.get("/quotes", params={"i": "INFY"})
    assert (malformed.status_code, malformed.json()["errors"][0]["loc"]) == (400, ["query", "i", 0])


async def test_history_over_more_than_one_of_the_brokers_ranges(service: RunningService) -> None:
    """Ninety days of minutes are two requests; times rise strictly, in IST; prices are JSON numbers."""
    token = await token_of(service, "INFY")
    params: dict[str, Any] = {
        "instrument_token": token, "from": "2026-01-01", "to": "2026-03-31", "interval": "60minute", "oi": 1,
    }  # fmt: skip
    answer = await service.client.get("/history", params=params)
    body = answer.json()
    assert answer.status_code == 200, body
    assert (body["instrument_token"], body["tradingsymbol"], body["interval"]) == (token, "INFY", "60minute")
    times = [candle["time"] for candle in body["candles"]]
    assert times
    assert times == sorted(set(times))
    assert all(time.endswith("+05:30") for time in times)
    first = body["candles"][0]
    assert set(first) == {"time", "open", "high", "low", "close", "volume", "oi"}
    assert isinstance(first["open"], int | float)
    assert first["low"] <= first["open"] <= first["high"]


async def test_bad_history_requests_are_refused_with_the_field(service: RunningService) -> None:
    """Interval, times, order of the ends, length, instrument."""
    token = await token_of(service, "INFY")
    good: dict[str, Any] = {
        "instrument_token": token, "from": "2026-01-01", "to": "2026-01-02", "interval": "day",
    }  # fmt: skip
    cases: list[tuple[dict[str, Any], int, list[str]]] = [
        ({"interval": "7minute"}, 400, ["query", "interval"]),
        ({"from": "yesterday!!"}, 400, ["query", "from"]),
        ({"to": "2025-01-01"}, 400, ["query", "to"]),
        ({"from": "2010-01-01", "interval": "minute"}, 400, ["query", "from"]),
        ({"continuous": 1}, 400, ["query", "continuous"]),
    ]
    for change, status, loc in cases:
        answer = await service.client.get("/history", params={**good, **change})
        assert (answer.status_code, answer.json()["errors"][0]["loc"]) == (status, loc)
    assert (await service.client.get("/history", params={**good, "instrument_token": 1})).status_code == 404
