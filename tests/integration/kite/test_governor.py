"""The waiting around the pace: order of precedence, deadlines, bounds. Limits are scaled down to milliseconds."""

from __future__ import annotations

import asyncio
import time

import pytest

from app.broker.port import RequestKind
from app.errors import RateLimited
from app.kit.clock import SystemClock
from app.kite.governor import Governor
from app.kite.pace import BrokerLimits

CANCEL, MODIFY, PLACE = RequestKind.CANCEL, RequestKind.MODIFY, RequestKind.PLACE
BOOK, OTHER = RequestKind.BOOK, RequestKind.OTHER
QUICK = BrokerLimits(order_emission_s=0.01, other_emission_s=0.01)


def governor(limits: BrokerLimits = QUICK, *, max_waiting: int = 100, max_wait_s: float = 5.0) -> Governor:
    return Governor(clock=SystemClock(), limits=limits, max_waiting=max_waiting, max_wait_s=max_wait_s)


async def test_cancels_go_before_modifications_before_placements() -> None:
    """Whoever waits is served by kind first, by arrival second."""
    one = governor(BrokerLimits(order_emission_s=0.2))
    await one.acquire(PLACE)
    served: list[str] = []

    async def ask(kind: RequestKind, name: str) -> None:
        await one.acquire(kind)
        served.append(name)

    async with asyncio.TaskGroup() as group:
        for kind, name in (
            (PLACE, "p1"),
            (PLACE, "p2"),
            (MODIFY, "m1"),
            (CANCEL, "c1"),
            (CANCEL, "c2"),
            (MODIFY, "m2"),
        ):
            group.create_task(ask(kind, name))
    assert served == ["c1", "c2", "m1", "m2", "p1", "p2"]


async def test_real_limits_never_show_eleven_in_a_second() -> None:
    """Twelve at once take at least 11 emissions of 112 ms."""
    one = Governor(clock=SystemClock())
    started = time.monotonic()
    await asyncio.gather(*(one.acquire(PLACE) for _ in range(12)))
    assert time.monotonic() - started >= 11 * 0.112 - 0.01


async def test_after_a_429_no_order_request_goes_for_a_while() -> None:
    """Also one that waits already, of whatever kind; reads have limits of their own."""
    one = governor()
    await one.acquire(PLACE)
    started = time.monotonic()
    waiting = asyncio.create_task(one.acquire(CANCEL))
    await asyncio.sleep(0)
    one.cool_down(1.5)
    await one.acquire(RequestKind.OTHER)
    assert not waiting.done()
    await one.acquire(PLACE)
    await waiting
    assert time.monotonic() - started >= 1.5


async def test_a_deadline_that_cannot_be_met_is_refused_at_once() -> None:
    """Nobody waits for what will not come; the error says how long it would take."""
    one = governor(BrokerLimits(order_emission_s=120), max_wait_s=60.0)
    await one.acquire(PLACE)
    with pytest.raises(RateLimited) as caught:
        async with asyncio.timeout(20):
            await one.acquire(PLACE, deadline=time.monotonic() + 60)
    assert caught.value.retry_after_s == pytest.approx(120, abs=20)


async def test_a_deadline_that_passes_while_others_go_first_ends_the_wait() -> None:
    """The request is not sent late, and its slot goes to the next."""
    one = governor(BrokerLimits(order_emission_s=0.3), max_waiting=4)
    await one.acquire(PLACE)
    others = [asyncio.ensure_future(one.acquire(CANCEL)) for _ in range(3)]
    await asyncio.sleep(0)
    with pytest.raises(RateLimited):
        await one.acquire(PLACE, deadline=time.monotonic() + 0.08)
    await asyncio.gather(*others)
    await asyncio.gather(*(one.acquire(PLACE) for _ in range(4)))  # all wait: the queue has no other


async def test_a_cancelled_waiter_leaves_the_queue() -> None:
    """Its place is taken by the next, and nothing stays behind."""
    one = governor(BrokerLimits(order_emission_s=0.3), max_waiting=2)
    await one.acquire(PLACE)
    first, second = (asyncio.ensure_future(one.acquire(PLACE)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    await second
    assert first.cancelled()
    await asyncio.gather(*(one.acquire(PLACE) for _ in range(2)))  # both wait: the queue has no other


async def test_the_queue_is_bounded() -> None:
    """One more than the bound is turned away at once."""
    one = governor(BrokerLimits(order_emission_s=0.5), max_waiting=1)
    await one.acquire(PLACE)
    waiter = asyncio.ensure_future(one.acquire(PLACE))
    await asyncio.sleep(0)
    with pytest.raises(RateLimited):
        await one.acquire(PLACE)
    await waiter


async def test_the_order_book_is_read_however_many_wait() -> None:
    """It ends doubts: a client that fills the queue must not shut it out."""
    one = governor(BrokerLimits(other_emission_s=0.3, other_burst=1), max_waiting=1)
    await one.acquire(OTHER)
    waiter = asyncio.ensure_future(one.acquire(OTHER))
    await asyncio.sleep(0)
    with pytest.raises(RateLimited):
        await one.acquire(OTHER)
    await one.acquire(BOOK)
    await waiter


async def test_an_exhausted_day_is_named() -> None:
    """The limit of placements a day is not a matter of waiting a second; cancels still pass."""
    one = governor(BrokerLimits(order_emission_s=0.001, places_per_day=1))
    await one.acquire(PLACE)
    with pytest.raises(RateLimited, match="daily limit"):
        await one.acquire(PLACE)
    await one.acquire(CANCEL)


async def test_the_days_count_survives_a_restart() -> None:
    """A new process learns what was sent."""
    one = governor(BrokerLimits(places_per_day=10))
    one.restore_places_today(9)
    await one.acquire(PLACE)
    with pytest.raises(RateLimited):
        await one.acquire(PLACE)


async def test_the_minutes_count_survives_a_change_of_owners() -> None:
    """What the former owner sent within the minute leaves a budget for cancels only."""
    one = governor(BrokerLimits(order_emission_s=0.001, orders_per_minute=5))
    one.restore_minute([1.0, 20.0, 40.0, 50.0])
    with pytest.raises(RateLimited):
        await one.acquire(PLACE)
    await one.acquire(CANCEL)


async def test_reads_do_not_wait_for_orders() -> None:
    """Each class has its own budget."""
    one = governor(BrokerLimits(order_emission_s=120))
    await one.acquire(PLACE)
    async with asyncio.timeout(20):
        for kind in (RequestKind.QUOTE, RequestKind.HISTORICAL, RequestKind.OTHER):
            await one.acquire(kind)
