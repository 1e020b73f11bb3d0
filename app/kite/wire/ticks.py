"""The ticker's binary frames (https://kite.trade/docs/connect/v3/websocket/#message-structure), big-endian.

A frame is ``uint16 count`` and then, per packet, ``uint16 length`` and the packet. ``cut_frame`` is strict: counts and
lengths fill the frame exactly or the whole frame is malformed. A packet's kind is its length alone; one of a length
that means nothing, however short, is that packet's fault and spoils no other.

    8    last price                     32   index, full (quote and exchange time)
    28   index, quote                   44   quote        184  full (quote, times, open interest, depth)

Hot path: one precompiled ``unpack_from`` per packet, no dict in between, nothing kept.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct

from app.broker.ticks import Depth, DepthItem, Ohlc, Tick

HEARTBEAT_SIZE = 1
SMALLEST_PACKET = 8  # a token and a price; anything shorter is addressed to no instrument

_LTP = Struct(">2I").unpack_from
_INDEX_QUOTE = Struct(">7I").unpack_from
_INDEX_FULL = Struct(">8I").unpack_from
_QUOTE = Struct(">11I").unpack_from
_FULL = Struct(">16I" + "2IH2x" * 10).unpack_from

_CDS, _BCD, _INDICES, _NCO = 3, 6, 9, 12
_DIVISORS = {_CDS: 10_000_000.0, _BCD: 10_000.0, _NCO: 10_000.0}
"""Segment (``token & 0xFF``) to price divisor where it is not 100: the values of the official clients, which differ
from the documentation for BCD.

NCO: the documentation does not name it. Zerodha read raw prices off the wire in September 2026 and found them scaled by
10,000 (CRUDEOILM26OCTFUT, 84940000 for 8494.00); the Python (pykiteconnect #243, released in 5.2.2), Go (#137), Java
(#57) and .NET (#52) clients have divided by that since. Older releases, and the JavaScript client while its issue #120
is open, divide by 100 and show prices 100 times too high.
"""


def cut_frame(frame: bytes) -> list[bytes] | None:
    """The raw packets of one binary frame, in order; None when the frame is malformed.

    A frame that announces no packet is well-formed and gives an empty list. Heartbeats (one byte) are not frames.
    """
    size = len(frame)
    if size < 2:
        return None
    count = frame[0] << 8 | frame[1]
    if count == 0:
        return [] if size == 2 else None
    stride, rest = divmod(size - 2, count)
    if rest == 0 and stride >= SMALLEST_PACKET + 2 and _is_uniform(frame, count=count, stride=stride):
        return [frame[at : at + stride - 2] for at in range(4, size, stride)]
    return _cut_mixed(frame, count=count)


def _is_uniform(frame: bytes, *, count: int, stride: int) -> bool:
    """Whether all packets have the same length, so that every length field is where the first one puts it."""
    length = stride - 2
    return (
        length <= 0xFFFF
        and frame[2::stride] == bytes((length >> 8,)) * count
        and frame[3::stride] == bytes((length & 0xFF,)) * count
    )


def _cut_mixed(frame: bytes, *, count: int) -> list[bytes] | None:
    size = len(frame)
    packets: list[bytes] = []
    append = packets.append
    at = 2
    for _ in range(count):
        start = at + 2
        if start > size:
            return None
        length = frame[at] << 8 | frame[at + 1]
        at = start + length
        append(frame[start:at])
    return packets if at == size else None  # a packet that ends beyond the frame included


def decode_packet(packet: bytes) -> Tick | None:
    """One packet as a Tick without our own fields; None when its length is none of the five. Never raises."""
    decode = _DECODERS.get(len(packet))
    return None if decode is None else decode(packet)


def _decode_ltp(packet: bytes) -> Tick:
    token, last = _LTP(packet)
    segment = token & 0xFF
    return Tick(token, "ltp", segment != _INDICES, last / _DIVISORS.get(segment, 100.0))


def _decode_index_quote(packet: bytes) -> Tick:
    return _index_tick(_INDEX_QUOTE(packet), mode="quote")


def _decode_index_full(packet: bytes) -> Tick:
    fields = _INDEX_FULL(packet)
    tick = _index_tick(fields, mode="full")
    tick.exchange_timestamp = fields[7] or None
    return tick


def _index_tick(fields: tuple[int, ...], *, mode: str) -> Tick:
    # high, low, open, close: not the order of the quote packet; the broker's own change (offset 24) has no proven scale
    token, last, high, low, open_, close = fields[:6]
    segment = token & 0xFF
    divisor = _DIVISORS.get(segment, 100.0)
    return Tick(
        token,
        mode,
        segment != _INDICES,
        last / divisor,
        ohlc=Ohlc(open_ / divisor, high / divisor, low / divisor, close / divisor),
        change=_change(last / divisor, close=close / divisor),
    )


def _decode_quote(packet: bytes) -> Tick:
    return _quote_tick(_QUOTE(packet), mode="quote")


def _decode_full(packet: bytes) -> Tick:
    # written out flat: this is the packet that arrives 100,000 times a second
    (
        token, last, quantity, average, volume, buy, sell, open_, high, low, close,
        trade_time, oi, oi_high, oi_low, exchange_time,
        b1, b1p, b1n, b2, b2p, b2n, b3, b3p, b3n, b4, b4p, b4n, b5, b5p, b5n,
        s1, s1p, s1n, s2, s2p, s2n, s3, s3p, s3n, s4, s4p, s4n, s5, s5p, s5n,
    ) = _FULL(packet)  # fmt: skip
    segment = token & 0xFF
    div = _DIVISORS.get(segment, 100.0)
    price, previous = last / div, close / div
    item = DepthItem
    buys = [item(b1, b1p / div, b1n), item(b2, b2p / div, b2n), item(b3, b3p / div, b3n), item(b4, b4p / div, b4n)]
    sells = [item(s1, s1p / div, s1n), item(s2, s2p / div, s2n), item(s3, s3p / div, s3n), item(s4, s4p / div, s4n)]
    buys.append(item(b5, b5p / div, b5n))
    sells.append(item(s5, s5p / div, s5n))
    return Tick(
        token,
        "full",
        segment != _INDICES,
        price,
        last_traded_quantity=quantity,
        average_traded_price=average / div,
        volume_traded=volume,
        total_buy_quantity=buy,
        total_sell_quantity=sell,
        ohlc=Ohlc(open_ / div, high / div, low / div, previous),
        change=(price - previous) * 100 / previous if close else 0.0,
        last_trade_time=trade_time or None,
        oi=oi,
        oi_day_high=oi_high,
        oi_day_low=oi_low,
        exchange_timestamp=exchange_time or None,
        depth=Depth(buys, sells),
    )


def _quote_tick(fields: tuple[int, ...], *, mode: str) -> Tick:
    token, last, quantity, average, volume, buy, sell, open_, high, low, close = fields[:11]
    segment = token & 0xFF
    divisor = _DIVISORS.get(segment, 100.0)
    return Tick(
        token,
        mode,
        segment != _INDICES,
        last / divisor,
        last_traded_quantity=quantity,
        average_traded_price=average / divisor,
        volume_traded=volume,
        total_buy_quantity=buy,
        total_sell_quantity=sell,
        ohlc=Ohlc(open_ / divisor, high / divisor, low / divisor, close / divisor),
        change=_change(last / divisor, close=close / divisor),
    )


def _change(last: float, *, close: float) -> float:
    """Percent against the previous session's close; 0 where there is none."""
    return (last - close) * 100 / close if close else 0.0


_DECODERS: dict[int, Callable[[bytes], Tick]] = {
    8: _decode_ltp,
    28: _decode_index_quote,
    32: _decode_index_full,
    44: _decode_quote,
    184: _decode_full,
}
