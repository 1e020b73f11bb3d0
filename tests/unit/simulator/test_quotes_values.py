"""The JSON values of the quote routes."""

import json
from datetime import datetime

from simulator.clock import IST
from simulator.market.market import Market
from simulator.market.quotes import full_value, ltp_value, ohlc_value

NOON = datetime(2026, 7, 6, 12, 0, tzinfo=IST)
GO_INTEGERS = ("instrument_token", "last_quantity", "volume", "buy_quantity", "sell_quantity")


def test_full_quote_has_kites_fields_and_integers_where_go_needs_them() -> None:
    """A decimal point in a quantity is an error for the Go client."""
    value = full_value(Market(seed=1, now=NOON).quote(408065))
    fields = (
        "instrument_token timestamp last_trade_time last_price last_quantity buy_quantity sell_quantity volume "
        "average_price oi oi_day_high oi_day_low net_change lower_circuit_limit upper_circuit_limit ohlc depth"
    )
    assert set(value) == set(fields.split())
    assert value["timestamp"] == value["last_trade_time"] == "2026-07-06 12:00:00"
    read = json.loads(json.dumps(value))
    assert all(isinstance(read[name], int) for name in GO_INTEGERS)
    for side in ("buy", "sell"):
        assert len(read["depth"][side]) == 5
        assert all(isinstance(level[name], int) for level in read["depth"][side] for name in ("quantity", "orders"))


def test_short_quotes_are_parts_of_the_full_one() -> None:
    """`ohlc` and `ltp` say the same in fewer words; an untraded instrument has no trade time."""
    market = Market(seed=1, now=NOON)
    quote = market.quote(408065)
    assert ltp_value(quote).items() <= ohlc_value(quote).items() <= full_value(quote).items()
    quiet = market.find("NSE", "SYN440")
    assert quiet is not None
    assert full_value(market.quote(quiet.instrument_token))["last_trade_time"] is None
