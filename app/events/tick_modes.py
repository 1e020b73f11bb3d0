"""A tick in less than the mode that it came in: for a reader that asked for ``ltp`` where the feed has ``full``."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from app.events.protocol import Mode

_RANK: Final = {"ltp": 0, "quote": 1, "full": 2}
_LTP: Final = frozenset(
    {
        *("v", "instrument_token", "exchange", "tradingsymbol", "mode", "tradable", "last_price"),
        *("account_id", "seq", "received_at", "source"),
    }
)
# Kite Connect, "WebSocket streaming", structure of a quote packet: what stands from byte 44 on
_FULL_ONLY: Final = frozenset({"last_trade_time", "oi", "oi_day_high", "oi_day_low", "exchange_timestamp", "depth"})


def reduce_tick(payload: bytes, *, mode: Mode) -> bytes:
    """The tick as ``mode`` would have it; unchanged when it has no more than that. ``payload`` is a tick's JSON."""
    tick: dict[str, Any] = msgspec.json.decode(payload)
    if _RANK.get(tick["mode"], 0) <= _RANK[mode]:
        return payload
    kept = {name: value for name, value in tick.items() if _has(mode, name)}
    kept["mode"] = mode
    return msgspec.json.encode(kept)


def _has(mode: Mode, name: str) -> bool:
    return name in _LTP if mode == "ltp" else name not in _FULL_ONLY
