"""Kite's scalars: numbers that change their JSON type, naive IST times, several ways to say "nothing".

All but ``moment_of`` raise ``ValueError`` that names the field; the caller adds which answer it was.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from app.kit.clock import IST

MAX_QUANTITY = 2**31 - 1
"""What the columns of the tables hold."""

MAX_ID_LENGTH = 128
"""Characters of an id; the broker's have twenty, and an index of the database cannot hold any length."""

_YEARS = range(2000, 2100)
"""The years of plausible times. The broker writes 0000, 0001 and 1970 for "never"."""

_MAX_DIGITS = 18
"""Before the point, and about as many behind it: more than any price has, and less than what the database refuses."""


def text_of(row: Mapping[str, Any], name: str) -> str:
    """A required text; identifiers that came as JSON numbers are accepted."""
    value = row.get(name)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str) or not value:
        raise ValueError(f"{name} is {value!r:.60}, wanted text")
    return value


def id_of(row: Mapping[str, Any], name: str) -> str:
    """A required identifier."""
    value = text_of(row, name)
    if len(value) > MAX_ID_LENGTH:
        raise ValueError(f"{name} is {value!r:.60}, {len(value)} characters long")
    return value


def optional_text_of(value: object) -> str | None:
    """Text, or None for null, empty and anything that is not text; numbers are identifiers."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value if isinstance(value, str) and value else None


def int_of(row: Mapping[str, Any], name: str) -> int:
    """A whole number that may come as ``10``, ``10.0`` or ``"10"``; 0 where it is missing or null."""
    value = decimal_of(row, name)
    if value != value.to_integral_value():
        raise ValueError(f"{name} is {row.get(name)!r:.60}, wanted a whole number")
    return int(value)


def quantity_of(row: Mapping[str, Any], name: str) -> int:
    """A whole number, not negative, that can be stored."""
    value = int_of(row, name)
    if not 0 <= value <= MAX_QUANTITY:
        raise ValueError(f"{name} is {row.get(name)!r:.60}, wanted a quantity")
    return value


def decimal_of(row: Mapping[str, Any], name: str) -> Decimal:
    """A number in its shortest decimal form; 0 where it is missing, null or empty text."""
    value = row.get(name)
    if value is None or value == "":
        return Decimal(0)
    return to_decimal(value, name)


def to_decimal(value: object, name: str) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError(f"{name} is {value!r:.60}, wanted a number")  # noqa: TRY004 - one error for the caller to catch
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        raise ValueError(f"{name} is {value!r:.60}, wanted a number") from None
    if not number.is_finite() or number.adjusted() > _MAX_DIGITS or _exponent_of(number) < -2 * _MAX_DIGITS:
        raise ValueError(f"{name} is {value!r:.60}, wanted a number")
    return number


def _exponent_of(number: Decimal) -> int:
    exponent = number.as_tuple().exponent
    return exponent if isinstance(exponent, int) else 0


def moment_of(row: Mapping[str, Any], name: str) -> datetime | None:
    """``YYYY-MM-DD HH:MM:SS`` without a zone is IST. None for everything that is no plausible time.

    A row without a time is still a row: it is known by its ids, and the broker itself has several ways to say "never".
    """
    value = row.get(name)
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    if moment.year not in _YEARS:
        return None
    return moment.replace(tzinfo=IST) if moment.tzinfo is None else moment
