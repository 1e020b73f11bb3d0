"""How is the JSON of a request read? As it is written: exact numbers, no name twice in an object, no NaN."""

from __future__ import annotations

import json
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

_SHOWN = 64  # characters of a name that a refusal repeats


def read_json(text: bytes) -> Any:
    """The value; numbers with a point or an exponent are Decimals with the digits that were sent.

    Raises json.JSONDecodeError for what is no such JSON, and UnicodeDecodeError or RecursionError.
    """
    decoded = text.decode("utf-8")
    try:
        return json.loads(decoded, parse_float=Decimal, parse_constant=_no_number, object_pairs_hook=_object)
    except json.JSONDecodeError:
        raise
    except InvalidOperation:
        raise json.JSONDecodeError("a number is out of range", decoded, 0) from None
    except ValueError as error:
        raise json.JSONDecodeError(str(error), decoded, 0) from None


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")


def _object(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the name {twice[:_SHOWN]!r} stands twice in one object")
    return found
