"""Subscriptions over a real PostgreSQL and Redis, and a feed that records its calls."""

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
from app.errors import Conflict, NotFound, Unavailable
from app.market.calendar.exchange_hours import MarketCalendar
from app.market.calendar.staleness import StalenessCheck
from app.market.instruments.registry import InstrumentRegistry
from app.market.subscriptions.feed_control import FeedControl
from app.market.subscriptions.feed_silence import FeedSilence
from app.market.subscriptions.market_events import MarketEvents
from app.market.subscriptions.model import SubscriptionRequest
from app.market.subscriptions.records import SubscriptionRecord, SubscriptionView
from app.market.subscriptions.service import SubscriptionService
from app.market.subscriptions.tick_status import TickStatus
from app.market.ticks.newest import NewestTicks
from tests.integration.market.packets import ltp_packet
from tests.integration.market.scripted import ScriptedFeed, ScriptedMarket, SetClock, broker, no_ticks
from tests.unit.market.builders import NOON, instrument

A, B, C = (instrument(f"NSE:{name}", token=token) for name, token in (("A", 1), ("B", 2), ("C", 3)))


@dataclass(kw_only=True)
class Environment:
    """One replica. ``recorded`` are the events of the account's log."""

    service: SubscriptionService
    instruments: InstrumentRegistry
    market: ScriptedMarket
    feed: ScriptedFeed
    ticks: NewestTicks
    clock: SetClock
    recorded: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)
    refused: list[Unavailable] = field(default_factory=list)  # raised by the next recordings

    def tick(self, token: int) -> None:
        at_ms = int(self.clock.now().timestamp() * 1000)
        self.ticks.accounts["primary"].on_packets([ltp_packet(token, 1)], received_at_ms=at_ms)

    def status(self, row: Instrument) -> SubscriptionRecord:
        (found,) = [item for item in self.service.records() if item.tradingsymbol == row.tradingsymbol]
        return found


@dataclass
class RunningHere:
    """Whether the feed runs in this process; at first it does."""

    here: bool = True

    def runs_here(self, account_id: str) -> bool:
        return self.here


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
async def environment(database: Database, redis: Redis, redis_url: str, redis_prefix: str) -> Environment:
    return await replica(database, redis, redis_url, redis_prefix)


async def replica(
    database: Database,
    redis: Redis,
    redis_url: str,
    prefix: str,
    *,
    capacity: int = 3000,
    calendar: MarketCalendar = MarketCalendar(mode="always"),  # noqa: B008 - a frozen value
    running: RunningHere | None = None,
) -> Environment:
    clock, keys = SetClock(NOON), RedisKeys(prefix)
    market = ScriptedMarket(dump=[A, B, C])
    instruments = InstrumentRegistry(database, brokers={"primary": broker(market)}, clock=clock)
    await instruments.start()
    feed = ScriptedFeed()
    ticks = NewestTicks({"primary": no_ticks}, instruments=instruments, source="simulator")
    recorded: list[tuple[str, Mapping[str, Any]]] = []
    refused: list[Unavailable] = []

    async def record(tx: Tx, account_id: str, kind: str, data: Mapping[str, Any]) -> None:
        await tx.execute("SELECT 1")
        if refused:
            raise refused.pop()
        assert account_id == "primary"
        recorded.append((kind, data))

    service = SubscriptionService(
        database,
        instruments=instruments,
        feeds=FeedControl({"primary": feed}, ticks=ticks),
        view=SubscriptionView(
            feeds={"primary": feed},
            ticks=ticks,
            staleness=StalenessCheck(calendar, clock=clock, stale_after_s=30.0),
        ),
        silence=FeedSilence(
            running=running or RunningHere(), ticks=ticks, calendar=calendar, clock=clock, stale_after_s=30.0
        ),
        events=MarketEvents(redis, keys=keys, clock=clock, recorder=record),
        capacity=capacity,
    )
    await service.start()
    return Environment(
        service=service,
        instruments=instruments,
        market=market,
        feed=feed,
        ticks=ticks,
        clock=clock,
        recorded=recorded,
        refused=refused,
    )


def request(row: Instrument, mode: Mode = Mode.QUOTE) -> SubscriptionRequest:
    return SubscriptionRequest(instrument=row, mode=mode)


async def test_adding_an_instrument_asks_the_feed_for_that_one_only(environment: Environment) -> None:
    """What streams already is not touched, and repeating a request asks for nothing."""
    await environment.service.subscribe("api", [request(A), request(B)])
    await environment.service.subscribe("api", [request(C, Mode.FULL)])
    repeated = await environment.service.subscribe("api", [request(A)])
    assert environment.feed.calls == [
        ("subscribe", {1: Mode.QUOTE, 2: Mode.QUOTE}),
        ("subscribe", {3: Mode.FULL}),
    ]
    assert repeated.changed == 0
    assert isinstance(repeated.outcomes[0], SubscriptionRecord)


async def test_an_instrument_streams_in_the_highest_mode_of_its_owners(environment: Environment) -> None:
    """Until the last owner leaves."""
    await environment.service.subscribe("api", [request(A, Mode.LTP)])
    await environment.service.replace_set("bot", [request(A, Mode.FULL)])
    assert environment.feed.subscriptions() == {1: Mode.FULL}
    await environment.service.replace_set("bot", [])
    assert environment.feed.subscriptions() == {1: Mode.LTP}
    assert await environment.service.unsubscribe("api", instrument_token=1) == []
    assert environment.feed.subscriptions() == {}


async def test_unsubscribing_returns_the_owners_that_remain(environment: Environment) -> None:
    """While one remains, the feed is not touched."""
    await environment.service.subscribe("api", [request(A)])
    await environment.service.replace_set("bot", [request(A)])
    assert await environment.service.unsubscribe("api", instrument_token=1) == ["bot"]
    assert [kind for kind, _ in environment.feed.calls] == ["subscribe"]
    with pytest.raises(NotFound):
        await environment.service.unsubscribe("api", instrument_token=1)


async def test_a_set_is_replaced_by_its_difference(environment: Environment) -> None:
    """Only what differs is stored and asked of the feed."""
    await environment.service.replace_set("bot", [request(A), request(B)])
    result = await environment.service.replace_set("bot", [request(B), request(C)])
    assert (result.changed, result.removed) == (1, 1)
    assert environment.feed.calls[1:] == [("subscribe", {3: Mode.QUOTE}), ("unsubscribe", [1])]


async def test_a_restart_hands_the_whole_desired_state_to_the_feed(
    environment: Environment, database: Database, redis: Redis, redis_url: str, redis_prefix: str
) -> None:
    """In one message, before the feed runs."""
    await environment.service.subscribe("api", [request(A), request(B, Mode.FULL)])
    restarted = await replica(database, redis, redis_url, redis_prefix)
    assert restarted.feed.calls == [("subscribe", {1: Mode.QUOTE, 2: Mode.FULL})]


async def test_another_replicas_change_arrives_and_is_not_overwritten(
    environment: Environment, database: Database, redis: Redis, redis_url: str, redis_prefix: str
) -> None:
    """Both by following and by writing on top of it."""
    other = await replica(database, redis, redis_url, redis_prefix)
    await other.service.subscribe("api", [request(A)])
    await environment.service.follow()
    assert environment.feed.subscriptions() == {1: Mode.QUOTE}
    await other.service.subscribe("api", [request(B)])
    await environment.service.subscribe("api", [request(C)])
    assert set(environment.feed.subscriptions()) == {1, 2, 3}
    await other.service.follow()
    assert set(other.feed.subscriptions()) == {1, 2, 3}


async def test_concurrent_writers_lose_nothing(environment: Environment) -> None:
    """Twenty at once."""
    rows = [instrument(f"NSE:S{n}", token=100 + n) for n in range(20)]
    environment.market.dump = [A, B, C, *rows]
    await environment.instruments.refresh(force=False)
    await asyncio.gather(*(environment.service.subscribe(f"owner-{n}", [request(row)]) for n, row in enumerate(rows)))
    assert set(environment.feed.subscriptions()) == {100 + n for n in range(20)}


async def test_requests_beyond_the_capacity_are_refused(
    database: Database, redis: Redis, redis_url: str, redis_prefix: str
) -> None:
    """Item by item; what fits is streamed."""
    environment = await replica(database, redis, redis_url, redis_prefix, capacity=2)
    result = await environment.service.subscribe("api", [request(A), request(B), request(C)])
    assert isinstance(result.outcomes[2], Conflict)
    assert result.outcomes[2].code == "SUBSCRIPTION_LIMIT"
    assert set(environment.feed.subscriptions()) == {1, 2}


async def test_a_recycled_token_moves_the_subscription_with_its_symbol(environment: Environment) -> None:
    """After a refresh the feed streams the symbol's new token, not the instrument that now has the old one."""
    await environment.service.subscribe("api", [request(A)])
    environment.market.dump = [instrument("NSE:A", token=50), instrument("NSE:NEW", token=1), B, C]
    await environment.instruments.refresh(force=False)
    assert environment.feed.subscriptions() == {50: Mode.QUOTE}
    assert environment.status(A).instrument_token == 50


async def test_an_expired_instrument_ends_streaming_and_gives_the_reason(environment: Environment) -> None:
    """The subscription stays and can be ended by its old token."""
    option = instrument("NFO:OPT", token=9, expiry=date(2026, 1, 5))
    environment.market.dump = [A, B, C, option]
    await environment.instruments.refresh(force=False)
    await environment.service.subscribe("api", [request(option)])
    environment.market.dump = [A, B, C]
    await environment.instruments.refresh(force=False)
    assert environment.feed.subscriptions() == {}
    assert (environment.status(option).status, environment.status(option).error) == (
        TickStatus.REQUESTED,
        "INSTRUMENT_EXPIRED",
    )
    assert await environment.service.unsubscribe("api", instrument_token=9) == []


async def test_status_goes_from_requested_to_stale(environment: Environment) -> None:
    """requested, active, ticking, stale, and ticking again."""
    environment.feed.state.connected = False
    await environment.service.subscribe("api", [request(A)])
    seen = [environment.status(A).status]
    environment.feed.state.connected = True
    seen.append(environment.status(A).status)
    environment.tick(1)
    seen.append(environment.status(A).status)
    environment.clock.forward(NOON + timedelta(seconds=31))
    seen.append(environment.status(A).status)
    assert environment.status(A).last_tick_age_ms == 31_000
    environment.tick(1)
    seen.append(environment.status(A).status)
    assert [status.value for status in seen] == ["requested", "active", "ticking", "stale", "ticking"]


async def test_a_closed_market_is_silent_without_being_stale(
    database: Database, redis: Redis, redis_url: str, redis_prefix: str
) -> None:
    """By the exchange's calendar."""
    environment = await replica(database, redis, redis_url, redis_prefix, calendar=MarketCalendar())
    await environment.service.subscribe("api", [request(A)])
    environment.tick(1)
    environment.clock.forward(NOON + timedelta(hours=8))
    await environment.service.check_feeds()
    assert environment.status(A).status is TickStatus.TICKING
    assert "feed_stale" not in [kind for kind, _ in environment.recorded]


async def test_a_change_is_recorded_in_its_transaction_and_announced(
    environment: Environment, redis: Redis, redis_prefix: str
) -> None:
    """``subscription_changed`` in the account's log and on the events channel; once, and not for repeating."""
    pubsub = redis.pubsub()
    await pubsub.subscribe(f"{redis_prefix}events")
    await pubsub.get_message(timeout=20)
    loop = asyncio.create_task(environment.service.run())
    await environment.service.subscribe("api", [request(A)])
    await environment.service.subscribe("api", [request(A)])
    message = await pubsub.get_message(ignore_subscribe_messages=True, timeout=20)
    loop.cancel()
    await pubsub.aclose()  # type: ignore[no-untyped-call]
    data = {"owner": "api", "subscribed": ["NSE:A"], "unsubscribed": []}
    assert environment.recorded == [("subscription_changed", data)]
    assert message is not None
    assert json.loads(message["data"]) == {
        "v": 1,
        "type": "subscription_changed",
        "timestamp": "2026-01-05T12:00:00.000+05:30",
        "account_id": "primary",
        "data": data,
    }


async def test_the_silence_of_a_feed_that_runs_elsewhere_is_not_recorded(
    database: Database, redis: Redis, redis_url: str, redis_prefix: str
) -> None:
    """Each replica knows all subscriptions and has no ticks of them; from the take-over on the silence counts anew."""
    running = RunningHere(here=False)
    environment = await replica(database, redis, redis_url, redis_prefix, running=running)
    await environment.service.subscribe("api", [request(A)])
    for seconds in (31, 62):
        environment.clock.forward(NOON + timedelta(seconds=seconds))
        await environment.service.check_feeds()
    running.here = True
    for seconds in (63, 92):
        environment.clock.forward(NOON + timedelta(seconds=seconds))
        await environment.service.check_feeds()
    assert [kind for kind, _ in environment.recorded if kind.startswith("feed")] == []
    environment.clock.forward(NOON + timedelta(seconds=94))
    await environment.service.check_feeds()
    assert [kind for kind, _ in environment.recorded if kind.startswith("feed")] == ["feed_stale"]


async def test_ticks_of_yesterday_are_no_silence_right_after_the_opening(
    database: Database, redis: Redis, redis_url: str, redis_prefix: str
) -> None:
    """Silence counts from the opening, for the event and for health alike: both ask the same check."""
    environment = await replica(database, redis, redis_url, redis_prefix, calendar=MarketCalendar())
    await environment.service.subscribe("api", [request(A)])
    environment.tick(1)
    opening = NOON.replace(hour=9, minute=15) + timedelta(days=1)
    for seconds, silent in ((0, False), (29, False), (31, True)):
        environment.clock.forward(opening + timedelta(seconds=seconds))
        await environment.service.check_feeds()
        assert environment.service.feed_is_silent("primary") is silent


async def test_silence_that_begins_while_the_database_is_away_is_recorded_when_it_is_back(
    environment: Environment,
) -> None:
    """It is known at once, and its event is not lost."""
    await environment.service.subscribe("api", [request(A)])
    await environment.service.check_feeds()
    environment.clock.forward(NOON + timedelta(seconds=31))
    environment.refused.append(Unavailable("the database is away"))
    with pytest.raises(Unavailable):
        await environment.service.check_feeds()
    assert environment.service.feed_is_silent("primary")
    await environment.service.check_feeds()
    assert [kind for kind, _ in environment.recorded] == ["subscription_changed", "feed_stale"]


async def test_a_silent_feed_is_recorded_once_and_its_recovery_once(environment: Environment) -> None:
    """While the market is open and an instrument is subscribed."""
    await environment.service.check_feeds()
    await environment.service.subscribe("api", [request(A)])
    await environment.service.check_feeds()
    environment.clock.forward(NOON + timedelta(seconds=31))
    await environment.service.check_feeds()
    await environment.service.check_feeds()
    environment.tick(1)
    await environment.service.check_feeds()
    await environment.service.check_feeds()
    assert [kind for kind, _ in environment.recorded] == ["subscription_changed", "feed_stale", "feed_recovered"]
    assert environment.recorded[1][1] == {"connected": True, "subscriptions": 1, "last_tick_age_ms": None}


async def test_active_is_what_a_live_socket_was_asked_for(environment: Environment) -> None:
    """Without a connection nothing is active."""
    await environment.service.subscribe("api", [request(A), request(B)])
    assert environment.service.active_count() == 2
    environment.feed.state.connected = False
    assert environment.service.active_count() == 0


async def test_three_thousand_in_one_request_are_one_message(environment: Environment) -> None:
    """And stored in one round trip."""
    rows = [instrument(f"NSE:S{n}", token=1000 + n) for n in range(3000)]
    environment.market.dump = rows
    await environment.instruments.refresh(force=True)
    result = await environment.service.subscribe("api", [request(row, Mode.FULL) for row in rows])
    assert result.changed == 3000
    assert [(kind, len(modes)) for kind, modes in environment.feed.calls] == [("subscribe", 3000)]
