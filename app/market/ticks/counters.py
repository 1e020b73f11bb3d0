"""What the tick path counts, as an immutable snapshot for metrics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from app.kit.histogram import Histogram

FEED_LAG_BOUNDS_S = (0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
PUBLISH_LAG_BOUNDS_S = (0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


@dataclass(frozen=True, slots=True, kw_only=True)
class TickStats:
    """Counters since this process started; they only rise."""

    received: Mapping[str, int]  # packets, by account
    malformed: Mapping[str, int]  # packets that could not be decoded, by account
    published: int  # ticks that Redis has confirmed
    refused: int  # ticks that Redis has answered with an error
    conflated: int  # ticks that were replaced by a newer one of the same instrument before Redis had them
    feed_lag: Histogram  # from the exchange's timestamp to the receipt
    publish_lag: Histogram  # from the receipt to Redis' answer
