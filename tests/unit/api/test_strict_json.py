"""JSON of requests is read as it is written, or refused."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

from app.api.strict_json import read_json


@pytest.mark.parametrize("number", ["1500.1500000000001", "0.1", "1e-7", "123456789012345678.25", "1400.10"])
def test_a_number_has_the_digits_that_were_sent(number: str) -> None:
    """The same as from the text: no binary float is between."""
    assert read_json(f'{{"price": {number}}}'.encode())["price"] == Decimal(number)


@pytest.mark.parametrize(
    "text",
    [
        '{"quantity": 1, "quantity": 100}',
        '{"orders": [{"tag": "a", "tag": "a"}]}',
        '{"a": {"b": 1}, "\\u0061": 2}',
        '{"price": NaN}',
        '{"price": Infinity}',
        '{"price": -Infinity}',
        '{"price": 1e99999999999999999999999}',
        "9" * 5000,
        "{",
        "",
    ],
)
def test_what_has_two_meanings_or_none_is_refused(text: str) -> None:
    """A name twice, also in another spelling; numbers that are none, or that no price can be."""
    with pytest.raises(json.JSONDecodeError):
        read_json(text.encode())
