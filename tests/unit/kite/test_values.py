"""Single values of the broker's JSON: what is taken, and what makes its row unreadable."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from app.kit.clock import IST
from app.kite.wire.values import (
    MAX_ID_LENGTH,
    MAX_QUANTITY,
    decimal_of,
    id_of,
    int_of,
    moment_of,
    optional_text_of,
    quantity_of,
    text_of,
    to_decimal,
)


@pytest.mark.parametrize(
    ("value", "number"),
    [(1, "1"), (1.5, "1.5"), ("1400.05", "1400.05"), (0, "0"), (-3, "-3"), ("1E+3", "1E+3"), (10**18, "1E+18")],
)
def test_numbers_are_taken_as_they_are_written(value: object, number: str) -> None:
    """Whole, broken, or as text."""
    assert to_decimal(value, "price") == Decimal(number)


@pytest.mark.parametrize(
    "value", [True, False, None, [], {}, "", "one", "NaN", "Infinity", float("nan"), float("inf"), 10**19, "1E-60"]
)
def test_what_is_no_number_of_this_world_is_refused(value: object) -> None:
    """With the name of the field."""
    with pytest.raises(ValueError, match="price is "):
        to_decimal(value, "price")


def test_a_missing_number_is_nought() -> None:
    """Left out, null or empty text; nought is nought, and a truth value is none of them."""
    for row in ({}, {"price": None}, {"price": ""}, {"price": 0}):
        assert decimal_of(row, "price") == 0
    assert decimal_of({"price": "5"}, "price") == 5
    with pytest.raises(ValueError, match="price is False"):
        decimal_of({"price": False}, "price")


def test_quantities_are_whole_and_can_be_stored() -> None:
    """From nought to what the column holds."""
    assert quantity_of({"quantity": 0}, "quantity") == 0
    assert quantity_of({"quantity": MAX_QUANTITY}, "quantity") == MAX_QUANTITY
    for value in (-1, MAX_QUANTITY + 1):
        with pytest.raises(ValueError, match="quantity is "):
            quantity_of({"quantity": value}, "quantity")


@pytest.mark.parametrize(("value", "text"), [("7", "7"), (7, "7"), ("a", "a"), (0, "0")])
def test_identifiers_come_as_text_or_as_numbers(value: object, text: str) -> None:
    """The broker's JSON has both."""
    assert text_of({"id": value}, "id") == id_of({"id": value}, "id") == text
    assert optional_text_of(value) == text


@pytest.mark.parametrize("value", [None, "", True, False, 1.5, [], {}])
def test_what_is_no_text_is_refused_or_none(value: object) -> None:
    """Refused where a row needs it."""
    assert optional_text_of(value) is None
    with pytest.raises(ValueError, match="id is "):
        text_of({"id": value}, "id")


def test_an_identifier_has_a_bound() -> None:
    """The last one that an index holds, and one more."""
    assert id_of({"id": "x" * MAX_ID_LENGTH}, "id") == "x" * MAX_ID_LENGTH
    with pytest.raises(ValueError, match="characters long"):
        id_of({"id": "x" * (MAX_ID_LENGTH + 1)}, "id")


def test_whole_numbers_may_be_written_as_broken_ones() -> None:
    """10, 10.0 and "10" are ten; 10.5 is none."""
    assert [int_of({"n": value}, "n") for value in (10, 10.0, "10", None, "10.00")] == [10, 10, 10, 0, 10]
    with pytest.raises(ValueError, match="n is "):
        int_of({"n": 10.5}, "n")


@pytest.mark.parametrize(
    ("value", "moment"),
    [
        ("2026-01-05 09:15:00", datetime(2026, 1, 5, 9, 15, tzinfo=IST)),
        ("2000-01-01 00:00:00", datetime(2000, 1, 1, tzinfo=IST)),
        ("2099-12-31 00:00:00", datetime(2099, 12, 31, tzinfo=IST)),
        ("2026-01-05T09:15:00+00:00", datetime(2026, 1, 5, 9, 15, tzinfo=UTC)),
        ("05-01-2026 09:15:00", None),  # the day first, or the month
        ("09:15:00", None),
        ("1999-12-31 23:59:59", None),
        ("2100-01-01 00:00:00", None),
        ("0001-01-01 00:00:00", None),
        ("soon", None),
        (1767584700, None),
        (None, None),
    ],
)
def test_times_are_in_india_and_plausible_or_none(value: object, moment: datetime | None) -> None:
    """The broker writes several years for never; a zone of its own counts."""
    found = moment_of({"at": value}, "at")
    assert found == moment
    assert found is None or found.tzinfo is not None
