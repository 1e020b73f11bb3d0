"""Subscriptions over a real PostgreSQL and Redis, and a feed that records what it is told."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

import pytest
from redis.asyncio import Redis

from app.broker.market import Instrument, Mode
from app.db.postgres import Database, Tx, open_database
from app.db.redis_keys import RedisKeys
from app.errors import Conflict, NotFound
from app.market.calendar.exchange_hours import MarketCalendar
from app.market.instruments.registry import InstrumentService
from app.market.subscriptions.allocation import Wish
from app.market.subscriptions.desired_state import TickStatus
from app.market.subscriptions.records import SubscriptionRecord
from app.market.subscriptions.service import SubscriptionService
from app.market.ticks.pipeline import TickPipeline
from app.market.ticks.publisher import TickPublisher
from tests.integration.market.packets import ltp_packet
from tests.integration.market.scripted import ScriptedFeed, ScriptedMarket, SetClock, broker, no_ticks
from tests.unit.market.builders import NOON, instrument

A, B, C = (instrument(f"NSE:{name}", token=token) for name, token in (("A", 1), ("B", 2), ("C", 3)))


@dataclass(kw_only=True)
class Rig:
    """One replica. ``recorded`` are the events of the account's log."""

    service: SubscriptionService
    instruments: InstrumentService
    market: ScriptedMarket
    feed: ScriptedFeed
    ticks: TickPipeline
    clock: SetClock
    recorded: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)

    def tick(self, token: int) -> None:
        at_ms = int(self.clock.now().timestamp() * 1000)
        self.ticks.account("primary", decode=no_ticks).on_packets([ltp_packet(token, 1)], received_at_ms=at_ms)

    def status(self, row: Instrument) -> SubscriptionRecord:
        (found,) = [item for item in self.service.records() if item.tradingsymbol == row.tradingsymbol]
        return found


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = await open_database(database_url, name="test", min_size=1, max_size=6)
    yield database
    await database.close()


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    client = Redis.from_url(redis_url)
    yield client
    await client.aclose()


@pytest.fixture
async def rig(database: Database, redis: Redis, redis_url: str, redis_prefix: str) -> Rig:
    return await replica(database, redis, redis_url, redis_prefix)


async def replica(
    database: Database, redis: Redis, redis_url: str, prefix: str, *, capacity: int = 3000, calendar: str = "always"
) -> Rig:
    clock = SetClock(NOON)
    market = ScriptedMarket(dump=[A, B, C])
    instruments = InstrumentService(database, brokers={"primary": broker(market)}, clock=clock)
    await instruments.start()
    feed = ScriptedFeed()
    ticks = TickPipeline(
        TickPublisher(redis_url, keys=RedisKeys(prefix)),
        instruments=instruments.by_token,
        source="simulator",
        clock=clock,
        flush_ms=1,
    )
    recorded: list[tuple[str, Mapping[str, Any]]] = []

    async def record(tx: Tx, account_id: str, kind: str, data: Mapping[str, Any]) -> None:
        await tx.execute("SELECT 1")
        assert account_id == "primary"
        recorded.append((kind, data))

    service = SubscriptionService(
        database,
        redis=redis,
        instruments=instruments,
        feeds={"primary": feed},
        ticks=ticks,
        calendar=MarketCalendar(mode="always" if calendar == "always" else "exchange"),
        clock=clock,
        keys=RedisKeys(prefix),
        stale_after_s=30.0,
        record_event=record,
        capacity=capacity,
    )
    await service.start()
    return Rig(
        service=service, instruments=instruments, market=market, feed=feed, ticks=ticks, clock=clock, recorded=recorded
    )


def wish(row: Instrument, mode: Mode = Mode.QUOTE) -> Wish:
    return Wish(instrument=row, mode=mode)


async def test_adding_one_tells_the_feed_of_that_one_alone(rig: Rig) -> None:
    """What streams already is not touched, and repeating tells it nothing."""
    await rig.service.subscribe("api", [wish(A), wish(B)])
    await rig.service.subscribe("api", [wish(C, Mode.FULL)])
    repeated = await rig.service.subscribe("api", [wish(A)])
    assert rig.feed.told == [
        ("subscribe", {1: Mode.QUOTE, 2: Mode.QUOTE}),
        ("subscribe", {3: Mode.FULL}),
    ]
    assert repeated.changed == 0
    assert isinstance(repeated.outcomes[0], SubscriptionRecord)


async def test_an_instrument_streams_in_the_highest_mode_while_anybody_wants_it(rig: Rig) -> None:
    """The last owner to leave ends it."""
    await rig.service.subscribe("api", [wish(A, Mode.LTP)])
    await rig.service.replace_set("bot", [wish(A, Mode.FULL)])
    assert rig.feed.subscriptions() == {1: Mode.FULL}
    await rig.service.replace_set("bot", [])
    assert rig.feed.subscriptions() == {1: Mode.LTP}
    assert await rig.service.unsubscribe("api", instrument_token=1) == []
    assert rig.feed.subscriptions() == {}


async def test_unsubscribing_says_who_still_wants_it(rig: Rig) -> None:
    """And leaves the feed alone."""
    await rig.service.subscribe("api", [wish(A)])
    await rig.service.replace_set("bot", [wish(A)])
    assert await rig.service.unsubscribe("api", instrument_token=1) == ["bot"]
    assert [kind for kind, _ in rig.feed.told] == ["subscribe"]
    with pytest.raises(NotFound):
        await rig.service.unsubscribe("api", instrument_token=1)


async def test_a_set_is_replaced_by_its_difference(rig: Rig) -> None:
    """Only what differs is stored and told."""
    await rig.service.replace_set("bot", [wish(A), wish(B)])
    result = await rig.service.replace_set("bot", [wish(B), wish(C)])
    assert (result.changed, result.removed) == (1, 1)
    assert rig.feed.told[1:] == [("subscribe", {3: Mode.QUOTE}), ("unsubscribe", [1])]


async def test_a_restart_hands_the_whole_desired_state_to_the_feed(
    rig: Rig, database: Database, redis: Redis, redis_url: str, redis_prefix: str
) -> None:
    """In one message, before the feed runs."""
    await rig.service.subscribe("api", [wish(A), wish(B, Mode.FULL)])
    restarted = await replica(database, redis, redis_url, redis_prefix)
    assert restarted.feed.told == [("subscribe", {1: Mode.QUOTE, 2: Mode.FULL})]


async def test_another_replicas_change_arrives_and_is_not_overwritten(
    rig: Rig, database: Database, redis: Redis, redis_url: str, redis_prefix: str
) -> None:
    """Both by following and by writing on top of it."""
    other = await replica(database, redis, redis_url, redis_prefix)
    await other.service.subscribe("api", [wish(A)])
    await rig.service.follow()
    assert rig.feed.subscriptions() == {1: Mode.QUOTE}
    await other.service.subscribe("api", [wish(B)])
    await rig.service.subscribe("api", [wish(C)])
    assert set(rig.feed.subscriptions()) == {1, 2, 3}
    await other.service.follow()
    assert set(other.feed.subscriptions()) == {1, 2, 3}


async def test_concurrent_writers_lose_nothing(rig: Rig) -> None:
    """Twenty at once."""
    rows = [instrument(f"NSE:S{n}", token=100 + n) for n in range(20)]
    rig.market.dump = [A, B, C, *rows]
    await rig.instruments.refresh(force=False)
    await asyncio.gather(*(rig.service.subscribe(f"owner-{n}", [wish(row)]) for n, row in enumerate(rows)))
    assert set(rig.feed.subscriptions()) == {100 + n for n in range(20)}


async def test_beyond_the_capacity_the_surplus_is_refused(
    database: Database, redis: Redis, redis_url: str, redis_prefix: str
) -> None:
    """Item by item; what fits is streamed."""
    rig = await replica(database, redis, redis_url, redis_prefix, capacity=2)
    result = await rig.service.subscribe("api", [wish(A), wish(B), wish(C)])
    assert isinstance(result.outcomes[2], Conflict)
    assert result.outcomes[2].code == "SUBSCRIPTION_LIMIT"
    assert set(rig.feed.subscriptions()) == {1, 2}


async def test_a_recycled_token_moves_the_subscription_with_its_symbol(rig: Rig) -> None:
    """After a refresh the feed streams the symbol's new token, not the stranger that has the old one."""
    await rig.service.subscribe("api", [wish(A)])
    rig.market.dump = [instrument("NSE:A", token=50), instrument("NSE:NEW", token=1), B, C]
    await rig.instruments.refresh(force=False)
    assert rig.feed.subscriptions() == {50: Mode.QUOTE}
    assert rig.status(A).instrument_token == 50


async def test_an_expired_instrument_ends_streaming_and_says_why(rig: Rig) -> None:
    """The want stays and can be taken back by its old token."""
    option = instrument("NFO:OPT", token=9, expiry=date(2026, 1, 5))
    rig.market.dump = [A, B, C, option]
    await rig.instruments.refresh(force=False)
    await rig.service.subscribe("api", [wish(option)])
    rig.market.dump = [A, B, C]
    await rig.instruments.refresh(force=False)
    assert rig.feed.subscriptions() == {}
    assert (rig.status(option).status, rig.status(option).error) == (TickStatus.REQUESTED, "INSTRUMENT_EXPIRED")
    assert await rig.service.unsubscribe("api", instrument_token=9) == []


async def test_status_goes_from_requested_to_stale(rig: Rig) -> None:
    """requested, active, ticking, stale, and ticking again."""
    rig.feed.state.connected = False
    await rig.service.subscribe("api", [wish(A)])
    seen = [rig.status(A).status]
    rig.feed.state.connected = True
    seen.append(rig.status(A).status)
    rig.tick(1)
    seen.append(rig.status(A).status)
    rig.clock.forward(NOON + timedelta(seconds=31))
    seen.append(rig.status(A).status)
    assert rig.status(A).last_tick_age_ms == 31_000
    rig.tick(1)
    seen.append(rig.status(A).status)
    assert [status.value for status in seen] == ["requested", "active", "ticking", "stale", "ticking"]


async def test_a_closed_market_is_silent_without_being_stale(
    database: Database, redis: Redis, redis_url: str, redis_prefix: str
) -> None:
    """By the exchange's calendar."""
    rig = await replica(database, redis, redis_url, redis_prefix, calendar="exchange")
    await rig.service.subscribe("api", [wish(A)])
    rig.tick(1)
    rig.clock.forward(NOON + timedelta(hours=8))
    await rig.service.watch_feeds()
    assert rig.status(A).status is TickStatus.TICKING
    assert "feed_stale" not in [kind for kind, _ in rig.recorded]


async def test_a_change_is_recorded_in_its_transaction_and_announced(rig: Rig, redis: Redis, redis_prefix: str) -> None:
    """``subscription_changed`` in the account's log and on the events channel; once, and not for repeating."""
    pubsub = redis.pubsub()
    await pubsub.subscribe(f"{redis_prefix}events")
    await pubsub.get_message(timeout=20)
    loop = asyncio.create_task(rig.service.run())
    await rig.service.subscribe("api", [wish(A)])
    await rig.service.subscribe("api", [wish(A)])
    message = await pubsub.get_message(ignore_subscribe_messages=True, timeout=20)
    loop.cancel()
    await pubsub.aclose()  # type: ignore[no-untyped-call]
    data = {"owner": "api", "subscribed": ["NSE:A"], "unsubscribed": []}
    assert rig.recorded == [("subscription_changed", data)]
    assert message is not None
    assert json.loads(message["data"]) == {
        "v": 1,
        "type": "subscription_changed",
        "timestamp": "2026-01-05T12:00:00.000+05:30",
        "account_id": "primary",
        "data": data,
    }


async def test_a_silent_feed_is_said_once_and_its_return_once(rig: Rig) -> None:
    """While the market is open and something is wanted."""
    await rig.service.watch_feeds()
    await rig.service.subscribe("api", [wish(A)])
    await rig.service.watch_feeds()
    rig.clock.forward(NOON + timedelta(seconds=31))
    await rig.service.watch_feeds()
    await rig.service.watch_feeds()
    rig.tick(1)
    await rig.service.watch_feeds()
    await rig.service.watch_feeds()
    assert [kind for kind, _ in rig.recorded] == ["subscription_changed", "feed_stale", "feed_recovered"]
    assert rig.recorded[1][1] == {"connected": True, "subscriptions": 1, "last_tick_age_ms": None}


async def test_counts(rig: Rig) -> None:
    """Active is what a live socket was asked for."""
    await rig.service.subscribe("api", [wish(A), wish(B)])
    assert (rig.service.active_count(), rig.service.count("primary")) == (2, 2)
    assert rig.service.is_subscribed(1)
    assert not rig.service.is_subscribed(3)
    rig.feed.state.connected = False
    assert rig.service.active_count() == 0


async def test_three_thousand_in_one_request_are_one_message(rig: Rig) -> None:
    """And stored in one round trip."""
    rows = [instrument(f"NSE:S{n}", token=1000 + n) for n in range(3000)]
    rig.market.dump = rows
    await rig.instruments.refresh(force=True)
    result = await rig.service.subscribe("api", [wish(row, Mode.FULL) for row in rows])
    assert result.changed == 3000
    assert [(kind, len(modes)) for kind, modes in rig.feed.told] == [("subscribe", 3000)]
