"""Values for the rows of one of the broker's answers: those that can be read, and what is known of the others.

``app.kite.wire`` judges each row; ``app.kite.reads`` counts and logs the unreadable ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class BadRow:
    """A row that cannot be read as a whole."""

    place: str  # where in the answer: "row 17", "line 90001"
    reason: str  # the field, what it has and what was wanted
    subject: str | None = None  # the id by which the row is known elsewhere; None: illegible
    tags: frozenset[str] | None = None  # of a row of the order book, all its tags; None: illegible


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows(Generic[T]):
    """An answer of many rows. It is iterated over what can be read."""

    good: Sequence[T]
    bad: Sequence[BadRow] = field(default=())

    def __iter__(self) -> Iterator[T]:
        return iter(self.good)
