"""What the tick path counts: plain integers on the hot path, immutable snapshots for metrics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from app.kit.histogram import Histogram

FEED_LAG_BOUNDS_S = (0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
PUBLISH_LAG_BOUNDS_S = (0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


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
