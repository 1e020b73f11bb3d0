"""The tick path of one process (skeleton: signatures are final)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from app.broker.market import Instrument
from app.broker.port import TickDecoder
from app.broker.ticks import Source, Tick
from app.kit.clock import Clock
from app.market.publisher import TickPublisher

TickListener = Callable[[int, bytes], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class LastTick:
    """The newest tick of one instrument; ``received_at_ms`` is epoch milliseconds of our clock."""

    tick: Tick
    received_at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Histogram:
    """A snapshot of durations: upper bounds in seconds, counts per bucket (one more than bounds: the rest), sum in seconds."""

    bounds_s: tuple[float, ...]
    counts: tuple[int, ...]
    sum_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TickStats:
    """Counters since start; only rise."""

    received: Mapping[str, int]
    published: int
    conflated: int
    malformed: int
    feed_lag: Histogram
    publish_lag: Histogram


class AccountTicks:
    """The tick half of one account's ``FeedListener``."""

    account_id: str

    def on_packets(self, packets: Sequence[bytes], *, received_at_ms: int) -> None:
        raise NotImplementedError


class TickPipeline:
    """Keeps the newest raw packet per instrument, and flushes what changed to Redis and to in-process listeners."""

    def __init__(
        self,
        publisher: TickPublisher,
        *,
        instruments: Callable[[], Mapping[int, Instrument]],
        source: Source,
        clock: Clock,
        flush_ms: int,
    ) -> None:
        self.listeners: list[TickListener] = []

    def account(self, account_id: str, *, decode: TickDecoder) -> AccountTicks:
        """The listener for one account's feed; the same one for the same account."""
        raise NotImplementedError

    async def run(self) -> None:
        raise NotImplementedError

    def last(self, token: int) -> LastTick | None:
        raise NotImplementedError

    def stats(self) -> TickStats:
        raise NotImplementedError
