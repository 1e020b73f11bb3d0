"""Durations counted in buckets: plain integers while counting, an immutable snapshot for metrics."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Histogram:
    """Durations: upper bounds in seconds, a count per bucket (one more than bounds: the rest), the sum in seconds."""

    bounds_s: tuple[float, ...]
    counts: tuple[int, ...]
    sum_s: float


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
