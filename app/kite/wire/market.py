"""Instruments, quotes, candles, margins and sessions as Kite writes them.

Sources: https://kite.trade/docs/connect/v3/market-quotes/, /historical/, /margins/, /user/. Everything raises
BrokerUnavailable for an answer that cannot be read as a whole.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any

from app.broker.market import Candle, Instrument, Quote
from app.errors import BrokerUnavailable
from app.kit.clock import IST
from app.kite.wire.values import int_of, to_decimal

_COLUMNS = (
    "instrument_token",
    "exchange_token",
    "tradingsymbol",
    "name",
    "expiry",
    "strike",
    "tick_size",
    "lot_size",
    "instrument_type",
    "segment",
    "exchange",
)


def parse_instruments(lines: Iterable[str]) -> list[Instrument]:
    """The CSV dump; columns are found by name. A row that cannot be read makes the whole dump unreadable."""
    rows = csv.reader(lines)
    header = next(rows, [])
    missing = [name for name in _COLUMNS if name not in header]
    if missing:
        raise BrokerUnavailable(f"the instruments dump has no column {', '.join(missing)}")
    places = [header.index(name) for name in _COLUMNS]
    decimal = lru_cache(maxsize=65536)(_csv_decimal)  # strikes and tick sizes repeat a thousandfold
    expiry = lru_cache(maxsize=4096)(_csv_date)
    width = len(header)
    try:
        return [_instrument(row, places, width, decimal, expiry) for row in rows if row]
    except (ValueError, csv.Error) as error:
        raise BrokerUnavailable(f"the instruments dump is unreadable at line {rows.line_num}: {error}") from error


def _instrument(
    row: Sequence[str],
    places: Sequence[int],
    width: int,
    decimal: Callable[[str], Decimal],
    expiry: Callable[[str], date | None],
) -> Instrument:
    if len(row) != width:
        raise ValueError(f"{len(row)} fields, wanted {width}")
    token, exchange_token, symbol, name, expires, strike, tick_size, lot_size, kind, segment, exchange = (
        row[place] for place in places
    )
    return Instrument(
        instrument_token=int(token),
        exchange_token=int(exchange_token),
        tradingsymbol=symbol,
        name=name,
        expiry=expiry(expires),
        strike=decimal(strike),
        tick_size=decimal(tick_size),
        lot_size=int(decimal(lot_size)),
        instrument_type=kind,
        segment=segment,
        exchange=exchange,
    )


def _csv_decimal(text: str) -> Decimal:
    return to_decimal(text, "a number") if text else Decimal(0)


def _csv_date(text: str) -> date | None:
    return date.fromisoformat(text) if text else None


def parse_quotes(data: object) -> dict[str, Quote]:
    """The map of ``/quote``; instruments unknown to the broker are not in it."""
    if not isinstance(data, dict):
        raise BrokerUnavailable("the quotes are not an object")
    try:
        return {key: _quote(key, value) for key, value in data.items()}
    except ValueError as error:
        raise BrokerUnavailable(f"the quotes are unreadable: {error}") from error


def _quote(key: str, value: object) -> Quote:
    if not isinstance(value, dict):
        raise ValueError(f"{key} is not an object")  # noqa: TRY004 - one error for the caller to catch
    return Quote(
        key=key,
        instrument_token=int_of(value, "instrument_token"),
        last_price=to_decimal(value.get("last_price"), f"{key} last_price"),
        raw=value,
    )


def parse_candles(data: object) -> list[Candle]:
    """``{"candles": [[time, open, high, low, close, volume(, oi)], ...]}``."""
    rows = data.get("candles") if isinstance(data, dict) else None
    if not isinstance(rows, list):
        raise BrokerUnavailable("the candles are not a list")
    try:
        return [_candle(row) for row in rows]
    except (ValueError, TypeError) as error:
        raise BrokerUnavailable(f"the candles are unreadable: {error}") from error


def _candle(row: Sequence[Any]) -> Candle:
    if len(row) not in (6, 7):
        raise ValueError(f"{len(row)} fields, wanted 6 or 7")
    moment = datetime.fromisoformat(row[0])
    return Candle(
        time=moment if moment.tzinfo else moment.replace(tzinfo=IST),
        open=to_decimal(row[1], "open"),
        high=to_decimal(row[2], "high"),
        low=to_decimal(row[3], "low"),
        close=to_decimal(row[4], "close"),
        volume=int(to_decimal(row[5], "volume")),
        oi=int(to_decimal(row[6], "oi")) if len(row) == 7 else None,
    )


def parse_basket_total(data: object) -> Decimal:
    """``final.total`` of ``/margins/basket``: what the basket needs after the benefit of hedges and positions."""
    return _number_at(data, "final", "total")


def parse_available_margin(data: object, *, exchange: str) -> Decimal:
    """``net`` of the segment that ``exchange`` draws on: commodity for MCX, equity for every other."""
    return _number_at(data, "commodity" if exchange == "MCX" else "equity", "net")


def _number_at(data: object, outer: str, inner: str) -> Decimal:
    part = data.get(outer) if isinstance(data, dict) else None
    value = part.get(inner) if isinstance(part, dict) else None
    try:
        return to_decimal(value, f"{outer}.{inner}")
    except ValueError as error:
        raise BrokerUnavailable(f"the margins are unreadable: {error}") from error


def object_of(data: object, what: str) -> Mapping[str, Any]:
    """Kite's object unchanged."""
    if not isinstance(data, dict):
        raise BrokerUnavailable(f"the {what} are not an object")
    return data


def objects_of(data: object, what: str) -> Sequence[Mapping[str, Any]]:
    """Kite's list of objects unchanged."""
    if not isinstance(data, list) or not all(isinstance(row, dict) for row in data):
        raise BrokerUnavailable(f"the {what} are not a list of objects")
    return data
