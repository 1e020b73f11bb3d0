"""The instrument registry over a real PostgreSQL and a scripted broker."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta

import pytest
from psycopg.errors import NotNullViolation

from app.broker.rows import BadRow
from app.db.postgres import Database, open_database
from app.errors import BrokerUnavailable, Conflict, Gone, NotFound, Unavailable
from app.market.instruments.dump_schedule import is_due
from app.market.instruments.registry import InstrumentRegistry
from tests.integration.market.scripted import ScriptedMarket, SetClock, broker
from tests.unit.market.builders import NOON, instrument
from tests.waiting import until

INFY = instrument("NSE:INFY", token=408065)
SBIN = instrument("NSE:SBIN", token=779521, name="STATE BANK")
OPTION = instrument(
    "NFO:NIFTY26JAN24500CE", token=9, name="", expiry=date(2026, 1, 29), strike="24500.5", instrument_type="CE"
)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = await open_database(database_url, name="test", min_size=1, max_size=4)
    yield database
    await database.close()


def service(database: Database, market: ScriptedMarket, *, clock: SetClock | None = None) -> InstrumentRegistry:
    return InstrumentRegistry(database, brokers={"primary": broker(market)}, clock=clock or SetClock(NOON))


async def test_the_first_start_loads_the_dump_and_the_next_one_needs_no_broker(database: Database) -> None:
    """Every column survives PostgreSQL as it came."""
    market = ScriptedMarket(dump=[INFY, SBIN, OPTION])
    first = service(database, market)
    await first.start()
    market.failure = BrokerUnavailable("gone")
    second = service(database, market)
    await second.start()
    assert len(market.calls) == 1
    assert [await second.get(row.instrument_token) for row in market.dump] == market.dump
    assert second.status().status == "ok"
    assert second.status().cached_instruments == 3
    assert second.status().last_refresh == NOON


async def test_a_broker_that_fails_at_the_first_start_leaves_an_empty_registry_that_says_so(
    database: Database,
) -> None:
    """The service starts; lookups say that nothing is loaded, not that it does not exist."""
    registry = service(database, ScriptedMarket(failure=BrokerUnavailable("gone")))
    await registry.start()
    assert (registry.status().status, registry.status().last_error) == ("empty", "gone")
    with pytest.raises(Unavailable, match="no instruments are loaded") as caught:
        await registry.get(1)
    assert caught.value.code == "INSTRUMENTS_NOT_LOADED"


async def test_without_an_account_nothing_can_be_loaded(database: Database) -> None:
    """And it says so, with a code of its own."""
    registry = InstrumentRegistry(database, brokers={}, clock=SetClock(NOON))
    with pytest.raises(Unavailable) as caught:
        await registry.refresh(force=False)
    assert caught.value.code == "NO_ACCOUNT"


async def test_a_failing_refresh_keeps_the_old_index(database: Database) -> None:
    """And the status shows the error until one succeeds."""
    market = ScriptedMarket(dump=[INFY])
    registry = service(database, market)
    await registry.start()
    market.failure = BrokerUnavailable("gone")
    with pytest.raises(BrokerUnavailable):
        await registry.refresh(force=True)
    assert await registry.get(408065) == INFY
    assert registry.status().last_error == "gone"
    market.failure = None
    await registry.refresh(force=False)
    assert registry.status().last_error is None


@pytest.mark.parametrize(
    "failure", [RuntimeError("no such row"), NotNullViolation("null value"), OverflowError("date")]
)
async def test_whatever_a_refresh_meets_ends_neither_start_nor_loop(database: Database, failure: Exception) -> None:
    """The old instruments stay in use and count as stale; an operator's refresh is told, without a traceback."""
    clock = SetClock(NOON)
    market = ScriptedMarket(failure=failure)
    registry = service(database, market, clock=clock)
    await registry.start()
    assert registry.status().status == "empty"
    market.failure, market.dump = None, [INFY]
    await registry.refresh(force=False)
    market.failure = failure
    with pytest.raises(Unavailable) as refused:
        await registry.refresh(force=True)
    assert refused.value.code == "INSTRUMENTS_NOT_REFRESHED"
    assert (registry.status().status, await registry.get(408065)) == ("stale", INFY)
    clock.forward(NOON + timedelta(days=1))
    loop = asyncio.create_task(registry.run())
    await until(lambda: _is(len(market.calls) >= 4))
    assert not loop.done()
    loop.cancel()
    restarted = service(database, market, clock=clock)
    await restarted.start()
    assert (restarted.status().status, await restarted.get(408065)) == ("stale", INFY)


async def _is(condition: bool) -> bool:
    return condition


async def test_bad_rows_are_left_out_named_and_bounded(database: Database) -> None:
    """A few do not hide the others; with too many of them something else is wrong with the dump."""
    rows = [instrument(f"NSE:S{number}", token=number) for number in range(1, 100)]
    bad = BadRow(place="line 7", reason="instrument_type is empty")
    market = ScriptedMarket(dump=rows, unreadable=[bad])
    registry = service(database, market)
    await registry.start()
    assert registry.status().cached_instruments == 99
    assert list((await registry.refresh(force=False)).left_out) == [bad]
    market.unreadable = [bad] * 20
    with pytest.raises(Conflict, match="20 rows of the broker's dump cannot be read") as refused:
        await registry.refresh(force=False)
    assert refused.value.code == "INSTRUMENT_DUMP_UNREADABLE"
    assert registry.status().status == "stale"
    assert (await registry.refresh(force=True)).instruments == 99
    assert registry.status().status == "ok"


async def test_an_instrument_that_left_the_dump_is_gone_not_unknown(database: Database) -> None:
    """Over restarts; and what comes back lives again."""
    market = ScriptedMarket(dump=[INFY, SBIN, OPTION])
    registry = service(database, market)
    await registry.start()
    market.dump = [INFY, SBIN]
    result = await registry.refresh(force=False)
    assert (result.instruments, result.added, result.expired) == (2, 0, 1)
    restarted = service(database, market)
    await restarted.start()
    for reader in (registry, restarted):
        with pytest.raises(Gone) as gone:
            await reader.get(9)
        assert gone.value.code == "INSTRUMENT_EXPIRED"
        with pytest.raises(Gone):
            await reader.get_by_symbol("NFO", "NIFTY26JAN24500CE")
        with pytest.raises(NotFound):
            await reader.get(10)
        with pytest.raises(NotFound):
            await reader.get_by_symbol("NSE", "NOPE")
    market.dump = [INFY, SBIN, OPTION]
    assert (await registry.refresh(force=False)).added == 1
    assert await registry.get(9) == OPTION


async def test_a_recycled_token_is_the_new_instrument(database: Database) -> None:
    """The living one wins over the expired one."""
    market = ScriptedMarket(dump=[INFY, OPTION])
    registry = service(database, market)
    await registry.start()
    successor = instrument("NFO:NIFTY26FEB24500CE", token=9, expiry=date(2026, 2, 26))
    market.dump = [INFY, successor]
    await registry.refresh(force=False)
    assert await registry.get(9) == successor


async def test_an_expiry_that_has_passed_is_gone_although_the_dump_is_old(database: Database) -> None:
    """On the day of expiry itself it still trades."""
    clock = SetClock(NOON)
    registry = service(database, ScriptedMarket(dump=[OPTION]), clock=clock)
    await registry.start()
    clock.forward(datetime(2026, 1, 29, 10, 0, tzinfo=UTC))
    assert await registry.get(9) == OPTION
    clock.forward(datetime(2026, 1, 30, 10, 0, tzinfo=UTC))
    with pytest.raises(Gone):
        await registry.get(9)


@pytest.mark.parametrize("size", [0, 4])
async def test_a_suspiciously_small_dump_is_not_taken(database: Database, size: int) -> None:
    """Under half of the former needs force; an empty one is never taken."""
    market = ScriptedMarket(dump=[instrument(f"NSE:S{n}", token=n) for n in range(10)])
    registry = service(database, market)
    await registry.start()
    market.dump = market.dump[:size]
    with pytest.raises(Conflict) as refused:
        await registry.refresh(force=False)
    assert refused.value.code == "INSTRUMENT_DUMP_TOO_SMALL"
    assert registry.status().cached_instruments == 10
    if size:
        assert (await registry.refresh(force=True)).instruments == size


async def test_listeners_are_called_after_a_refresh(database: Database) -> None:
    """After it is in place."""
    market = ScriptedMarket(dump=[INFY])
    registry = service(database, market)
    seen: list[int] = []
    registry.add_listener(lambda: seen.append(len(registry.by_token())))
    await registry.start()
    assert seen[-1] == 1


async def test_the_daily_loop_refreshes_after_the_dump_time(database: Database) -> None:
    """A dump of the day before is stale from 08:30 IST on, and the loop replaces it."""
    clock = SetClock(NOON)
    market = ScriptedMarket(dump=[INFY])
    registry = service(database, market, clock=clock)
    await registry.start()
    clock.forward(NOON + timedelta(days=1))
    assert registry.status().status == "stale"
    market.dump = [INFY, SBIN]
    loop = asyncio.create_task(registry.run())
    try:
        async with asyncio.timeout(20):
            while registry.status().status != "ok":
                await asyncio.sleep(0.01)
    finally:
        loop.cancel()
    assert registry.status().cached_instruments == 2


@pytest.mark.parametrize(
    ("refreshed", "now", "due"),
    [
        (None, NOON, True),
        (datetime(2026, 1, 5, 2, 59, tzinfo=UTC), NOON, True),  # 08:29 IST: the dump of the day before
        (datetime(2026, 1, 5, 3, 0, tzinfo=UTC), NOON, False),  # 08:30
        (datetime(2026, 1, 4, 6, 0, tzinfo=UTC), datetime(2026, 1, 5, 2, 0, tzinfo=UTC), False),  # no newer one yet
    ],
)
def test_when_a_refresh_is_due(refreshed: datetime | None, now: datetime, due: bool) -> None:
    """A newer dump should exist."""
    assert is_due(refreshed, now=now) is due


async def test_a_full_dump_loads_with_little_work_and_the_loop_stays_alive(database: Database) -> None:
    """A hundred thousand rows, while another task goes on ticking; what counts is our work, not the machine's time."""
    dump = [
        instrument(f"NFO:SYM{n}", token=n, name="SYM", expiry=date(2026, 1, 29), strike=str(n)) for n in range(100_000)
    ]
    registry = service(database, ScriptedMarket(dump=dump))
    worst = 0.0

    async def pulse() -> None:
        nonlocal worst
        while True:
            before = time.thread_time()
            await asyncio.sleep(0.005)
            worst = max(worst, time.thread_time() - before)

    pulsing = asyncio.create_task(pulse())
    started = time.process_time()
    await registry.start()
    took = time.process_time() - started
    pulsing.cancel()
    print(f"loaded with {took:.2f} s of work, at most {worst * 1000:.0f} ms without a pause")  # noqa: T201 - shown by -s
    assert registry.status().cached_instruments == 100_000
    assert took < 20
    assert worst < 1.0
