"""JSON in one dialect: decimals leave as exact JSON numbers and come back as Decimal, never through a binary float."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec


def encode_json(value: Any) -> bytes:
    """Bytes of ``value``; Decimal as a JSON number, aware datetimes as ISO-8601, dataclasses as objects."""
    return msgspec.json.Encoder(decimal_format="number").encode(value)


def decode_json(data: bytes | str) -> Any:
    """The value in ``data``; every number with a fraction is a Decimal. Raises ValueError for what is not JSON."""
    return msgspec.json.Decoder(float_hook=Decimal).decode(data)
