"""One account's request budget at the broker: which request may go next, and when.

``pace`` decides, this waits. Cancels go before modifications before placements, the rest in order of arrival. Every
wait ends: at its deadline, after ``max_wait_s``, or immediately when too many wait already. Order requests do not wait
inside the gateways (the order engine acquires, then claims, then sends); reads do.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Protocol

from app.broker.port import RequestKind
from app.errors import RateLimited
from app.kit.answer_time import seconds_left
from app.kit.clock import Clock, today
from app.kite.pace import BrokerLimits, OrderPace, ReadPace
from app.kite.shared_pace import ReadCount, SharedPace

_PRIORITY = {RequestKind.CANCEL: 0, RequestKind.MODIFY: 1, RequestKind.BOOK: 0}
_LAST = 2
MAX_WAITING = 1_000
"""Requests that may wait in one lane; the next one is turned away at once."""
LONGEST_WAIT_S = 30.0
_TINY_S = 1e-6


class Pace(Protocol):
    """How fast requests of one lane may follow one another. Times are seconds of ``Clock.monotonic``."""

    def ready_at(self, kind: RequestKind, *, now: float, day: date) -> float:
        """The earliest moment for the next request; infinite when the day's budget is used up."""
        ...

    def take(self, kind: RequestKind, *, now: float, day: date) -> None:
        """Count a request that goes now."""
        ...


@dataclass(order=True, slots=True)
class _Waiter:
    priority: int
    number: int
    kind: RequestKind = field(compare=False)
    granted: asyncio.Future[None] = field(compare=False)


class _Lane:
    """A priority queue in front of one pace; one timer wakes the head, no task of its own."""

    def __init__(self, pace: Pace, *, clock: Clock) -> None:
        self._pace = pace
        self._clock = clock
        self._waiting: list[_Waiter] = []
        self._numbers = itertools.count()
        self._timer: asyncio.TimerHandle | None = None

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def ready_at(self, kind: RequestKind) -> float:
        return self._pace.ready_at(kind, now=self._clock.monotonic(), day=today(self._clock))

    def join(self, kind: RequestKind) -> asyncio.Future[None]:
        """Queue a request; the future is done when it may go, which may be immediately."""
        granted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, _Waiter(_PRIORITY.get(kind, _LAST), next(self._numbers), kind, granted))
        self._pump()
        return granted

    def leave(self, granted: asyncio.Future[None]) -> None:
        """Forget a waiter that gave up; if it was granted meanwhile, its slot goes unused."""
        granted.cancel()
        self._waiting = [waiter for waiter in self._waiting if not waiter.granted.done()]
        heapq.heapify(self._waiting)
        self._pump()

    def _pump(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._waiting:
            head = self._waiting[0]
            if head.granted.done():
                heapq.heappop(self._waiting)
                continue
            now, day = self._clock.monotonic(), today(self._clock)
            at = self._pace.ready_at(head.kind, now=now, day=day)
            if at > now:
                # an exhausted day may be over before the waiter gives up: try again each second
                delay = max(_TINY_S, 1.0 if math.isinf(at) else at - now)
                self._timer = asyncio.get_running_loop().call_later(delay, self._pump)
                return
            self._pace.take(head.kind, now=now, day=day)
            heapq.heappop(self._waiting)
            head.granted.set_result(None)


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedReads:
    """The count of all replicas' reads, and whose reads they are."""

    count: ReadCount
    account_id: str

    def paces(self, limits: BrokerLimits, *, clock: Clock) -> Mapping[RequestKind, SharedPace]:
        """By kind of request; two kinds that the broker counts together have one pace."""

        def pace(name: str, emission_s: float, burst: int = 1) -> SharedPace:
            name = f"{self.account_id}/{name}"
            return SharedPace(self.count, name=name, emission_s=emission_s, burst=burst, clock=clock)

        others = pace("other", limits.other_emission_s, limits.other_burst)
        return {
            RequestKind.QUOTE: pace("quote", limits.quote_emission_s),
            RequestKind.HISTORICAL: pace("historical", limits.historical_emission_s),
            RequestKind.BOOK: others,
            RequestKind.OTHER: others,
        }


class Governor:
    """Implements ``app.broker.port.Governor`` for one account; all its gateways share it."""

    def __init__(
        self,
        *,
        clock: Clock,
        limits: BrokerLimits | None = None,
        max_waiting: int = MAX_WAITING,
        max_wait_s: float = LONGEST_WAIT_S,
        shared: SharedReads | None = None,
    ) -> None:
        limits = limits or BrokerLimits()
        self._shared = {} if shared is None else shared.paces(limits, clock=clock)
        self._clock = clock
        self._max_waiting = max_waiting
        self._max_wait_s = max_wait_s
        self._orders = OrderPace(limits)
        orders = _Lane(self._orders, clock=clock)
        others = _Lane(ReadPace(limits.other_emission_s, burst=limits.other_burst), clock=clock)
        self._lanes = {
            RequestKind.CANCEL: orders,
            RequestKind.MODIFY: orders,
            RequestKind.PLACE: orders,
            RequestKind.QUOTE: _Lane(ReadPace(limits.quote_emission_s), clock=clock),
            RequestKind.HISTORICAL: _Lane(ReadPace(limits.historical_emission_s), clock=clock),
            RequestKind.BOOK: others,
            RequestKind.OTHER: others,
        }

    async def acquire(self, kind: RequestKind, *, deadline: float | None = None) -> None:
        """Return when a request of ``kind`` may go, at the latest at ``deadline`` (seconds of ``clock.monotonic``).

        Raises RateLimited when it may not go in time: nothing was counted then, apart from a slot that may go unused.
        """
        lane = self._lanes[kind]
        now = self._clock.monotonic()
        until = now + min(self._max_wait_s, seconds_left())
        until = until if deadline is None else min(deadline, until)
        earliest = lane.ready_at(kind)
        if earliest > until:
            raise _too_busy(kind, wait_s=earliest - now)
        if (
            lane.waiting >= self._max_waiting and kind is not RequestKind.BOOK
        ):  # one reader, and every order waits for it
            raise _too_busy(kind, wait_s=self._max_wait_s)
        granted = lane.join(kind)
        try:
            async with asyncio.timeout(until - now):
                await granted
        except TimeoutError:
            raise _too_busy(kind, wait_s=1.0) from None
        finally:
            if not granted.done() or granted.cancelled():
                lane.leave(granted)
        pace = self._shared.get(kind)
        if pace is not None and not await pace.wait(urgent=kind is RequestKind.BOOK, until=until):
            raise _too_busy(kind, wait_s=1.0)

    async def depart(self) -> None:
        """Called right before an order request is written, after ``acquire``: see ``Departures``."""
        departures = self._orders.departures
        at = departures.ready_at(self._clock.monotonic())
        departures.take(at)
        await asyncio.sleep(max(0.0, at - self._clock.monotonic()))

    def cool_down(self, seconds: float) -> None:
        """The broker refused an order request for its rate: none goes for ``seconds``."""
        self._orders.cool_down(self._clock.monotonic() + seconds)

    def places_left_today(self) -> int:
        """Of the day's placements, as far as this process knows."""
        return self._orders.places_left(today(self._clock))

    def restore_places_today(self, used: int) -> None:
        """Set how many placements the account has sent today, as the database knows it."""
        self._orders.restore(day=today(self._clock), used=used)

    def restore_minute(self, ages_s: Sequence[float]) -> None:
        """Set how many seconds ago each of the last minute's order requests left, by any owner."""
        now = self._clock.monotonic()
        self._orders.restore_minute(now - age_s for age_s in ages_s)


def _too_busy(kind: RequestKind, *, wait_s: float) -> RateLimited:
    if math.isinf(wait_s):
        return RateLimited("the broker's daily limit of placements is used up", retry_after_s=3600.0)
    return RateLimited(f"no room for a {kind} request within the broker's rate limit in time", retry_after_s=wait_s)
