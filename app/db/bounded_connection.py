"""A connection whose every wait for the server has a bound on our side.

A server that is stopped, or a line that swallows packets, keeps no bound of its own. A connection whose answer did not
come in time is closed; its statement may still be carried out when the server goes on.
"""

from __future__ import annotations

import asyncio

import psycopg
from psycopg import AsyncConnection, Connection, waiting
from psycopg.abc import RV, PQGen
from psycopg.errors import _WaitTimeout as WaitTimeout
from psycopg.pq import TransactionStatus
from psycopg.rows import TupleRow

from app.kit.answer_time import seconds_left

ANSWER_S = 3.0
"""How long a caller waits for one answer of the server: longer than the server's own bound on a statement."""

LAST_WORD_S = 0.1
"""What a caller whose time is over still waits for each answer: a transaction must be rolled back."""


class NoAnswer(psycopg.OperationalError):
    """The server did not answer in time, and the connection was closed."""


class BlockingBoundedConnection(Connection[TupleRow]):
    """A connection for commands that block, with the same bound; ``answer_s`` is what one statement may take."""

    answer_s = ANSWER_S

    def wait(self, gen: PQGen[RV], interval: float = 0.1, timeout: float | None = None) -> RV:
        try:
            return super().wait(gen, interval, self.answer_s if timeout is None else timeout)
        except WaitTimeout as error:
            self.pgconn.finish()
            raise NoAnswer(f"the server did not answer within {self.answer_s:g} s") from error


class BoundedConnection(AsyncConnection[TupleRow]):
    """A connection that is closed when the server does not answer within ``answer_s``: NoAnswer then.

    It is closed too when its caller is cancelled while it waits. psycopg would ask the server to cancel the statement,
    and wait for that: up to ten seconds, in which a caller whose time is over does not come back.
    """

    answer_s = ANSWER_S

    async def wait(self, gen: PQGen[RV], interval: float = 0.1, timeout: float | None = None) -> RV:
        """Every exchange with the server passes here: statements, BEGIN, COMMIT, the end of a pipeline."""
        bound_s = min(self.answer_s, max(LAST_WORD_S, seconds_left())) if timeout is None else timeout
        try:
            return await waiting.wait_async(gen, self.pgconn.socket, interval=interval, timeout=bound_s)
        except asyncio.CancelledError:
            if self.pgconn.transaction_status == TransactionStatus.ACTIVE:
                self.pgconn.finish()
            raise
        except WaitTimeout as error:
            if timeout is not None:  # its caller knows what that means
                raise
            self.pgconn.finish()
            raise NoAnswer(f"the server did not answer within {bound_s:.2g} s") from error
