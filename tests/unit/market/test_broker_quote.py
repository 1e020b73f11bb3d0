"""Quotes with the field names of ticks."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from app.broker.market import Quote
from app.market.quotes.broker_quote import epoch_of, to_tick_fields
from tests.unit.market.builders import instrument

RAW: dict[str, Any] = {
    "instrument_token": 408065, "timestamp": "2026-01-05 12:00:00", "last_trade_time": None, "last_price": 1100,
    "last_quantity": 5, "buy_quantity": 6, "sell_quantity": 7, "volume": 8, "average_price": 1090.5,
    "ohlc": {"open": 1, "high": 2, "low": 3, "close": 1000}, "net_change": 0,
}  # fmt: skip


def test_names_are_those_of_a_tick() -> None:
    """What REST calls otherwise is renamed; what it does not have is absent."""
    quote = Quote(key="NSE:INFY", instrument_token=408065, last_price=Decimal(1100), raw=RAW)
    fields = to_tick_fields(quote, instrument(), source="simulator", received_at_ms=5)
    assert fields == {
        "v": 1, "instrument_token": 408065, "exchange": "NSE", "tradingsymbol": "INFY", "last_price": 1100.0,
        "received_at": 5, "source": "simulator", "last_traded_quantity": 5, "average_traded_price": 1090.5,
        "volume_traded": 8, "total_buy_quantity": 6, "total_sell_quantity": 7, "ohlc": RAW["ohlc"],
        "exchange_timestamp": 1767594600, "last_trade_time": None, "change": 10.0,
    }  # fmt: skip


@pytest.mark.parametrize("never", [None, "", "0001-01-01 00:00:00", "1970-01-01 00:00:00", "x"])
def test_absent_times_of_the_broker_are_null(never: object) -> None:
    """Not a time of 1970."""
    assert epoch_of(never) is None
