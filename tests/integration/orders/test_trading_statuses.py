"""What an account's owner writes about it: within two seconds, only while it owns it, and lowered in its own time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

import pytest

from app.broker.orders import OrderType
from app.db.leases import Lease, LeaseTimes
from app.db.postgres import Database, open_database
from app.kit.clock import SystemClock
from app.orders.state.model import TaskStatus
from app.orders.state.trading_reasons import ConfirmedStatus, Reason
from app.orders.state.trading_status_store import read_statuses, write_status
from simulator.server import RunningSimulator
from tests.order_environment import ACCOUNT, OPERATOR, SHORT_SETTINGS, OrderEnvironment, open_order_environment
from tests.order_waits import end_of, reaches, struck
from tests.waiting import until

RAISED_WITHIN_S = 2.0


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    opened = await open_database(database_url, name="statuses")
    yield opened
    await opened.close()


async def _written(database: Database) -> ConfirmedStatus | None:
    async with database.connection() as connection:
        return (await read_statuses(connection)).get(ACCOUNT)


async def _until_written(database: Database, reasons: Sequence[Reason], *, within_s: float) -> ConfirmedStatus:
    async def is_written() -> bool:
        found = await _written(database)
        return found is not None and list(found.status.reasons) == list(reasons)

    await until(is_written, within_s=within_s, every_s=0.05)
    found = await _written(database)
    assert found is not None
    return found


async def _blocked_by(database: Database, reason: Reason) -> bool:
    found = await _written(database)
    return found is not None and reason in found.status.reasons


async def test_an_owner_says_that_its_account_can_trade_and_confirms_it(environment: OrderEnvironment) -> None:
    """The time since when stays; the confirmation is never older than the five seconds after which it is void."""
    first = await _until_written(environment.database, [], within_s=10)
    await asyncio.sleep(2.5)
    later = await _written(environment.database)
    assert later is not None
    assert later.written_at > first.written_at
    assert later.status.since == first.status.since
    assert later.age_s < 2.5


async def test_a_halt_is_raised_and_lowered(environment: OrderEnvironment) -> None:
    """Within two seconds with the operator's words; lowered five seconds after the resume, with a new time."""
    before = await _until_written(environment.database, [], within_s=10)
    halts = environment.orders.operators.halts
    await halts.halt(ACCOUNT, mode="halt", open_orders="leave", reason="looks odd", by=OPERATOR)
    raised = await _until_written(environment.database, [Reason.HALTED], within_s=RAISED_WITHIN_S)
    assert raised.status.detail == {"halted": "halt by operator: looks odd"}
    assert before.status.since is not None
    assert raised.status.since is not None
    assert raised.status.since > before.status.since
    await halts.resume(ACCOUNT, reason="fine", by=OPERATOR)
    await asyncio.sleep(3.0)
    assert (await _until_written(environment.database, [Reason.HALTED], within_s=0.1)).status == raised.status
    assert (await _until_written(environment.database, [], within_s=5)).status.since != raised.status.since


async def test_too_many_doubts_are_a_reason(environment: OrderEnvironment) -> None:
    """What holds new orders as HALTED_NEW is said; so are the unreadable book and the breaker that opened with it."""
    await _until_written(environment.database, [], within_s=10)
    await environment.fault("drop_before_read", method="GET", path="/orders", times=-1)  # so that none is resolved
    await environment.fault("drop_before_read", times=3)
    for symbol in ("INFY", "TCS", "RELIANCE"):
        await environment.place(wait_s=0, tradingsymbol=symbol)
    expected = [Reason.TOO_MUCH_IN_DOUBT, Reason.BOOK_UNREADABLE, Reason.BREAKER_OPEN]
    found = await _until_written(environment.database, expected, within_s=15)
    assert set(found.status.detail) == set(expected)


async def test_a_book_that_cannot_be_read_is_a_reason(environment: OrderEnvironment) -> None:
    """After a few seconds, with the reader's words; until it can be read again."""
    await _until_written(environment.database, [], within_s=10)
    words = {"code": 503, "message": "down for a while"}
    await environment.fault("status", method="GET", path="/orders", times=-1, params=words)
    environment.orders.wakeups.on_order_hint(ACCOUNT)
    found = await _until_written(environment.database, [Reason.BOOK_UNREADABLE], within_s=5)
    assert found.status.detail["book_unreadable"]
    (await environment.sim.delete("/_sim/faults")).raise_for_status()
    await _until_written(environment.database, [], within_s=12)


async def test_one_failed_read_of_the_book_is_no_reason(environment: OrderEnvironment) -> None:
    """It is repeated first."""
    await _until_written(environment.database, [], within_s=10)
    await environment.fault("drop_before_read", method="GET", path="/orders")
    environment.orders.wakeups.on_order_hint(ACCOUNT)
    for _ in range(30):
        assert not await _blocked_by(environment.database, Reason.BOOK_UNREADABLE)
        await asyncio.sleep(0.1)


async def test_only_the_owner_of_the_term_writes(database: Database) -> None:
    """A process that was paused beyond its term changes nothing; the next owner's first word does not move the time."""
    clock, times = SystemClock(), LeaseTimes(ttl_s=5.0)
    old = Lease(database, name=f"sender:{ACCOUNT}", owner="old", times=times, clock=clock)
    new = Lease(database, name=f"sender:{ACCOUNT}", owner="new", times=times, clock=clock)
    assert await old.try_take()
    async with database.connection() as connection:
        await write_status(connection, ACCOUNT, reasons=[], detail={}, lease=old)
    first = await _written(database)
    await old.release()
    assert await new.try_take()
    async with database.connection() as connection:
        await write_status(connection, ACCOUNT, reasons=[Reason.HALTED], detail={"halted": "late"}, lease=old)
        assert await _written(database) is not None
        assert await _blocked_by(database, Reason.HALTED) is False
        await write_status(connection, ACCOUNT, reasons=[], detail={}, lease=new)
    taken_over = await _written(database)
    assert first is not None
    assert taken_over is not None
    assert taken_over.status.since == first.status.since
    assert taken_over.written_at > first.written_at


async def test_a_gap_without_an_owner_begins_a_new_time(database: Database) -> None:
    """An account that can trade again after a time without an owner has not been able to all the while."""
    lease = Lease(database, name=f"sender:{ACCOUNT}", owner="only", times=LeaseTimes(ttl_s=60.0), clock=SystemClock())
    assert await lease.try_take()
    async with database.connection() as connection:
        await write_status(connection, ACCOUNT, reasons=[], detail={}, lease=lease)
        await connection.execute(
            "UPDATE trading_status SET written_at = written_at - interval '6 s', since = since - interval '1 h'"
        )
        before = await _written(database)
        await write_status(connection, ACCOUNT, reasons=[], detail={}, lease=lease)
    after = await _written(database)
    assert before is not None
    assert after is not None
    assert after.status.since == after.written_at
    assert before.age_s > 5


async def test_an_account_without_a_session_cannot_trade(environment: OrderEnvironment) -> None:
    """The broker refuses the token of an order: said within two seconds of that."""
    await _until_written(environment.database, [], within_s=10)
    (await environment.sim.post("/_sim/session", json={"user_id": "SIM001", "expired": True})).raise_for_status()
    await reaches(environment, await environment.place(wait_s=0), TaskStatus.HELD)
    await until(lambda: _blocked_by(environment.database, Reason.NO_SESSION), within_s=RAISED_WITHIN_S, every_s=0.05)


async def test_as_many_placements_without_an_answer_as_may_be_under_way_are_a_reason(
    database_url: str, simulator: RunningSimulator
) -> None:
    """The broker hangs: an order placed now is not sent before one of them ends, and expires."""
    settings = replace(SHORT_SETTINGS, send_timeout_s=8.0, claim_lease_s=10.0)
    async with open_order_environment(database_url, simulator.url, settings=settings) as environment:
        await _until_written(environment.database, [], within_s=10)
        await environment.fault("hang", times=settings.in_flight, params={"ms": 20_000, "process": False})
        for symbol in ("INFY", "TCS", "RELIANCE", "SBIN"):
            await environment.place(wait_s=0, tradingsymbol=symbol)
        await struck(environment, "hang", settings.in_flight)
        late = await environment.place(wait_s=0, tradingsymbol="HDFCBANK", order_type=OrderType.MARKET, price=None)
        await _until_written(environment.database, [Reason.BREAKER_OPEN], within_s=RAISED_WITHIN_S + 1.0)
        assert (await end_of(environment, late))["status"] == "expired"
