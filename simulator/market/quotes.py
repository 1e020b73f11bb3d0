"""The JSON values of the three quote routes, with Kite's field names. Whole numbers carry no decimal point."""

from simulator.formats import format_optional_time, format_time, to_number
from simulator.market.quote import DepthLevel, Quote


def ltp_value(quote: Quote) -> dict[str, object]:
    return {"instrument_token": quote.instrument_token, "last_price": to_number(quote.last_price)}


def ohlc_value(quote: Quote) -> dict[str, object]:
    """`close` is the previous session's close."""
    prices = {"open": quote.open, "high": quote.high, "low": quote.low, "close": quote.close}
    return {**ltp_value(quote), "ohlc": {name: to_number(price) for name, price in prices.items()}}


def full_value(quote: Quote) -> dict[str, object]:
    return {
        **ohlc_value(quote),
        "timestamp": format_time(quote.timestamp),
        "last_trade_time": format_optional_time(quote.last_trade_time),
        "last_quantity": quote.last_quantity,
        "buy_quantity": quote.buy_quantity,
        "sell_quantity": quote.sell_quantity,
        "volume": quote.volume,
        "average_price": to_number(quote.average_price),
        "oi": quote.oi,
        "oi_day_high": quote.oi_day_high,
        "oi_day_low": quote.oi_day_low,
        "net_change": to_number(quote.net_change),
        "lower_circuit_limit": to_number(quote.lower_circuit_limit),
        "upper_circuit_limit": to_number(quote.upper_circuit_limit),
        "depth": {"buy": [_level(level) for level in quote.buy], "sell": [_level(level) for level in quote.sell]},
    }


def _level(level: DepthLevel) -> dict[str, object]:
    return {"price": to_number(level.price), "quantity": level.quantity, "orders": level.orders}
