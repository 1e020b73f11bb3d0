"""Which fields of a body go together? For its schema, so that clients and tools know what the validators ask."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

ABSENT = {"type": "null"}
_GIVEN = {"not": ABSENT}


def with_fields(*given: str, absent: Sequence[str] = (), **fixed: str) -> dict[str, Any]:
    """The schema of a body that has the ``given`` fields, none of ``absent``, and these values in ``fixed``."""
    properties: dict[str, Any] = dict.fromkeys(given, _GIVEN) | dict.fromkeys(absent, ABSENT)
    properties |= {name: {"const": value} for name, value in fixed.items()}
    return {"required": [*given, *fixed], "properties": properties}
