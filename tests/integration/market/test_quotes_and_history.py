"""Last values and candles, with a scripted broker and a real Redis."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from redis.asyncio import Redis

from app.broker.market import Candle, Quote
from app.db.postgres import Database, open_database
from app.db.redis_keys import RedisKeys
from app.errors import BadInput, BrokerUnavailable, NotFound
from app.kit.clock import IST
from app.market.calendar.exchange_hours import MarketCalendar
from app.market.calendar.staleness import StalenessCheck
from app.market.history.service import HistoryRequest, HistoryService
from app.market.instruments.registry import InstrumentRegistry
from app.market.quotes.service import QuoteService
from app.market.ticks.newest import NewestTicks
from tests.integration.market.packets import ltp_packet
from tests.integration.market.scripted import ScriptedMarket, SetClock, broker
from tests.integration.market.test_tick_pipeline import decode
from tests.unit.market.builders import NOON, instrument

A, B = instrument("NSE:A", token=1), instrument("NSE:B", token=2)
FUTURE = instrument("NFO:F", token=3, instrument_type="FUT")


@dataclass(kw_only=True)
class Environment:
    quotes: QuoteService
    history: HistoryService
    market: ScriptedMarket
    ticks: NewestTicks
    clock: SetClock
    redis: Redis
    prefix: str

    def price(self, key: str, last_price: str) -> None:
        self.market.prices[key] = Quote(key=key, instrument_token=1, last_price=Decimal(last_price), raw={"volume": 7})

    async def remember(self, token: int, **fields: Any) -> None:
        tick = {"instrument_token": token, "last_price": 9.5, "source": "simulator", **fields}
        await self.redis.hset(f"{self.prefix}last", str(token), msgspec.json.encode(tick))


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = await open_database(database_url, name="test", min_size=1, max_size=2)
    yield database
    await database.close()


@pytest.fixture
async def environment(database: Database, redis_url: str, redis_prefix: str) -> AsyncIterator[Environment]:
    clock, market = SetClock(NOON), ScriptedMarket(dump=[A, B, FUTURE])
    brokers = {"primary": broker(market)}
    instruments = InstrumentRegistry(database, brokers=brokers, clock=clock)
    await instruments.start()
    market.calls.clear()
    redis = Redis.from_url(redis_url)
    ticks = NewestTicks({"primary": decode}, instruments=instruments, source="simulator")
    quotes = QuoteService(
        ticks=ticks, instruments=instruments, brokers=brokers, redis=redis, keys=RedisKeys(redis_prefix), clock=clock,
        staleness=StalenessCheck(MarketCalendar(mode="always"), clock=clock, stale_after_s=30.0),
    )  # fmt: skip
    yield Environment(
        quotes=quotes, history=HistoryService(brokers=brokers, instruments=instruments), market=market, ticks=ticks,
        clock=clock, redis=redis, prefix=redis_prefix,
    )  # fmt: skip
    await redis.aclose()


def at_ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


async def test_a_tick_in_memory_is_answered_with_its_age(environment: Environment) -> None:
    """The broker gets no request."""
    environment.ticks.accounts["primary"].on_packets([ltp_packet(1, 150)], received_at_ms=at_ms(NOON))
    environment.clock.forward(NOON + timedelta(seconds=31))
    answer = await environment.quotes.quotes(["NSE:A"])
    value = answer.quotes["NSE:A"]
    assert {name: value[name] for name in ("last_price", "age_ms", "stale", "origin", "source")} == {
        "last_price": 1.5, "age_ms": 31_000, "stale": True, "origin": "tick", "source": "simulator",
    }  # fmt: skip
    assert environment.market.calls == []


async def test_ticks_of_another_process_come_from_redis(environment: Environment) -> None:
    """But not from another source, and not another instrument that had the token before."""
    environment.price("NSE:B", "20")
    await environment.remember(1, tradingsymbol="A", received_at=at_ms(NOON))
    await environment.remember(2, tradingsymbol="B", received_at=at_ms(NOON), source="live")
    await environment.remember(3, tradingsymbol="OLD", received_at=at_ms(NOON))
    answer = await environment.quotes.quotes(["NSE:A", "NSE:B", "NFO:F"])
    assert {key: value["origin"] for key, value in answer.quotes.items()} == {"NSE:A": "tick", "NSE:B": "broker"}
    assert answer.missing == ("NFO:F",)


async def test_callers_share_one_request_to_the_broker_for_a_second(environment: Environment) -> None:
    """Callers at the same time share requests; what the broker does not know is remembered too."""
    environment.price("NSE:A", "10.05")
    environment.price("NSE:B", "20")
    answers = await asyncio.gather(*(environment.quotes.quotes(["NSE:A", "NSE:B", "NFO:F"]) for _ in range(10)))
    assert all(set(answer.quotes) == {"NSE:A", "NSE:B"} for answer in answers)
    assert answers[0].quotes["NSE:A"]["last_price"] == 10.05
    assert answers[0].quotes["NSE:A"]["volume_traded"] == 7
    assert len(environment.market.calls) == 1
    environment.clock.forward(NOON + timedelta(seconds=2))
    await environment.quotes.quotes(["NSE:A"])
    assert len(environment.market.calls) == 2


async def test_a_broker_that_fails_is_an_error_only_when_it_was_needed(environment: Environment) -> None:
    """Values in memory go on being served."""
    environment.market.failure = BrokerUnavailable("gone")
    await environment.remember(1, tradingsymbol="A", received_at=at_ms(NOON))
    assert (await environment.quotes.quotes(["NSE:A"])).quotes
    with pytest.raises(BrokerUnavailable):
        await environment.quotes.quotes(["NSE:B"])


async def test_garbage_in_the_hash_is_ignored(environment: Environment) -> None:
    """Somebody else may write there."""
    environment.price("NSE:A", "1")
    for value in (b"\xff", b"[]", b'{"received_at": "x"}'):
        await environment.redis.hset(f"{environment.prefix}last", "1", value)
        assert (await environment.quotes.quotes(["NSE:A"])).quotes["NSE:A"]["origin"] == "broker"


async def test_a_quote_may_be_asked_for_by_token(environment: Environment) -> None:
    """From memory and from the broker, under the key that was asked for, beside the symbol's."""
    environment.ticks.accounts["primary"].on_packets([ltp_packet(1, 150)], received_at_ms=at_ms(NOON))
    environment.price("NSE:B", "20")
    answer = await environment.quotes.quotes(["1", "2", "NSE:B", "4000000000"])
    assert {key: value["last_price"] for key, value in answer.quotes.items()} == {"1": 1.5, "2": 20, "NSE:B": 20}
    assert answer.missing == ("4000000000",)
    assert len(environment.market.calls) == 1


async def test_unknown_instruments_are_missing_and_malformed_keys_refused(environment: Environment) -> None:
    """Every malformed key at once."""
    assert (await environment.quotes.quotes(["NSE:NOPE"])).missing == ("NSE:NOPE",)
    with pytest.raises(BadInput) as refused:
        await environment.quotes.quotes(["INFY", ":X", "NSE:A"])
    assert [problem.loc for problem in refused.value.problems] == [("query", "i", 0), ("query", "i", 1)]
    with pytest.raises(BadInput, match="between 1 and 500"):
        await environment.quotes.quotes([])


START = datetime(2025, 1, 1, tzinfo=IST)


def bar(day: int) -> Candle:
    one = Decimal("100.05")
    return Candle(time=START + timedelta(days=day), open=one, high=one, low=one, close=one, volume=day)


def request(**changes: Any) -> HistoryRequest:
    fields: dict[str, Any] = {
        "instrument_token": 1, "start": START, "end": START + timedelta(days=150), "interval": "minute", **changes
    }  # fmt: skip
    return HistoryRequest(**fields)


async def test_a_long_range_is_fetched_in_parts_and_joined(environment: Environment) -> None:
    """By the sixty days of minute candles; each candle once, in order."""
    environment.market.bars = [bar(day) for day in range(200)]
    found = await environment.history.candles(request())
    assert [candle.volume for candle in found.candles] == list(range(151))
    assert [(call[3] - call[2]).days for call in environment.market.calls] == [59, 59, 30]
    assert found.instrument == A


async def test_every_problem_of_a_request_is_named(environment: Environment) -> None:
    """Interval and order of the ends at once; the broker gets no request."""
    with pytest.raises(BadInput) as refused:
        await environment.history.candles(request(interval="7minute", end=START - timedelta(days=1)))
    assert [problem.loc[1] for problem in refused.value.problems] == ["interval", "to"]
    assert environment.market.calls == []


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"end": START + timedelta(days=1200)}, "at most 1200 days of minute candles"),
        ({"continuous": True, "interval": "day"}, "futures only"),  # a share
        ({"continuous": True, "instrument_token": 3}, "futures only"),  # not day candles
    ],
)
async def test_requests_that_the_broker_would_refuse_are_refused_here(
    environment: Environment, changes: dict[str, Any], error: str
) -> None:
    """With what would be right."""
    with pytest.raises(BadInput, match=error):
        await environment.history.candles(request(**changes))


async def test_a_range_of_too_many_requests_has_its_code(environment: Environment) -> None:
    """Twenty requests a call: the last range that passes ends a day earlier."""
    with pytest.raises(BadInput) as refused:
        await environment.history.candles(request(end=START + timedelta(days=1200)))
    assert refused.value.code == "RANGE_TOO_LONG"
    await environment.history.candles(request(end=START + timedelta(days=1200, seconds=-1)))
    assert len(environment.market.calls) == 20


async def test_unknown_instrument_and_account_are_not_found(environment: Environment) -> None:
    """Before the broker gets a request."""
    for changes in ({"instrument_token": 404}, {"account_id": "missing"}):
        with pytest.raises(NotFound):
            await environment.history.candles(request(**changes))
    assert environment.market.calls == []


async def test_continuous_day_candles_of_a_future_are_fetched(environment: Environment) -> None:
    """The flags reach the broker."""
    await environment.history.candles(request(instrument_token=3, continuous=True, oi=True, interval="day"))
    assert environment.market.calls[0][4:] == (True, True)
