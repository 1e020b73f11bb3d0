"""What the tick path counts: plain integers on the hot path, immutable snapshots for metrics."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field

FEED_LAG_BOUNDS_S = (0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
PUBLISH_LAG_BOUNDS_S = (0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Histogram:
    """Durations: upper bounds in seconds, a count per bucket (one more than bounds: the rest), the sum in seconds."""

    bounds_s: tuple[float, ...]
    counts: tuple[int, ...]
    sum_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TickStats:
    """Counters since start; they only rise. ``received`` and ``malformed`` are by account.

    ``conflated`` counts ticks that were replaced by a newer one of the same instrument before Redis had them.
    """

    received: Mapping[str, int]
    malformed: Mapping[str, int]
    published: int
    conflated: int
    redis_reconnects: int
    redis_errors: int
    feed_lag: Histogram
    publish_lag: Histogram


@dataclass(slots=True)
class LagCounter:
    """A histogram that is written to."""

    bounds_s: tuple[float, ...]
    counts: list[int] = field(default_factory=list)
    sum_s: float = 0.0

    def __post_init__(self) -> None:
        self.counts = [0] * (len(self.bounds_s) + 1)

    def observe(self, seconds: float, *, times: int = 1) -> None:
        """A negative lag (clocks that disagree) counts as none."""
        seconds = max(0.0, seconds)
        self.counts[bisect_left(self.bounds_s, seconds)] += times
        self.sum_s += seconds * times

    def snapshot(self) -> Histogram:
        return Histogram(bounds_s=self.bounds_s, counts=tuple(self.counts), sum_s=self.sum_s)
