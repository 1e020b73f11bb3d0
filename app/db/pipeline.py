"""Queries that share one round trip: sent inside ``tx.pipeline()``, their results are read when it has ended."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from psycopg import AsyncCursor
from psycopg.rows import TupleRow

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingResult(Generic[T_co]):
    """A query that was sent. Outside of a pipeline the answer is there already."""

    cursor: AsyncCursor[TupleRow]
    read: Callable[[Sequence[TupleRow]], T_co]  # makes the result of the rows

    async def fetch(self) -> T_co:
        """The result. Inside the pipeline this would wait for the round trip that it is meant to save."""
        return self.read(await self.cursor.fetchall())


async def fetch_or(pending: PendingResult[T] | None, default: T) -> T:
    """The result, or ``default`` for a query that was not sent."""
    return default if pending is None else await pending.fetch()
