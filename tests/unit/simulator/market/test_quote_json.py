"""The JSON values of the quote routes."""

import json
from collections.abc import Callable
from datetime import datetime
from typing import Any

from simulator.clock import IST
from simulator.market.instrument import Instrument
from simulator.market.market import Market
from simulator.market.quote_json import full_value, ltp_value, ohlc_value
from simulator.market.state import State

NOON = datetime(2026, 7, 6, 12, 0, tzinfo=IST)
GO_INTEGERS = ("instrument_token", "last_quantity", "volume", "buy_quantity", "sell_quantity")


def read(value: Callable[[Instrument, State, int], dict[str, object]], market: Market, symbol: str) -> dict[str, Any]:
    instrument = market.find("NSE", symbol)
    assert instrument is not None
    return value(instrument, market.state, market.listing.row_of[instrument.instrument_token])


def test_full_quote_has_kites_fields_and_integers_where_go_needs_them() -> None:
    """A decimal point in a quantity is an error for the Go client."""
    value = read(full_value, Market(seed=1, now=NOON), "INFY")
    fields = (
        "instrument_token timestamp last_trade_time last_price last_quantity buy_quantity sell_quantity volume "
        "average_price oi oi_day_high oi_day_low net_change lower_circuit_limit upper_circuit_limit ohlc depth"
    )
    assert set(value) == set(fields.split())
    assert value["timestamp"] == value["last_trade_time"] == "2026-07-06 12:00:00"
    wire = json.loads(json.dumps(value))
    assert all(isinstance(wire[name], int) for name in GO_INTEGERS)
    for side in ("buy", "sell"):
        assert len(wire["depth"][side]) == 5
        assert all(isinstance(level[name], int) for level in wire["depth"][side] for name in ("quantity", "orders"))


def test_short_quotes_are_parts_of_the_full_one() -> None:
    """`ohlc` and `ltp` have fields of the full quote; an untraded instrument has no trade time."""
    market = Market(seed=1, now=NOON)
    ltp, ohlc, full = (read(value, market, "INFY") for value in (ltp_value, ohlc_value, full_value))
    assert ltp.items() <= ohlc.items() <= full.items()
    assert read(full_value, market, "SYN440")["last_trade_time"] is None


def test_json_agrees_with_the_quote_that_orders_are_matched_with() -> None:
    """Floats for clients and Decimals for the exchange come from the same columns."""
    market = Market(seed=1, now=NOON)
    value, quote = read(full_value, market, "INFY"), market.quote(408065)
    for name in ("last_price", "average_price", "net_change", "lower_circuit_limit", "upper_circuit_limit"):
        assert value[name] == float(getattr(quote, name))
    for name in ("volume", "last_quantity", "buy_quantity", "sell_quantity", "oi", "oi_day_high", "oi_day_low"):
        assert value[name] == getattr(quote, name)
    assert value["ohlc"] == {name: float(getattr(quote, name)) for name in ("open", "high", "low", "close")}
    for side in ("buy", "sell"):
        expected = [(float(level.price), level.quantity, level.orders) for level in getattr(quote, side)]
        assert [(level["price"], level["quantity"], level["orders"]) for level in value["depth"][side]] == expected
