"""The JSON values of the three quote routes, with Kite's field names, straight from the columns.

Five hundred quotes are asked for at once, so no Decimals are made on the way: a price is its units divided by the
divisor, and whole numbers carry no decimal point.
"""

from collections.abc import Sequence
from datetime import datetime

from simulator.clock import IST
from simulator.formats import format_time
from simulator.market.instrument import Instrument
from simulator.market.state import DEPTH_LEVELS, ORDERS_SHIFT, TICK, State

_FIELDS = (TICK.names or ())[:-1]
_DEPTH = len(_FIELDS)  # the words after the named ones: quantity, price, orders of ten levels
_QUANTITIES = ("last_quantity", "buy_quantity", "sell_quantity", "volume", "oi", "oi_day_high", "oi_day_low")


def ltp_value(instrument: Instrument, state: State, row: int) -> dict[str, object]:
    """`row` is the instrument's."""
    last_price = int(state.words[row, _FIELDS.index("last_price")])
    return {
        "instrument_token": instrument.instrument_token,
        "last_price": _number(last_price, divisor=instrument.divisor),
    }


def ohlc_value(instrument: Instrument, state: State, row: int) -> dict[str, object]:
    """`close` is the previous session's close."""
    words, divisor = _named(state.words[row].tolist()), instrument.divisor
    prices = {name: _number(words[name], divisor=divisor) for name in ("open", "high", "low", "close")}
    return {**ltp_value(instrument, state, row), "ohlc": prices}


def full_value(instrument: Instrument, state: State, row: int) -> dict[str, object]:
    """Everything, with five levels a side."""
    words: list[int] = state.words[row].tolist()
    named, divisor = _named(words), instrument.divisor
    levels = [
        {"price": _number(price, divisor=divisor), "quantity": quantity, "orders": orders >> ORDERS_SHIFT}
        for quantity, price, orders in zip(
            words[_DEPTH::3], words[_DEPTH + 1 :: 3], words[_DEPTH + 2 :: 3], strict=True
        )
    ]
    return {
        **ohlc_value(instrument, state, row),
        "timestamp": _time(named["timestamp"]),
        "last_trade_time": _time(named["last_trade_time"]),
        "average_price": _number(named["average_price"], divisor=divisor),
        **{name: named[name] for name in _QUANTITIES},
        "net_change": _number(named["last_price"] - named["close"], divisor=divisor),
        "lower_circuit_limit": _number(int(state.lower_circuit[row]), divisor=divisor),
        "upper_circuit_limit": _number(int(state.upper_circuit[row]), divisor=divisor),
        "depth": {"buy": levels[:DEPTH_LEVELS], "sell": levels[DEPTH_LEVELS:]},
    }


def _named(words: Sequence[int]) -> dict[str, int]:
    return dict(zip(_FIELDS, words, strict=False))


def _number(units: int, *, divisor: int) -> int | float:
    return units / divisor if units % divisor else units // divisor


def _time(epoch: int) -> str | None:
    return format_time(datetime.fromtimestamp(epoch, IST)) if epoch else None
