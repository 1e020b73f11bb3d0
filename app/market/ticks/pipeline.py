"""The tick path of one process: newest packet per instrument in, one JSON tick to Redis and to in-process listeners.

A flush starts as soon as a packet has come, at most once per ``flush_ms``, and covers the newest packet of each
instrument at that moment. While Redis still works on the batch before, or is away, listeners go on receiving, and the
newest tick that Redis missed is kept for each instrument until Redis is back. So a gap in ``seq`` means exactly that
the ticks in between were replaced before Redis had them. The feed never waits.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import TypeAlias

import msgspec

from app.broker.market import Instrument
from app.broker.port import TickDecoder
from app.broker.ticks import Source
from app.kit.clock import Clock, epoch_ms
from app.kit.histogram import LagCounter
from app.market.ticks.conflation import AccountTicks, LastTick, Raw
from app.market.ticks.counters import FEED_LAG_BOUNDS_S, PUBLISH_LAG_BOUNDS_S, TickStats
from app.market.ticks.publisher import TickPublisher

TickListener: TypeAlias = Callable[[int, bytes], None]
"""``(instrument_token, tick as JSON)``; must return at once and never raise."""

CHUNK = 100
"""Ticks in one write: few, so that little JSON is alive at once; enough to keep Redis busy meanwhile."""

_Flushed: TypeAlias = list[tuple[AccountTicks, dict[int, Raw]]]


class TickPipeline:
    """All accounts of this process together. ``run`` is its background loop."""

    def __init__(
        self,
        publisher: TickPublisher,
        *,
        instruments: Callable[[], Mapping[int, Instrument]],
        source: Source,
        clock: Clock,
        flush_ms: int,
    ) -> None:
        self._listeners: list[TickListener] = []
        self.publisher = publisher
        self._source: Source = source
        self._instruments = instruments
        self._clock = clock
        self._spacing_s = flush_ms / 1000
        self._accounts: dict[str, AccountTicks] = {}
        self._wake = asyncio.Event()
        self._published = 0
        self._feed_lag = LagCounter(FEED_LAG_BOUNDS_S)
        self._publish_lag = LagCounter(PUBLISH_LAG_BOUNDS_S)
        publisher.add_listener(self._wake.set)

    def add_listener(self, listener: TickListener) -> None:
        """Call ``listener`` with every tick once it is encoded, whether Redis takes it or not."""
        self._listeners.append(listener)

    def account(self, account_id: str, *, decode: TickDecoder) -> AccountTicks:
        """The tick half of one account's feed listener; the same object at every call for the same account."""
        ticks = self._accounts.get(account_id)
        if ticks is None:
            ticks = AccountTicks(
                account_id, decode=decode, source=self._source, feed_lag=self._feed_lag, wake=self._wake.set
            )
            self._accounts[account_id] = ticks
        return ticks

    @property
    def source(self) -> Source:
        """Where prices of this process come from now: a single replaying socket makes all of them a replay."""
        return "replay" if any(ticks.source == "replay" for ticks in self._accounts.values()) else self._source

    async def run(self) -> None:
        """Flush when there is something to flush; until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
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
        for account in self._accounts.values():
            fresh = account.take_fresh()
            if publishing and (missed := account.take_missed()):
                await self._emit(account, missed, listeners=(), publishing=True)
                flushed.append((account, missed))
            if fresh:
                await self._emit(account, fresh, listeners=self._listeners, publishing=publishing)
                flushed.append((account, fresh))
        if publishing and flushed:
            self.publisher.seal(lambda answered: self._on_settled(flushed, answered=answered))
        else:
            _keep(flushed)

    def last(self, token: int) -> LastTick | None:
        """The newest tick in memory, over all accounts."""
        names = self._instruments()
        found = [last for ticks in self._accounts.values() if (last := ticks.last(token, names=names)) is not None]
        return max(found, key=lambda last: last.received_at_ms, default=None)

    def last_json(self, token: int) -> bytes | None:
        """The newest tick in memory as JSON, as listeners get it; None when there is none."""
        last = self.last(token)
        return None if last is None else msgspec.json.encode(last.tick)

    def received_at_ms(self, token: int, *, account_id: str) -> int | None:
        """When the newest tick of this instrument came from this account, or None."""
        account = self._accounts.get(account_id)
        return None if account is None else account.received_at_ms(token)

    def last_received_ms(self, account_id: str) -> int:
        """When the newest tick of any instrument came from this account; 0: never."""
        account = self._accounts.get(account_id)
        return 0 if account is None else account.last_received_ms

    def forget(self, account_id: str, tokens: Iterable[int]) -> None:
        """Drop what is kept of instruments that this account no longer streams."""
        account = self._accounts.get(account_id)
        if account is not None:
            account.forget(tokens)

    def stats(self) -> TickStats:
        """The counters at this moment."""
        accounts = self._accounts
        return TickStats(
            received={name: ticks.received for name, ticks in accounts.items()},
            malformed={name: ticks.malformed for name, ticks in accounts.items()},
            published=self._published,
            conflated=sum(ticks.conflated for ticks in accounts.values()),
            feed_lag=self._feed_lag.snapshot(),
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
            ticks = account.encode(chunk, names=self._instruments())
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

    def _on_settled(self, flushed: _Flushed, *, answered: bool) -> None:
        if not answered:
            _keep(flushed)
            return
        now_ms = epoch_ms(self._clock.now())
        for _, raws in flushed:
            self._published += len(raws)
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
