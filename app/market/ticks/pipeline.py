"""The tick path of one process: newest packet per instrument in, one JSON tick to Redis and to in-process listeners.

A flush starts as soon as a packet has come, at most once per ``flush_ms``, and covers the newest packet of each
instrument at that moment. While Redis still works on the batch before, or is away, listeners go on receiving, and the
newest tick that Redis missed is kept for each instrument until Redis is back. So a gap in ``seq`` means exactly that
the ticks in between were replaced before Redis had them. The feed never waits.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import TypeAlias

from app.kit.clock import Clock, epoch_ms
from app.kit.histogram import LagCounter
from app.market.ticks.conflation import AccountTicks, Raw
from app.market.ticks.counters import PUBLISH_LAG_BOUNDS_S, TickStats
from app.market.ticks.newest import NewestTicks
from app.market.ticks.publisher import TickPublisher

TickListener: TypeAlias = Callable[[int, bytes], None]
"""``(instrument_token, tick as JSON)``; must return at once and never raise."""

CHUNK = 100
"""Ticks in one write: few, so that little JSON is alive at once; enough to keep Redis busy meanwhile."""

_Flushed: TypeAlias = list[tuple[AccountTicks, dict[int, Raw]]]


class TickPipeline:
    """All accounts of this process together. ``run`` is its background loop.

    ``listeners`` get every tick once it is encoded, whether Redis takes it or not.
    """

    def __init__(
        self,
        newest: NewestTicks,
        *,
        publisher: TickPublisher,
        listeners: Sequence[TickListener] = (),
        clock: Clock,
        flush_ms: int,
    ) -> None:
        self.publisher = publisher
        self._newest = newest
        self._listeners = tuple(listeners)
        self._clock = clock
        self._spacing_s = flush_ms / 1000
        self._published = self._refused = 0
        self._publish_lag = LagCounter(PUBLISH_LAG_BOUNDS_S)
        publisher.add_listener(newest.come.set)

    async def run(self) -> None:
        """Flush when there is something to flush; until cancelled."""
        while True:
            await self._newest.come.wait()
            self._newest.come.clear()
            started = self._clock.monotonic()
            await self.flush()
            rest = self._spacing_s - (self._clock.monotonic() - started)
            if rest > 0:
                await asyncio.sleep(rest)

    async def flush(self) -> None:
        """The newest ticks to Redis, when it is ready, and to the listeners; lets other tasks run between chunks."""
        publishing = self.publisher.ready
        if not publishing and not self._listeners:
            return
        flushed: _Flushed = []
        for account in self._newest.accounts.values():
            fresh = account.take_fresh()
            if publishing and (missed := account.take_missed()):
                await self._emit(account, missed, listeners=(), publishing=True)
                flushed.append((account, missed))
            if fresh:
                await self._emit(account, fresh, listeners=self._listeners, publishing=publishing)
                flushed.append((account, fresh))
        if publishing and flushed:
            self.publisher.seal(lambda confirmed: self._on_settled(flushed, confirmed=confirmed))
        else:
            _keep(flushed)

    def stats(self) -> TickStats:
        """The counters at this moment."""
        accounts = self._newest.accounts
        return TickStats(
            received={name: ticks.received for name, ticks in accounts.items()},
            malformed={name: ticks.malformed for name, ticks in accounts.items()},
            published=self._published,
            refused=self._refused,
            conflated=sum(ticks.conflated for ticks in accounts.values()),
            feed_lag=self._newest.feed_lag.snapshot(),
            publish_lag=self._publish_lag.snapshot(),
        )

    async def _emit(
        self,
        account: AccountTicks,
        raws: dict[int, Raw],
        *,
        listeners: Sequence[TickListener],
        publishing: bool,
    ) -> None:
        """Encode and hand over in chunks; malformed packets are removed from ``raws``."""
        malformed: list[int] = []
        for chunk in _chunks(raws):
            ticks = account.encode(chunk, names=self._newest.instruments.by_token())
            if len(ticks) < len(chunk):
                malformed += {token for token, _ in chunk} - {token for token, _ in ticks}
            if publishing and ticks:
                self.publisher.write(ticks)
            for listener in listeners:
                for token, payload in ticks:
                    listener(token, payload)
            await asyncio.sleep(0)
        for token in malformed:
            del raws[token]

    def _on_settled(self, flushed: _Flushed, *, confirmed: int | None) -> None:
        """Count what Redis has confirmed. What it refused is not tried again: the next tick of the instrument is."""
        if confirmed is None:
            _keep(flushed)
            return
        refused = sum(len(raws) for _, raws in flushed) - confirmed
        self._published += confirmed
        self._refused += refused
        if refused:
            return
        now_ms = epoch_ms(self._clock.now())
        for _, raws in flushed:
            by_receipt = Counter(received_at_ms for _, received_at_ms in raws.values())
            for received_at_ms, times in by_receipt.items():
                self._publish_lag.observe((now_ms - received_at_ms) / 1000, times=times)


def _keep(flushed: _Flushed) -> None:
    for account, raws in flushed:
        account.keep(raws)


def _chunks(raws: dict[int, Raw]) -> Iterator[list[tuple[int, Raw]]]:
    items = iter(raws.items())
    while chunk := list(islice(items, CHUNK)):
        yield chunk
