"""Raw ticker packets for tests, written from the documented layout
(https://kite.trade/docs/connect/v3/websocket/#message-structure)."""

from __future__ import annotations

import struct


def ltp_packet(token: int, price: int) -> bytes:
    """8 bytes; ``price`` in the wire's integer unit."""
    return struct.pack(">II", token, price)


def full_packet(token: int, price: int, *, exchange_timestamp: int = 0) -> bytes:
    """184 bytes with five levels a side around ``price``."""
    head = struct.pack(
        ">16I",
        token, price, 75, price - 5, 1000, 400, 300, price, price + 10, price - 10, price - 2,
        exchange_timestamp, 10, 12, 9, exchange_timestamp,
    )  # fmt: skip
    levels = [struct.pack(">IIHxx", 10 * (n + 1), price + (n if n > 4 else -n), n + 1) for n in range(10)]
    return head + b"".join(levels)
