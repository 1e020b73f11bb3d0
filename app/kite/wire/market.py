"""Instruments, quotes, candles, margins and sessions as Kite writes them.

Sources: https://kite.trade/docs/connect/v3/market-quotes/, /historical/, /margins/, /user/. Rows are judged one by one;
BrokerUnavailable is for an answer of another shape.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from decimal import Decimal
from functools import lru_cache
from typing import Any

from app.broker.market import Candle, Instrument, Quote
from app.broker.orders import Exchange
from app.broker.rows import BadRow, Rows
from app.errors import BrokerUnavailable
from app.kite.wire.values import MAX_ID_LENGTH, MAX_QUANTITY, int_of, moment_of, to_decimal

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


def parse_instruments(text: str) -> Rows[Instrument]:
    """The CSV dump; columns are found by name. Raises BrokerUnavailable for a missing column or a cut end.

    A row that cannot be read, or that has nothing where the table must have something, is a bad row.
    """
    # by line ends alone: ``splitlines`` also cuts at characters that may be part of a name
    lines = [line.removesuffix("\r") for line in text.split("\n")]
    header = next(csv.reader(lines[:1]), [])
    missing = [name for name in _COLUMNS if name not in header]
    if missing:
        raise BrokerUnavailable(f"the instruments dump has no column {', '.join(missing)}")
    places = [header.index(name) for name in _COLUMNS]
    decimal = lru_cache(maxsize=65536)(_csv_decimal)  # strikes and tick sizes repeat a thousandfold
    expiry = lru_cache(maxsize=4096)(_csv_date)
    good: list[Instrument] = []
    bad: list[BadRow] = []
    # each line is a record by itself: a quotation mark that is never closed must not take the rest of the dump with it
    for number, line in enumerate(lines[1:], start=2):
        try:
            row = next(csv.reader([line]), []) if '"' in line else line.split(",") if line else []
            if row:
                good.append(_instrument(row, places, len(header), decimal, expiry))
        except (ValueError, csv.Error) as error:
            if number == len(lines) and line.count(",") < len(header) - 1:
                raise BrokerUnavailable(f"the instruments dump is cut off at line {number}") from error
            bad.append(BadRow(place=f"line {number}", reason=f"{error}: {line!r:.120}"))
    return Rows(good=good, bad=bad)


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
    if not (symbol and kind and segment and exchange):
        raise ValueError("tradingsymbol, instrument_type, segment or exchange is empty")
    if len(symbol) + len(exchange) > MAX_ID_LENGTH:
        raise ValueError(f"tradingsymbol is {len(symbol)} characters long")
    if any(character in text for character in "\0\ufffd" for text in (symbol, kind, segment, exchange)) or "\0" in name:
        raise ValueError("a text has a character that is none")
    return Instrument(
        instrument_token=_csv_whole(token, MAX_TOKEN),
        exchange_token=_csv_whole(exchange_token, MAX_TOKEN),
        tradingsymbol=symbol,
        name=name,
        expiry=expiry(expires),
        strike=decimal(strike),
        tick_size=decimal(tick_size),
        lot_size=_csv_whole(lot_size or "0", MAX_QUANTITY),
        instrument_type=kind,
        segment=segment,
        exchange=exchange,
    )


MAX_TOKEN = 2**63 - 1
"""What the columns of the table hold; the ticker's binary packets have room for 32 bits."""


def _csv_whole(text: str, most: int) -> int:
    number = int(text) if text.isdecimal() else int(_csv_decimal(text)) if text else 0
    if not text or not 0 <= number <= most:
        raise ValueError(f"{text!r:.60}, wanted a whole number of at most {most}")
    return number


def _csv_decimal(text: str) -> Decimal:
    return to_decimal(text, "a number") if text else Decimal(0)


def _csv_date(text: str) -> date | None:
    return date.fromisoformat(text) if text else None


def parse_quotes(data: object) -> tuple[dict[str, Quote], Sequence[BadRow]]:
    """The map of ``/quote``; instruments unknown to the broker are not in it. Raises BrokerUnavailable for no map."""
    if not isinstance(data, dict):
        raise BrokerUnavailable("the quotes are not an object")
    quotes: dict[str, Quote] = {}
    bad: list[BadRow] = []
    for key, value in data.items():
        try:
            quotes[key] = _quote(key, value)
        except ValueError as error:
            bad.append(BadRow(place=f"quote of {key:.60}", reason=str(error), subject=key))
    return quotes, bad


def _quote(key: str, value: object) -> Quote:
    if not isinstance(value, dict):
        raise ValueError(f"{key} is not an object")  # noqa: TRY004 - one error for the caller to catch
    return Quote(
        key=key,
        instrument_token=int_of(value, "instrument_token"),
        last_price=to_decimal(value.get("last_price"), f"{key} last_price"),
        raw=value,
    )


def parse_candles(data: object) -> Rows[Candle]:
    """``{"candles": [[time, open, high, low, close, volume(, oi)], ...]}``. Raises BrokerUnavailable for no list."""
    rows = data.get("candles") if isinstance(data, dict) else None
    if not isinstance(rows, list):
        raise BrokerUnavailable("the candles are not a list")
    good: list[Candle] = []
    bad: list[BadRow] = []
    for number, row in enumerate(rows):
        try:
            good.append(_candle(row))
        except (ValueError, TypeError) as error:
            bad.append(BadRow(place=f"candle {number}", reason=str(error)))
    return Rows(good=good, bad=bad)


def _candle(row: Sequence[Any]) -> Candle:
    if len(row) not in (6, 7):
        raise ValueError(f"{len(row)} fields, wanted 6 or 7")
    moment = moment_of({"time": row[0]}, "time")
    if moment is None:
        raise ValueError(f"time is {row[0]!r:.60}, wanted a time")
    return Candle(
        time=moment,
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
    """``net`` of the segment that ``exchange`` draws on."""
    return _number_at(data, "commodity" if Exchange(exchange).is_commodity else "equity", "net")


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
