"""A tick reduced to a lower mode, for a client that reads less of an instrument than the feed streams."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from app.broker.market import Mode

_RANK: Final = {mode.value: mode.rank for mode in Mode}
_LTP: Final = frozenset(
    {
        *("v", "instrument_token", "exchange", "tradingsymbol", "mode", "tradable", "last_price"),
        *("account_id", "seq", "received_at", "source"),
    }
)
# Kite Connect, "WebSocket streaming", structure of a quote packet: what stands from byte 44 on
_FULL_ONLY: Final = frozenset({"last_trade_time", "oi", "oi_day_high", "oi_day_low", "exchange_timestamp", "depth"})


def reduce_tick(payload: bytes, *, mode: Mode) -> bytes:
    """A tick's JSON with the fields of ``mode`` only; ``payload`` itself when it has no more than those."""
    tick: dict[str, Any] = msgspec.json.decode(payload)
    if _RANK.get(tick["mode"], 0) <= _RANK[mode]:
        return payload
    kept = {name: value for name, value in tick.items() if _has(mode, name)}
    kept["mode"] = mode.value
    return msgspec.json.encode(kept)


def _has(mode: Mode, name: str) -> bool:
    return name in _LTP if mode is Mode.LTP else name not in _FULL_ONLY
