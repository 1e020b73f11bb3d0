"""The JSON values of the three quote routes, with Kite's field names, directly from the columns.

A request may be for 500 quotes, so no Decimals are created: a price is its units divided by the divisor, and whole
numbers have no decimal point.
"""

from datetime import datetime
from functools import lru_cache

from simulator.clock import IST
from simulator.formats import format_time
from simulator.market.instrument import Instrument
from simulator.market.state import DEPTH_LEVELS, ORDERS_SHIFT, TICK, State

_FIELDS = (TICK.names or ())[:-1]
_DEPTH = len(_FIELDS)  # the words after the named ones: quantity, price, orders of ten levels
_LAST_PRICE = _FIELDS.index("last_price")


def ltp_value(instrument: Instrument, state: State, row: int) -> dict[str, object]:
    """The value of `/quote/ltp`; `row` is the instrument's."""
    last_price = int(state.words[row, _LAST_PRICE])
    return {
        "instrument_token": instrument.instrument_token,
        "last_price": _number(last_price, instrument.divisor),
    }


def ohlc_value(instrument: Instrument, state: State, row: int) -> dict[str, object]:
    """The value of `/quote/ohlc`; `close` is the previous session's close."""
    named, divisor = dict(zip(_FIELDS, state.words[row].tolist(), strict=False)), instrument.divisor
    return {**ltp_value(instrument, state, row), "ohlc": _ohlc(named, divisor)}


def full_value(instrument: Instrument, state: State, row: int) -> dict[str, object]:
    """The value of `/quote`, with five levels on each side."""
    words: list[int] = state.words[row].tolist()
    named, divisor = dict(zip(_FIELDS, words, strict=False)), instrument.divisor
    levels = [
        {
            "price": price / divisor if price % divisor else price // divisor,
            "quantity": quantity,
            "orders": orders >> ORDERS_SHIFT,
        }
        for quantity, price, orders in zip(
            words[_DEPTH::3], words[_DEPTH + 1 :: 3], words[_DEPTH + 2 :: 3], strict=True
        )
    ]
    return {
        "instrument_token": instrument.instrument_token,
        "last_price": _number(named["last_price"], divisor),
        "ohlc": _ohlc(named, divisor),
        "timestamp": _time(named["timestamp"]),
        "last_trade_time": _time(named["last_trade_time"]),
        "average_price": _number(named["average_price"], divisor),
        "last_quantity": named["last_quantity"],
        "buy_quantity": named["buy_quantity"],
        "sell_quantity": named["sell_quantity"],
        "volume": named["volume"],
        "oi": named["oi"],
        "oi_day_high": named["oi_day_high"],
        "oi_day_low": named["oi_day_low"],
        "net_change": _number(named["last_price"] - named["close"], divisor),
        "lower_circuit_limit": _number(int(state.lower_circuit[row]), divisor),
        "upper_circuit_limit": _number(int(state.upper_circuit[row]), divisor),
        "depth": {"buy": levels[:DEPTH_LEVELS], "sell": levels[DEPTH_LEVELS:]},
    }


def _ohlc(named: dict[str, int], divisor: int) -> dict[str, int | float]:
    return {name: _number(named[name], divisor) for name in ("open", "high", "low", "close")}


def _number(units: int, divisor: int) -> int | float:
    return units / divisor if units % divisor else units // divisor


@lru_cache(maxsize=4096)  # five hundred quotes of one answer share a few seconds
def _time(epoch: int) -> str | None:
    return format_time(datetime.fromtimestamp(epoch, IST)) if epoch else None
