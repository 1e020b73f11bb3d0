"""Kite's binary ticks: packets of 8, 28, 32, 44 and 184 bytes, and their container.

Written from Kite's WebSocket streaming documents: big-endian, the length says which packet it is, and indices have an
order of their own (high, low, open, close). Encoding is columnar: a batch of rows becomes bytes in one converting copy.
"""

import struct
from collections.abc import Callable
from typing import Literal

import numpy as np
import numpy.typing as npt

from simulator.market.state import TICK

Mode = Literal["ltp", "quote", "full"]
Words = npt.NDArray[np.uint32]
"""Rows of `simulator.market.state.State.words`: the 46 words of a full packet, in native byte order."""

HEARTBEAT = b"\x00"
MAX_PACKETS = 65_535  # the count of a container has 16 bits

_LTP_WORDS = 2  # token, last price
_QUOTE_WORDS = 11  # ... to the previous close
_WORD = {name: number for number, name in enumerate(TICK.names or ())}
_INDEX_WORDS = [_WORD[name] for name in ("token", "last_price", "high", "low", "open", "close")]


def encode_batch(words: Words, *, mode: Mode, tradable: npt.NDArray[np.bool_]) -> bytes:
    """A packet for each row, preceded by its length; tradable instruments first. `tradable` has a flag for each row."""
    if mode == "ltp":
        return _frame(words[:, :_LTP_WORDS])
    encode_tradable, encode_index = _ENCODERS[mode]
    if tradable.all():
        return encode_tradable(words)
    return encode_tradable(words[tradable]) + encode_index(words[~tradable])


def encode_quote(words: Words) -> bytes:
    """44-byte packets of tradable instruments."""
    return _frame(words[:, :_QUOTE_WORDS])


def encode_full(words: Words) -> bytes:
    """184-byte packets of tradable instruments."""
    return _frame(words)


def encode_index_quote(words: Words) -> bytes:
    """28-byte packets of indices; their seventh word is the change since the previous close, in units."""
    change = words[:, _WORD["last_price"]] - words[:, _WORD["close"]]
    return _frame(np.column_stack((words[:, _INDEX_WORDS], change)))


def encode_index_full(words: Words) -> bytes:
    """32-byte packets of indices: as the quote, followed by the exchange's time."""
    change = words[:, _WORD["last_price"]] - words[:, _WORD["close"]]
    return _frame(np.column_stack((words[:, _INDEX_WORDS], change, words[:, _WORD["timestamp"]])))


_ENCODERS: dict[Mode, tuple[Callable[[Words], bytes], Callable[[Words], bytes]]] = {
    "quote": (encode_quote, encode_index_quote),
    "full": (encode_full, encode_index_full),
}


def _frame(bodies: Words) -> bytes:
    count, width = bodies.shape
    framed = np.empty(count, dtype=[("length", ">u2"), ("body", ">u4", (width,))])
    framed["length"] = width * 4
    framed["body"] = bodies
    return framed.tobytes()


def container(packets: bytes, *, count: int) -> bytes:
    """A frame: the number of packets, then `packets` as they are. Raises ValueError above `MAX_PACKETS`."""
    if count > MAX_PACKETS:
        raise ValueError(f"{count} packets do not fit into one frame of at most {MAX_PACKETS}")
    return struct.pack(">H", count) + packets


MALFORMED_FRAMES: tuple[bytes, ...] = (
    b"\x00\x00",
    b"\x00\x00\xde\xad\xbe\xef",
    b"\x00\x02\x00\x08\x00\x06\x3a\x01\x00\x02\x49\xf0",
    b"\x00\x01\x00\x00",
    b"\x00\x01\x00\x07\x00\x06\x3a\x01\x00\x02\x49",
    b"\x00\x01\x00\xb8\x00\x06\x3a\x01\x00\x02\x49\xf0",
    b"\xff\xff\x00\x08\x00\x06\x3a\x01\x00\x02\x49\xf0",
)
"""Frames that are wrong: no packet, bytes after none, fewer packets than announced, odd lengths, cut off."""
