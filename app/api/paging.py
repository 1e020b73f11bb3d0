"""How are lists cut into pages? By a cursor that stands for the last entry of the page before."""

from __future__ import annotations

from typing import Annotated, Generic, TypeVar
from uuid import UUID

from fastapi import Query
from pydantic import BaseModel

from app.broker.identifiers import IDENTIFIER

PAGE_MAX = 500

T = TypeVar("T")

PageLimit = Annotated[int, Query(ge=1, le=PAGE_MAX, description="how many entries at most")]
_ID = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_BEFORE = "`next_cursor` of the page before"

KeyCursor = Annotated[str | None, Query(pattern=r"^(?:[0-9a-f]{2}){1,400}$", description=_BEFORE)]
"""Of a list that is sorted by a text, see ``cursor_of_key``."""
IdCursor = Annotated[UUID | None, Query(description=_BEFORE)]
"""Of a list that is sorted by the ids of its entries."""
OrderCursor = Annotated[str | None, Query(pattern=IDENTIFIER, description=_BEFORE)]
"""Of a list of orders."""
DeliveryCursor = Annotated[str | None, Query(pattern=rf"^[0-9]{{1,18}}:{_ID}$", description=_BEFORE)]
"""Of a list of deliveries: sequence number and id."""


class Page(BaseModel, Generic[T]):
    """A list by cursor: pass ``next_cursor`` back as ``?cursor=`` until it is null."""

    data: list[T]
    next_cursor: str | None = None


def cursor_of_key(key: str | None) -> str | None:
    """An opaque form of the last key of a page; None after the last page."""
    return None if key is None else key.encode("utf-8", "surrogateescape").hex()


def key_of_cursor(cursor: str | None) -> str | None:
    """The key that ``cursor_of_key`` was given; any other text of that shape stands for some place in the list."""
    return None if cursor is None else bytes.fromhex(cursor).decode("utf-8", "surrogateescape")
