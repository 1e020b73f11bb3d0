"""One page of a list that clients read page by page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Documents, and where the next page begins."""

    data: Sequence[Mapping[str, Any]]  # in the order of the query
    next_cursor: str | None  # None on the last page
