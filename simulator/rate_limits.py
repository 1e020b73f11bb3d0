"""Kite's request limits: always counted, enforced when the settings say so, and shown in `/_sim/stats`.

Limits are enforced on calendar seconds, minutes and days of the host's clock. The statistics have the maximum of any
rolling second and minute: a client that counts in rolling windows must stay below the same numbers there. `now` is an
argument, in epoch seconds.
"""

from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from simulator.clock import IST_OFFSET_S
from simulator.settings import RateLimits

RequestClass = Literal["order", "quote", "historical", "other"]
Verdict = Literal["allowed", "too_fast", "over_cap"]

MINUTE_S: Final = 60
DAY_S: Final = 86_400
MAX_WINDOW: Final = 200_000
"""The arrivals that a rolling window keeps."""
UNLIMITED_PREFIXES: Final = ("/_sim", "/connect/")


def classify(method: str, path: str) -> RequestClass | None:
    """The class in which a request counts; None for what is not Kite's API."""
    if path.startswith(UNLIMITED_PREFIXES):
        return None
    if method == "POST" and path.startswith("/orders/"):
        return "order"
    if path == "/quote" or path.startswith("/quote/"):
        return "quote"
    return "historical" if path.startswith("/instruments/historical/") else "other"


@dataclass(slots=True)
class RollingPeak:
    """The largest number of events in any window of `width` seconds."""

    width: float
    peak: int = 0
    _times: deque[float] = field(default_factory=lambda: deque(maxlen=MAX_WINDOW))

    def add(self, now: float) -> None:
        self._times.append(now)
        while self._times[0] <= now - self.width:
            self._times.popleft()
        self.peak = max(self.peak, len(self._times))


@dataclass(slots=True)
class Window:
    """A count that starts again with each calendar window of `width` seconds."""

    width: int
    number: int = -1
    count: int = 0

    def add(self, now: float) -> int:
        """Counts an event; returns the count of its window."""
        return self.add_many(1, now)

    def add_many(self, events: int, now: float) -> int:
        """Counts several; windows of a day begin at midnight in India."""
        number = int((now + IST_OFFSET_S) // self.width)
        if number != self.number:
            self.number, self.count = number, 0
        self.count += events
        return self.count


class Peaks:
    """One caller's requests of one class: their number, and their maximum in a rolling second and minute."""

    def __init__(self) -> None:
        self.total = 0
        self.second = RollingPeak(1.0)
        self.minute = RollingPeak(60.0)

    def add(self, now: float) -> None:
        self.total += 1
        self.second.add(now)
        self.minute.add(now)

    def row(self) -> dict[str, int]:
        return {"total": self.total, "max_per_second": self.second.peak, "max_per_minute": self.minute.peak}


def rows_of(callers: Mapping[str, Peaks]) -> dict[str, dict[str, int]]:
    """The peaks of each caller, as the statistics show them."""
    return {caller: peaks.row() for caller, peaks in callers.items()}


class Traffic:
    """All counts of one simulator. The callers are its accounts and API keys, so the tables stay small."""

    def __init__(self, limits: RateLimits) -> None:
        self._limits = limits
        self.clear()

    def clear(self) -> None:
        self._windows: dict[tuple[str, str, int], Window] = {}
        self._requests: Counter[str] = Counter()
        self._violations: Counter[tuple[str, str]] = Counter()
        self._arrived: dict[RequestClass, dict[str, Peaks]] = {}
        self._accepted: dict[str, Peaks] = {}

    def arrive(self, request_class: RequestClass, caller: str, *, now: float) -> None:
        """Counts a request that came in. `caller` is the account for orders, else the API key."""
        self._requests[request_class] += 1
        self._arrived.setdefault(request_class, {}).setdefault(caller, Peaks()).add(now)

    def accepted(self, caller: str, *, now: float) -> None:
        """Counts an order that was accepted."""
        self._accepted.setdefault(caller, Peaks()).add(now)

    def admit(self, request_class: RequestClass, caller: str, *, now: float) -> Verdict:
        """Counts a request that reached the broker, and says whether it is within the limits (or they are off)."""
        verdict: Verdict = "allowed"
        for width, limit in self._limits_of(request_class):
            window = self._windows.setdefault((request_class, caller, width), Window(width))
            if window.add(now) > limit and verdict == "allowed":
                verdict = "too_fast" if width == 1 else "over_cap"
        if verdict != "allowed":
            self._violations[(request_class, caller)] += 1
        return verdict if self._limits.enforced == "on" else "allowed"

    def charge(self, caller: str, orders: int, *, now: float) -> Verdict:
        """Counts orders that come with no request of their own (legs of an iceberg, a GTT that fires).

        They count towards the day's limit only.
        """
        window = self._windows.setdefault(("order", caller, DAY_S), Window(DAY_S))
        over = window.add_many(orders, now) > self._limits.orders_per_day
        return "over_cap" if over and self._limits.enforced == "on" else "allowed"

    def stats(self) -> dict[str, object]:
        """The part of `GET /_sim/stats` that is about requests."""
        return {
            "requests": dict(self._requests),
            "orders": {
                "arrived": rows_of(self._arrived.get("order", {})),
                "accepted": rows_of(self._accepted),
            },
            "peaks": {request_class: rows_of(callers) for request_class, callers in self._arrived.items()},
            "violations": [
                {"class": request_class, "caller": caller, "count": count}
                for (request_class, caller), count in sorted(self._violations.items())
            ],
        }

    def _limits_of(self, request_class: RequestClass) -> list[tuple[int, int]]:
        limits = self._limits
        if request_class == "order":
            return [
                (1, limits.orders_per_second),
                (MINUTE_S, limits.orders_per_minute),
                (DAY_S, limits.orders_per_day),
            ]
        per_second = {
            "quote": limits.quotes_per_second,
            "historical": limits.historical_per_second,
            "other": limits.others_per_second,
        }
        return [(1, per_second[request_class])]
