"""A connection whose every wait for the server has a bound on our side.

A server that is stopped, or a line that swallows packets, keeps no bound of its own. A connection whose answer did not
come in time is closed; its statement may still be carried out when the server goes on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import psycopg
from psycopg import AsyncConnection
from psycopg.abc import RV, PQGen
from psycopg.errors import _WaitTimeout as WaitTimeout
from psycopg.rows import TupleRow

ANSWER_S = 3.0
"""How long a caller waits for one answer of the server: longer than the server's own bound on a statement."""

LAST_WORD_S = 0.1
"""What a caller whose time is over still waits for each answer: a transaction must be rolled back."""

_answer_by: ContextVar[float | None] = ContextVar("answer_by", default=None)


@contextmanager
def answering_within(seconds: float) -> Iterator[None]:
    """Whatever this block asks the database for is given up when the time is over, one answer after another.

    A caller that needs several answers would else wait for each bound in turn.
    """
    token = _answer_by.set(asyncio.get_running_loop().time() + seconds)
    try:
        yield
    finally:
        _answer_by.reset(token)


def seconds_left() -> float:
    """Of the block's time; infinite outside of ``answering_within``, never negative."""
    answer_by = _answer_by.get()
    return float("inf") if answer_by is None else max(0.0, answer_by - asyncio.get_running_loop().time())


class BoundedConnection(AsyncConnection[TupleRow]):
    """A connection that is closed when the server does not answer within ``answer_s``: OperationalError then."""

    answer_s = ANSWER_S

    async def wait(self, gen: PQGen[RV], interval: float = 0.1, timeout: float | None = None) -> RV:
        """Every exchange with the server passes here: statements, BEGIN, COMMIT, the end of a pipeline."""
        if timeout is not None:
            return await super().wait(gen, interval, timeout)
        bound_s = min(self.answer_s, max(LAST_WORD_S, seconds_left()))
        try:
            return await super().wait(gen, interval, bound_s)
        except WaitTimeout as error:
            self.pgconn.finish()
            raise psycopg.OperationalError(f"the server did not answer within {bound_s:.2g} s") from error
