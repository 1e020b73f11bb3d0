"""A quote of the broker's REST interface with the field names of a tick, so that ``/quotes`` has one shape. Pure.

REST and ticker name the same things differently (https://kite.trade/docs/connect/v3/market-quotes/).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from app.broker.market import Instrument, Quote
from app.broker.ticks import Source
from app.kit.clock import IST

_SAME = ("oi", "oi_day_high", "oi_day_low", "ohlc", "depth")
_RENAMED = {
    "last_quantity": "last_traded_quantity",
    "average_price": "average_traded_price",
    "volume": "volume_traded",
    "buy_quantity": "total_buy_quantity",
    "sell_quantity": "total_sell_quantity",
}


def to_tick_fields(quote: Quote, instrument: Instrument, *, source: Source, received_at_ms: int) -> dict[str, Any]:
    """The fields of a tick, JSON-ready; a field that the quote does not have is absent."""
    raw = quote.raw
    fields: dict[str, Any] = {
        "v": 1,
        "instrument_token": instrument.instrument_token,
        "exchange": instrument.exchange,
        "tradingsymbol": instrument.tradingsymbol,
        "last_price": float(quote.last_price),
        "received_at": received_at_ms,
        "source": source,
    }
    fields |= {ours: raw[theirs] for theirs, ours in _RENAMED.items() if theirs in raw}
    fields |= {name: raw[name] for name in _SAME if name in raw}
    fields |= {
        ours: epoch_of(raw[theirs])
        for theirs, ours in {"timestamp": "exchange_timestamp", "last_trade_time": "last_trade_time"}.items()
        if theirs in raw
    }
    close = _close(raw)
    if close:
        fields["change"] = (float(quote.last_price) - close) * 100 / close
    return fields


def epoch_of(value: object) -> int | None:
    """``YYYY-MM-DD HH:MM:SS`` in IST as epoch seconds; None where the broker writes that there was none."""
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    seconds = int((moment if moment.tzinfo else moment.replace(tzinfo=IST)).timestamp())
    return seconds if seconds > 0 else None


def _close(raw: Mapping[str, Any]) -> float:
    ohlc = raw.get("ohlc")
    return float(ohlc.get("close") or 0) if isinstance(ohlc, Mapping) else 0.0
