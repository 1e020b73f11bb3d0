"""Applies recorded packets to the columns, so that REST quotes and the exchange follow a replay."""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from simulator.market.prices import Ints
from simulator.market.state import LAST_PRICE_IS_ASK, State, set_circuits, set_depth

LTP_BYTES: Final = 8
INDEX_QUOTE_BYTES: Final = 28
INDEX_FULL_BYTES: Final = 32
QUOTE_BYTES: Final = 44
FULL_BYTES: Final = 184
_INDEX_FIELDS: Final = ("token", "last_price", "high", "low", "open", "close")


def apply_packets(
    state: State, row_of: Mapping[int, int], packets: Sequence[bytes]
) -> tuple[Ints, npt.NDArray[np.bool_]]:
    """Returns the changed rows, and for each whether its last price changed. Unlisted and frozen ones are ignored.

    A packet without depth gets five levels around its last price. Circuit limits are widened to a price outside them.
    """
    found: dict[int, bool] = {}
    for packet in packets:
        row = row_of.get(int.from_bytes(packet[:4], "big"))
        if row is not None and not state.frozen[row]:
            found[row] = _apply(state, row, packet) or found.get(row, False)
    return np.array(list(found), dtype=np.int64), np.array(list(found.values()), dtype=np.bool_)


def _apply(state: State, row: int, packet: bytes) -> bool:
    before = int(state.ticks["last_price"][row])
    if len(packet) not in (LTP_BYTES, INDEX_QUOTE_BYTES, INDEX_FULL_BYTES, QUOTE_BYTES, FULL_BYTES):
        return False
    words = np.frombuffer(packet, dtype=">u4")
    if len(packet) in (INDEX_QUOTE_BYTES, INDEX_FULL_BYTES):
        for name, value in zip(_INDEX_FIELDS, words, strict=False):
            state.ticks[name][row] = value
        if len(packet) == INDEX_FULL_BYTES:
            state.ticks["timestamp"][row] = words[-1]
    else:
        state.words[row, : len(words)] = words
    rows = np.array([row])
    _widen_circuits(state, rows)
    if len(packet) != FULL_BYTES:
        set_depth(state, rows, words=state.keys[rows] | LAST_PRICE_IS_ASK)
    return before != int(state.ticks["last_price"][row])


def _widen_circuits(state: State, rows: Ints) -> None:
    price = state.ticks["last_price"][rows].astype(np.int64)
    lowest, highest = state.lower_circuit[rows], state.upper_circuit[rows]
    if (price < lowest).any() or (price > highest).any():
        set_circuits(
            state, rows, lowest=np.minimum(lowest, price * 4 // 5), highest=np.maximum(highest, price * 6 // 5)
        )
