"""How are lists cut into pages? By a cursor that stands for the last entry of the page before."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Generic, TypeVar
from uuid import UUID

from fastapi import Query
from pydantic import BaseModel

from app.errors import BadInput, Problem

PAGE_MAX = 500

T = TypeVar("T")

PageLimit = Annotated[int, Query(ge=1, le=PAGE_MAX, description="how many entries at most")]
PageCursor = Annotated[str | None, Query(max_length=200, description="`next_cursor` of the page before")]


class Page(BaseModel, Generic[T]):
    """A list by cursor: pass ``next_cursor`` back as ``?cursor=`` until it is null."""

    data: list[T]
    next_cursor: str | None = None


def uuid_of_cursor(cursor: str | None) -> UUID | None:
    """The id of the last entry of the page before, None for the first page. Raises BadInput for anything else."""
    if cursor is None:
        return None
    try:
        return UUID(cursor)
    except ValueError as error:
        raise _not_a_cursor() from error


def cursor_of_key(key: str | None) -> str | None:
    """An opaque form of the last key of a page; None after the last page."""
    return None if key is None else base64.urlsafe_b64encode(key.encode()).decode().rstrip("=")


def key_of_cursor(cursor: str | None) -> str | None:
    """The key that ``cursor_of_key`` was given. Raises BadInput for any other text."""
    if cursor is None:
        return None
    try:
        return base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError) as error:
        raise _not_a_cursor() from error


def _not_a_cursor() -> BadInput:
    return BadInput([Problem(loc=("query", "cursor"), msg="is not a cursor of this list")])
