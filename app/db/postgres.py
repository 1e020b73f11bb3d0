"""PostgreSQL: pools and transactions. The only place that knows how a connection is made.

The service has two pools: one for requests and readers, and a small one for sending orders, so that a flood of requests
cannot starve the path that risks money. Every statement, lock and idle transaction has a bound on the server's side.
Every wait has one on ours too: for a connection, and for each answer (``database_bounds``, ``bounded_connection``).
"""

from __future__ import annotations

import asyncio
import select
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Literal, TypeAlias
from weakref import WeakKeyDictionary

import psycopg
from psycopg import AsyncConnection
from psycopg.errors import (
    IdleInTransactionSessionTimeout,
    InvalidColumnReference,
    ReadOnlySqlTransaction,
    UndefinedTable,
)
from psycopg.rows import TupleRow
from psycopg.types.json import set_json_dumps, set_json_loads
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from app.db.bounded_connection import LAST_WORD_S, BoundedConnection
from app.db.database_bounds import DatabaseBounds
from app.db.server_check import check_server
from app.errors import Unavailable
from app.kit.answer_time import seconds_left
from app.kit.cancellation import cancel_requests, end_if_cancelled
from app.kit.clock import elapsed_s
from app.kit.json import decode_json, encode_json

Tx: TypeAlias = AsyncConnection[TupleRow]
"""A connection, mostly inside an open transaction: what every function of a ``*_store.py`` takes first."""

CHECK_S = 0.5
"""How long a pooled connection may take to prove that it works before another one is tried."""

_DEAD_WAITERS = 1_000
"""The pool keeps a place in its queue for every caller whose wait timed out, until it has a connection again. In a long
outage it is replaced by an empty one at this number."""

RESTED_S = 1.0
"""How long a connection may have been unused to be taken without a check."""

_UTC = {"timezone": "UTC"}
"""With the bounds of the session, set by a statement after the connection is made: startup options would take the place
of those in the URL, and a pooler drops or refuses them."""
_PLANNED_ONCE = {"plan_cache_mode": "force_generic_plan"}
_SCHEMA_GONE = (UndefinedTable, InvalidColumnReference)
"""A dump is being restored, or the database was made anew: its tables, and then their constraints, come later."""
_SESSION_OVER = (IdleInTransactionSessionTimeout, ReadOnlySqlTransaction)
"""Ends of a connection that psycopg classes with programming errors: this process was paused inside a transaction, or
the server has become a standby. Nothing was stored; the next connection may work."""


class CommitCutOff(Unavailable):
    """The connection failed during the commit, which may or may not have taken effect."""


class Database:
    """One pool. Everything here raises Unavailable when there is no connection or it fails: nothing was stored then,
    unless a COMMIT was on its way, see ``transaction``.

    ``connection_errors`` counts how often that happened; ``failing_since`` is the time (seconds of ``elapsed_s``) since
    when nothing else has, None while connections work.
    """

    def __init__(
        self, make_pool: Callable[[], AsyncConnectionPool[BoundedConnection]], *, max_waiting: int, wait_s: float
    ) -> None:
        self._make_pool = make_pool
        self._pool = make_pool()
        self._max_waiting = max_waiting
        self._wait_s = wait_s
        self._waiting = 0
        self.connection_errors = 0
        self.failing_since: float | None = None

    async def open(self) -> None:
        """Begin to connect; callers may come at once."""
        await self._pool.open()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Tx]:
        """Commits at the end of the block, rolls back on any exception. Raises CommitCutOff when it is not known
        whether it was committed."""
        committing = False
        try:
            async with self.connection() as connection, connection.transaction():
                yield connection
                committing = True
        except Unavailable as error:
            if committing:
                message = f"{error.message} during the commit: it is not known whether it took effect"
                raise CommitCutOff(message, code=error.code) from error
            raise

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[Tx]:
        """A read-only transaction whose statements all see the same state (REPEATABLE READ)."""
        async with self.transaction() as tx:
            await tx.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            yield tx

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Tx]:
        """An autocommit connection: each statement is its own transaction."""
        cancels = cancel_requests()
        try:
            async with self._pooled() as connection:
                end_if_cancelled(beyond=cancels)  # the pool's queue loses one that comes together with the connection
                try:
                    yield connection
                except ReadOnlySqlTransaction:
                    await connection.close()  # the next one may be made to the server that took over
                    raise
                self.failing_since = None
        except PoolTimeout as error:
            end_if_cancelled(beyond=cancels)
            self._count_failure()
            await self._drop_dead_waiters()
            raise Unavailable("the database gives no connection", code="DATABASE_UNAVAILABLE") from error
        except (psycopg.OperationalError, psycopg.InterfaceError, *_SESSION_OVER, *_SCHEMA_GONE) as error:
            end_if_cancelled(beyond=cancels)
            self._count_failure()
            what = "lacks its schema" if isinstance(error, _SCHEMA_GONE) else "connection failed"
            raise Unavailable(f"the database {what}", code="DATABASE_UNAVAILABLE") from error

    @asynccontextmanager
    async def _pooled(self) -> AsyncIterator[Tx]:
        """A connection of the pool for one block. The bound on waiting callers is ours: the pool would count callers
        that have long given up, and would not connect again once it counts enough of them."""
        if self._waiting >= self._max_waiting:
            self._count_failure()
            raise Unavailable("too many callers wait for a database connection", code="DATABASE_UNAVAILABLE")
        self._waiting += 1
        pool = self._pool
        try:
            connection = await pool.getconn(min(self._wait_s, max(LAST_WORD_S, seconds_left())))
        finally:
            self._waiting -= 1
        try:
            async with connection:
                yield connection
        finally:
            await pool.putconn(connection)

    def _count_failure(self) -> None:
        self.connection_errors += 1
        if self.failing_since is None:
            self.failing_since = elapsed_s()

    @property
    def queue_length(self) -> int:
        """Places in the pool's queue, those of callers that gave up included."""
        return self._pool.get_stats().get("requests_waiting", 0)

    async def _drop_dead_waiters(self) -> None:
        if self.queue_length < _DEAD_WAITERS:
            return
        pool = self._pool
        self._pool = self._make_pool()
        await self._pool.open()
        await pool.close(timeout=0)

    async def ping(self) -> None:
        """A round trip. Raises Unavailable, also when the server takes no writes: then no order can be stored."""
        async with self.connection() as connection:
            cursor = await connection.execute("SELECT current_setting('transaction_read_only')")
            if await cursor.fetchone() == ("on",):
                raise ReadOnlySqlTransaction("the server takes no writes")

    async def close(self) -> None:
        await self._pool.close(timeout=2.0)


class _RestCheck:
    """Checks whether a pooled connection works, which costs a round trip, only where there is a reason to.

    One that was in use a moment ago and whose socket has nothing to read is taken as it is: a server that ended a
    connection has sent bytes or the end of the stream.
    """

    def __init__(self, *, answer_s: float) -> None:
        self._answer_s = answer_s
        self._since: WeakKeyDictionary[BoundedConnection, float] = WeakKeyDictionary()

    async def begin(self, connection: BoundedConnection) -> None:
        self._since[connection] = asyncio.get_running_loop().time()

    async def check(self, connection: BoundedConnection) -> None:
        """Raises OperationalError for a connection that does not work; the pool replaces it."""
        rested_s = asyncio.get_running_loop().time() - self._since.get(connection, 0.0)
        if rested_s > RESTED_S or _has_input(connection):
            connection.answer_s = CHECK_S
            await AsyncConnectionPool.check_connection(connection)
            connection.answer_s = self._answer_s


def _has_input(connection: Tx) -> bool:
    poller = select.poll()
    poller.register(connection.fileno(), select.POLLIN)
    return bool(poller.poll(0))


WarmUp: TypeAlias = Callable[[Tx], Awaitable[None]]
"""What a new connection does before its first caller gets it."""

Plans: TypeAlias = Literal["each_its_own", "once"]
"""``once``: a statement is planned the first time that a connection runs it. The claim alone takes 5 ms to plan and
under 1 ms to run, and PostgreSQL would plan it anew for the first seven orders on each connection. For statements whose
best plan does not depend on their parameters."""


async def open_database(
    url: str,
    *,
    name: str,
    min_size: int = 2,
    max_size: int = 10,
    max_waiting: int = 200,
    plans: Plans = "each_its_own",
    warm_up: WarmUp | None = None,
    bounds: DatabaseBounds | None = None,
) -> Database:
    """A pool of ``min_size`` to ``max_size`` connections.

    ``name`` is what PostgreSQL shows as ``application_name``; ``max_waiting`` bounds the callers that wait for a
    connection. Raises StartError when it cannot connect, or when the service cannot work on this server.
    """
    bounds = bounds or DatabaseBounds()
    await check_server(url)
    rest_check = _RestCheck(answer_s=bounds.answer_s)

    async def configure(connection: BoundedConnection) -> None:
        connection.answer_s = bounds.answer_s
        await set_bounds(connection, plans=plans, bounds=bounds)
        await use_exact_json(connection)
        if warm_up is not None:
            await warm_up(connection)

    def make_pool() -> AsyncConnectionPool[BoundedConnection]:
        return AsyncConnectionPool(
            url,
            connection_class=BoundedConnection,
            kwargs=connection_options(name, plans=plans, bounds=bounds),
            min_size=min_size,
            max_size=max_size,
            timeout=bounds.wait_s,
            max_lifetime=1800.0,
            reconnect_timeout=0,
            check=rest_check.check,
            reset=rest_check.begin,
            configure=configure,
            name=name,
            open=False,
        )

    database = Database(make_pool, max_waiting=max_waiting, wait_s=bounds.wait_s)
    await database.open()
    return database


def connection_options(name: str, *, plans: Plans, bounds: DatabaseBounds) -> dict[str, Any]:
    """The arguments of every connection of a pool."""
    return {
        "autocommit": True,
        "application_name": name,
        "connect_timeout": bounds.connect_s,
        "keepalives_idle": 10,  # a line that died silently is noticed in seconds, not in a quarter of an hour
        "keepalives_interval": 3,
        "keepalives_count": 3,
        "tcp_user_timeout": 10_000,
        "prepare_threshold": 0 if plans == "once" else 2,
    }


async def set_bounds(connection: Tx, *, plans: Plans, bounds: DatabaseBounds) -> None:
    """What the server bounds by itself in this session."""
    settings = bounds.session() | _UTC | (_PLANNED_ONCE if plans == "once" else {})
    names, values = list(settings), list(settings.values())
    await connection.execute(
        "SELECT set_config(name, value, false) FROM unnest(%s::text[], %s::text[]) AS setting(name, value)",
        (names, values),
        prepare=False,
    )


async def use_exact_json(connection: Tx) -> None:
    """jsonb columns keep decimals exact in both directions."""
    set_json_dumps(encode_json, connection)
    set_json_loads(decode_json, connection)
