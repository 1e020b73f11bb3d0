"""How fast requests may follow one another: pure arithmetic, ``now`` is an argument (seconds, never going backwards).

GCRA, not a token bucket: a bucket of 10 at 10 a second lets 19 requests through in one rolling second. Orders have a
burst of one, and an emission of 112 ms leaves a margin for a network that bunches: with up to 120 ms of one-way jitter
the worst rolling second at the broker still shows 10 requests, with 105 ms it shows 11. Reads may go in threes, because
the reads before a batch should not wait for one another; they pay by a longer emission.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date

from app.broker.port import RequestKind

MINUTE_S = 63.0
"""The broker's minute, and the longest way to it: a second of pause after the grant, two to connect. A request that was
granted late in one minute and arrives in the next must not be the 401st there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerLimits:
    """The broker's published limits and the distance kept from them (https://kite.trade/docs/connect/v3/exceptions/)."""

    order_emission_s: float = 0.112  # 10/s per client, hard
    historical_emission_s: float = 0.350  # 3/s
    quote_emission_s: float = 1.05  # 1/s
    other_emission_s: float = 0.150  # 10/s together, of which a burst may take three at once
    other_burst: int = 3
    orders_per_minute: int = 400
    kept_for_cancels: float = 0.2  # share of the minute's budget that placements and modifications may not use up
    places_per_day: int = 5_000  # every placement counts, refused ones too; modify and cancel do not


@dataclass(slots=True)
class Spacing:
    """GCRA: ``burst`` grants at once, and ``emission_s`` apart from then on."""

    emission_s: float
    burst: int = 1
    free_at: float = -math.inf

    def ready_at(self, now: float) -> float:
        """When the next grant fits."""
        return max(now, self.free_at - (self.burst - 1) * self.emission_s)

    def take(self, now: float) -> None:
        """Count a grant at ``now``."""
        self.free_at = max(now, self.free_at) + self.emission_s

    def hold(self, until: float) -> None:
        """Nothing goes before ``until``."""
        self.free_at = max(self.free_at, until)


SECOND_S = 1.0
DEPARTURES_PER_SECOND = 9


@dataclass(slots=True)
class MinuteWindow:
    """At most ``limit`` grants in any ``MINUTE_S``; holds one number per grant, so at most ``limit`` of them."""

    limit: int
    granted: deque[float] = field(default_factory=deque)

    def ready_at(self, now: float, *, limit: int) -> float:
        """When the next grant fits under ``limit`` (which may be below the window's own)."""
        self._forget(now)
        surplus = len(self.granted) - limit
        return now if surplus < 0 else self.granted[surplus] + MINUTE_S

    def take(self, now: float) -> None:
        self._forget(now)
        self.granted.append(now)

    def _forget(self, now: float) -> None:
        while self.granted and self.granted[0] <= now - MINUTE_S:
            self.granted.popleft()


@dataclass(slots=True)
class DayCount:
    """Placements of one trading day."""

    limit: int
    day: date | None = None
    used: int = 0

    def left(self, day: date) -> int:
        return self.limit - (self.used if day == self.day else 0)

    def take(self, day: date) -> None:
        self.used = self.used + 1 if day == self.day else 1
        self.day = day


@dataclass(slots=True)
class Departures:
    """When the last requests really left: a pause between a grant and its request must not bunch it with the next.

    The tenth leaves a second after the first at the earliest, so no rolling second at the broker sees more than ten,
    with a tenth of a second for the way.
    """

    left_at: deque[float] = field(default_factory=lambda: deque(maxlen=DEPARTURES_PER_SECOND))

    def ready_at(self, now: float) -> float:
        full = len(self.left_at) == DEPARTURES_PER_SECOND
        return max(now, self.left_at[0] + SECOND_S) if full else now

    def take(self, at: float) -> None:
        self.left_at.append(at)


class OrderPace:
    """All order requests of one account: spacing, minute and day together."""

    def __init__(self, limits: BrokerLimits) -> None:
        self._spacing = Spacing(limits.order_emission_s)
        self._minute = MinuteWindow(limits.orders_per_minute)
        self._day = DayCount(limits.places_per_day)
        self.departures = Departures()
        self._open_limit = max(1, int(limits.orders_per_minute * (1 - limits.kept_for_cancels)))

    def ready_at(self, kind: RequestKind, *, now: float, day: date) -> float:
        """The earliest moment for the next request if it is of ``kind``; ``inf`` when the day's budget is used up."""
        if kind is RequestKind.PLACE and self._day.left(day) <= 0:
            return math.inf
        limit = self._minute.limit if kind is RequestKind.CANCEL else self._open_limit
        return max(self._spacing.ready_at(now), self._minute.ready_at(now, limit=limit))

    def take(self, kind: RequestKind, *, now: float, day: date) -> None:
        """Count a request that goes now; only when ``ready_at`` is not after ``now``."""
        self._spacing.take(now)
        self._minute.take(now)
        if kind is RequestKind.PLACE:
            self._day.take(day)

    def places_left(self, day: date) -> int:
        """Placements that may still go on this day."""
        return self._day.left(day)

    def cool_down(self, until: float) -> None:
        """The broker's own count is full, perhaps by requests of another program: nothing goes before ``until``."""
        self._spacing.hold(until)

    def restore(self, *, day: date, used: int) -> None:
        """Set the day's count after a restart, from what the database knows was sent."""
        self._day = DayCount(self._day.limit, day, used)

    def restore_minute(self, sent_at: Iterable[float]) -> None:
        """Set the minute's count likewise: the moments, on this clock, at which requests of any owner left."""
        self._minute.granted = deque(sorted(sent_at))


class ReadPace:
    """The spacing of one class of reads."""

    def __init__(self, emission_s: float, *, burst: int = 1) -> None:
        self._spacing = Spacing(emission_s, burst)

    def ready_at(self, kind: RequestKind, *, now: float, day: date) -> float:  # noqa: ARG002 - one shape with OrderPace
        return self._spacing.ready_at(now)

    def take(self, kind: RequestKind, *, now: float, day: date) -> None:  # noqa: ARG002
        self._spacing.take(now)
