"""Can the service work on this server? Asked once before anything else, by every command that needs the database.

Text has to be UTF-8. A session has to keep its server process: transaction pooling takes prepared statements, advisory
locks, LISTEN and the session's bounds away from under it, and shows that late, or never.
"""

from __future__ import annotations

import asyncio

import psycopg

from app.db.bounded_connection import BoundedConnection
from app.errors import StartError

CHECK_S = 10.0
"""How long the check may take, however many addresses the server has and however slow its name is found."""

POOLED = "DATABASE_POOL_SIZE + DATABASE_ENGINE_POOL_SIZE + 1"
"""Connections of one process: two pools (``app.bootstrap``) and one for notifications."""

_ROUNDS = 3
"""Transactions of another connection in which, and between which, a session is asked for its server process."""

_PROCESS = "SELECT pg_backend_pid()"


async def check_server(url: str) -> None:
    """Raises StartError, in one line: a wrong address or password is not a pool that retries for ever."""
    try:
        async with asyncio.timeout(CHECK_S), await _connect(url) as connection:
            _check_encoding(connection)
            if await _process(connection) != connection.info.backend_pid:  # a pooler answers with a number of its own
                await _check_pooler(connection, url)
    except TimeoutError as error:
        raise StartError(f"DATABASE_URL: no connection to PostgreSQL within {CHECK_S:g} s") from error
    except psycopg.OperationalError as error:
        reason = " ".join(str(error).split())  # several lines where several addresses were tried
        raise StartError(f"DATABASE_URL: cannot connect to PostgreSQL: {reason}") from error


async def _connect(url: str) -> BoundedConnection:
    return await BoundedConnection.connect(url, autocommit=True, connect_timeout=5, prepare_threshold=None)


async def _process(connection: BoundedConnection) -> int | None:
    row = await (await connection.execute(_PROCESS)).fetchone()
    return None if row is None else int(row[0])


def _check_encoding(connection: BoundedConnection) -> None:
    encoding = (connection.pgconn.parameter_status(b"server_encoding") or b"").decode(errors="replace")
    if encoding != "UTF8":
        wanted = "make it anew with ENCODING 'UTF8' TEMPLATE template0"
        raise StartError(f"DATABASE_URL: the encoding of the database is {encoding or 'unknown'}, not UTF8: {wanted}")


async def _check_pooler(connection: BoundedConnection, url: str) -> None:
    """Beside a second connection, inside its transactions and between them, the first one keeps its server process."""
    own = {await _process(connection)}
    others: set[int | None] = set()
    try:
        async with await _connect(url) as other:
            for _ in range(_ROUNDS):  # a pooler may give the server process that was used last, or first, or any
                own |= {await _process(connection), await _process(connection)}
                async with other.transaction():
                    others.add(await _process(other))
                    own.add(await _process(connection))
        if len(own) > 1 or own & others:
            raise StartError(_refusal("in transaction mode"))
    except psycopg.Error as error:  # no second server process, or no transactions
        raise StartError(_refusal(f"that gives no second session ({' '.join(str(error).split())})")) from error


def _refusal(what: str) -> str:
    wanted = f"connect directly, or in session mode with {POOLED} connections for each process"
    return f"DATABASE_URL: there is a connection pooler {what} before PostgreSQL: {wanted}"
