"""The newest raw packet of each instrument of one account, and how it becomes JSON.

The socket's reader calls ``on_packets``, which stores bytes and returns. Everything that costs more (decoding, naming,
encoding) is done once per flush, for the newest packet only, with one tick alive at a time: a list of ticks would cost
more in cache misses and garbage collection than the decoding itself.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import msgspec

from app.broker.market import Instrument
from app.broker.port import TickDecoder
from app.broker.ticks import Source, Tick
from app.kit.histogram import LagCounter

Raw: TypeAlias = tuple[bytes, int]
"""A packet and the epoch millisecond of its receipt."""

_SMALLEST_PACKET = 4  # bytes: the token, without which a packet belongs to no instrument
_TOKEN = struct.Struct(">I").unpack_from
_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True, kw_only=True)
class LastTick:
    """The newest tick of one instrument. ``tick.seq`` is 0 when it was not published yet."""

    tick: Tick
    received_at_ms: int


class AccountTicks:
    """The tick half of one account's ``FeedListener``. All state is bounded by the number of instruments streamed.

    ``received``, ``malformed`` and ``conflated`` count packets since the start; ``seq`` is that of the newest encoded
    tick; ``last_received_ms`` is the epoch millisecond of the newest packet, 0 before the first.
    """

    def __init__(
        self,
        account_id: str,
        *,
        decode: TickDecoder,
        source: Source,
        feed_lag: LagCounter,
        wake: Callable[[], None],
    ) -> None:
        self.account_id = account_id
        self.received = 0
        self.malformed = 0
        self.conflated = 0
        self.seq = 0
        self.last_received_ms = 0
        self._decode = decode
        self.source: Source = source
        self._own_source: Source = source
        self._feed_lag = feed_lag
        self._wake = wake
        self._pending: dict[int, Raw] = {}  # by token: received since the last flush
        self._latest: dict[int, tuple[bytes, int, int]] = {}  # by token: the last one encoded, with its seq
        self._unpublished: dict[int, Raw] = {}  # by token: encoded, but not taken by Redis

    def on_packets(self, packets: Sequence[bytes], *, received_at_ms: int) -> None:
        """Keep the newest packet per instrument. Never raises, never waits."""
        pending = self._pending
        before = len(pending)
        try:
            for packet in packets:
                pending[_TOKEN(packet)[0]] = (packet, received_at_ms)
        except struct.error:
            return self._on_short_packet(packets, received_at_ms=received_at_ms)
        self.received += len(packets)
        self.conflated += len(packets) - (len(pending) - before)
        self.last_received_ms = received_at_ms
        self._wake()
        return None

    def on_connected(self) -> None:
        """A new socket streams from where its address says, until the peer announces a recording."""
        self.source = self._own_source

    def on_replay(self) -> None:
        """The peer announced a recording. Zerodha's own hosts send none, whatever text comes from them."""
        if self._own_source != "live":
            self.source = "replay"

    def _on_short_packet(self, packets: Sequence[bytes], *, received_at_ms: int) -> None:
        whole = [packet for packet in packets if len(packet) >= _SMALLEST_PACKET]
        self.malformed += len(packets) - len(whole)
        if whole:
            self.on_packets(whole, received_at_ms=received_at_ms)

    def take_fresh(self) -> dict[int, Raw]:
        """Take the packets that came since the last flush, by token."""
        work, self._pending = self._pending, {}
        self.conflated += len(self._unpublished.keys() & work.keys())
        for token in self._unpublished.keys() & work.keys():
            del self._unpublished[token]
        return work

    def take_missed(self) -> dict[int, Raw]:
        """Take the packets that Redis missed and that no newer one has replaced, by token."""
        missed, self._unpublished = self._unpublished, {}
        return missed

    def keep(self, work: Mapping[int, Raw]) -> None:
        """Redis did not take these: keep them for later, unless a newer one of the instrument is kept already."""
        self.conflated += len(self._unpublished.keys() & work.keys())
        self._unpublished = {**work, **self._unpublished}

    def encode(self, work: Iterable[tuple[int, Raw]], *, names: Mapping[int, Instrument]) -> list[tuple[int, bytes]]:
        """Decode, stamp and encode a chunk, in order, as ``(token, JSON)``; malformed packets are counted and dropped.

        ``names`` is by token; a tick of an unknown instrument goes out without exchange and symbol.
        """
        decode, latest, source, account_id, seq = self._decode, self._latest, self.source, self.account_id, self.seq
        out: list[tuple[int, bytes]] = []
        lags: dict[int, int] = {}
        for token, (packet, received_at_ms) in work:
            tick = decode(packet)
            if tick is None:
                self.malformed += 1
                continue
            seq += 1
            # the same as _stamp, inlined: the call would cost a twentieth of the whole path
            tick.account_id = account_id
            tick.seq = seq
            tick.received_at = received_at_ms
            tick.source = source
            instrument = names.get(token)
            if instrument is not None:
                tick.exchange = instrument.exchange
                tick.tradingsymbol = instrument.tradingsymbol
            latest[token] = (packet, received_at_ms, seq)
            out.append((token, _encode(tick)))
            happened = tick.exchange_timestamp
            if happened:  # neither UNSET nor None
                lag = received_at_ms - happened * 1000
                lags[lag] = lags.get(lag, 0) + 1
        self.seq = seq
        for lag, times in lags.items():
            self._feed_lag.observe(lag / 1000, times=times)
        return out

    def last(self, token: int, *, names: Mapping[int, Instrument]) -> LastTick | None:
        """The newest tick in memory, or None when none has come."""
        packet, received_at_ms, seq = self._newest(token)
        tick = self._decode(packet) if packet else None
        if tick is None:
            return None
        _stamp(
            tick,
            account_id=self.account_id,
            seq=seq,
            received_at_ms=received_at_ms,
            source=self.source,
            instrument=names.get(token),
        )
        return LastTick(tick=tick, received_at_ms=received_at_ms)

    def received_at_ms(self, token: int) -> int | None:
        """When the newest tick came, epoch milliseconds."""
        return self._newest(token)[1] or None

    def forget(self, tokens: Iterable[int]) -> None:
        """Keep nothing of instruments that are no longer streamed."""
        for token in tokens:
            self._pending.pop(token, None)
            self._latest.pop(token, None)
            self._unpublished.pop(token, None)

    def _newest(self, token: int) -> tuple[bytes, int, int]:
        raw = self._pending.get(token)
        if raw is not None:
            return (*raw, 0)
        return self._latest.get(token, (b"", 0, 0))


def _stamp(
    tick: Tick, account_id: str, seq: int, received_at_ms: int, source: Source, instrument: Instrument | None
) -> None:
    tick.account_id = account_id
    tick.seq = seq
    tick.received_at = received_at_ms
    tick.source = source
    if instrument is not None:
        tick.exchange = instrument.exchange
        tick.tradingsymbol = instrument.tradingsymbol
