"""Connections that ask the scheduler before each step.

Nothing is paused but a statement, the end of a transaction and a request to the broker. A statement that writes outside
a transaction gets one, so that there is a pause between its effect and its commit: what a slow disk does to a claim.
A pipeline goes statement by statement. BEGIN changes nothing and is no step. A claim pauses once more inside, when it
has its snapshot and no row yet: sides find a ``clock_timestamp()`` of their own first, which waits there for a lock.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from psycopg import AsyncConnection, AsyncCursor, AsyncPipeline
from psycopg.abc import RV, PQGen
from psycopg.pq import PipelineStatus, TransactionStatus
from psycopg_pool import AsyncConnectionPool

from app.db.bounded_connection import BoundedConnection
from app.db.database_bounds import DatabaseBounds
from app.db.postgres import Database, connection_options, set_bounds, use_exact_json
from tests.interleavings.scheduler import Actor, Inside, Kind

LABEL_LENGTH = 70
_BEGIN = "_enter_gen"
_END = "_exit_gen"
_NO_STEPS = frozenset({"_commit_gen", "_rollback_gen"})
"""What the pool asks of a connection that is in no transaction."""

CLAIMS = "SKIP LOCKED"
"""What is in a statement that pauses inside."""

_WRITES = re.compile(r"\b(INSERT|UPDATE|DELETE)\b", re.IGNORECASE)  # also FOR UPDATE


PAUSES_INSIDE = """
CREATE SCHEMA pauses;
CREATE FUNCTION pauses.clock_timestamp() RETURNS timestamptz LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  IF coalesce(current_setting('pauses.lock', true), '') <> '' THEN
    PERFORM pg_advisory_xact_lock_shared(current_setting('pauses.lock')::bigint);
    PERFORM set_config('pauses.lock', '', false);
  END IF;
  RETURN pg_catalog.clock_timestamp();
END $$;
"""
_SIDE_OPTIONS = (
    "-c search_path=pauses,public,pg_catalog -c lock_timeout=12000 -c statement_timeout=14000"
    " -c idle_in_transaction_session_timeout=60000 -c timezone=UTC -c plan_cache_mode=force_generic_plan"
)
ANSWER_S = 15.0
"""Above the bounds of ``_SIDE_OPTIONS``: a busy machine's pauses are no waits that end."""


@dataclass(slots=True)
class Side:
    """One of two operations' connection and gateways; they pause while ``actor`` is set."""

    name: str
    server: LockServer
    actor: Actor | None = None

    async def pause(self, label: str, kind: Kind) -> None:
        if self.actor is not None:
            await self.actor.pause(label, kind)

    @property
    def lock(self) -> int:
        """The advisory lock that the side's statements wait for inside."""
        return ord(self.name)


class LockServer:
    """Sees and ends the lock waits of other connections, and holds the locks of pauses inside statements."""

    def __init__(self, connection: AsyncConnection[Any]) -> None:
        self._connection = connection

    @property
    def pid(self) -> int:
        return self._connection.pgconn.backend_pid

    async def blockers(self, pids: Sequence[int]) -> Mapping[int, Sequence[int]]:
        cursor = await self._connection.execute(
            """SELECT pid, held_by
               FROM (SELECT pid, pg_blocking_pids(pid) FROM unnest(%s::int[]) pid) AS waits (pid, held_by)
               WHERE cardinality(held_by) > 0""",
            (list(pids),),
        )
        return {row[0]: row[1] for row in await cursor.fetchall()}

    async def end_wait(self, pid: int) -> None:
        await self._connection.execute("SELECT pg_cancel_backend(%s)", (pid,))

    @asynccontextmanager
    async def locked(self, lock: int) -> AsyncIterator[Inside]:
        """Inside the block a statement that asks for this lock waits until ``release``."""
        await self._connection.execute("SELECT pg_advisory_lock(%s)", (lock,))
        try:
            yield Inside(pid=self.pid, release=partial(self._release, lock))
        finally:
            await self._connection.execute("SELECT pg_advisory_unlock_all()")

    async def _release(self, lock: int) -> None:
        await self._connection.execute("SELECT pg_advisory_unlock(%s)", (lock,))


class PausingCursor(AsyncCursor[Any]):
    """Gives each statement a label, and a transaction where it has none."""

    _conn: PausingConnection

    async def execute(self, query: Any, params: Any = None, **options: Any) -> PausingCursor:
        """A claim outside a transaction pauses inside."""
        connection, text = self._conn, str(query)
        kind = Kind.WRITE if _WRITES.search(text) else Kind.READ
        async with AsyncExitStack() as around:
            if connection.side.actor is not None and kind is Kind.WRITE and connection.is_idle:
                await around.enter_async_context(connection.transaction())
                if CLAIMS in text:
                    await around.enter_async_context(connection.pausing_inside())
            connection.label, connection.kind = label_of(text), kind
            return await super().execute(query, params, **options)

    async def executemany(self, query: Any, params_seq: Iterable[Any], **options: Any) -> None:
        """One step, however many rows."""
        await self._conn.step(label_of(query), Kind.WRITE)
        await super().executemany(query, params_seq, **options)


class PausingConnection(BoundedConnection):
    """Subclasses name the side that they belong to."""

    side: Side
    answer_s = ANSWER_S
    label = ""
    kind = Kind.OTHER
    _is_new = False

    @property
    def is_idle(self) -> bool:
        """Whether a statement of this moment would be its own transaction."""
        return self.pgconn.transaction_status == TransactionStatus.IDLE

    async def wait(self, gen: PQGen[RV], interval: float = 0.1, timeout: float | None = None) -> RV:
        actor, name = self.side.actor, getattr(gen, "__name__", "")
        if actor is None:
            return await super().wait(gen, interval, timeout)
        if name == _BEGIN:
            self._is_new = self.is_idle
        elif name == _END and self.pgconn.pipeline_status == PipelineStatus.OFF:
            await self.step("end of the transaction", Kind.END)
        elif name not in _NO_STEPS and self.pgconn.pipeline_status == PipelineStatus.OFF:
            await self.step(self.label, self.kind)
        async with actor.at_server(self.pgconn.backend_pid):
            return await super().wait(gen, interval, timeout)

    async def step(self, label: str, kind: Kind) -> None:
        """Wait for the grant of a step. The first one of a transaction gives it its time: BEGIN waits for no grant."""
        if self.side.actor is not None:
            await self.side.actor.pause(label, kind)
            if self._is_new:
                self._is_new = False
                await super().wait(self._exec_command(b"COMMIT AND CHAIN"), timeout=ANSWER_S)

    @asynccontextmanager
    async def pausing_inside(self) -> AsyncIterator[None]:
        """The next statement pauses where it asks for the time."""
        side, actor = self.side, self.side.actor
        assert actor is not None
        async with side.server.locked(side.lock) as inside:
            side.actor = None  # what prepares the pause is no step
            await self.execute("SELECT set_config('pauses.lock', %s, false)", (str(side.lock),))
            side.actor, actor.inside = actor, inside
            try:
                yield
            finally:
                actor.inside = None

    @asynccontextmanager
    async def pipeline(self) -> AsyncIterator[AsyncPipeline]:
        """None: statements that are sent together are run one after another all the same."""
        yield AsyncPipeline(self)


def label_of(query: Any) -> str:
    """The beginning of a statement on one line."""
    text = " ".join(str(query).split())
    return text if len(text) <= LABEL_LENGTH else f"{text[: LABEL_LENGTH - 3]}..."


async def open_side(url: str, name: str, *, server: LockServer) -> tuple[Side, Database]:
    """A database of one connection that pauses for the operation of this side."""
    side = Side(name, server)

    class Connection(PausingConnection):
        """Of this side."""

    Connection.side = side
    return side, await open_plain(url, name, connection_class=Connection)


async def open_plain(url: str, name: str, *, connection_class: type[BoundedConnection] = BoundedConnection) -> Database:
    """A database of one connection, without the checks that a rested connection gets: they would be steps."""
    options = connection_options(name, plans="once", bounds=DatabaseBounds())
    is_side = issubclass(connection_class, PausingConnection)
    if is_side:
        options["options"] = _SIDE_OPTIONS
        options["cursor_factory"] = PausingCursor

    async def configure(connection: BoundedConnection) -> None:
        if not is_side:
            await set_bounds(connection, plans="once", bounds=DatabaseBounds())
        await use_exact_json(connection)

    def make_pool() -> AsyncConnectionPool[BoundedConnection]:
        return AsyncConnectionPool(
            url,
            connection_class=connection_class,
            kwargs=options,
            min_size=1,
            max_size=1,
            timeout=5.0,
            configure=configure,
            name=name,
            open=False,
        )

    database = Database(make_pool, max_waiting=10, wait_s=DatabaseBounds().wait_s)
    await database.open()
    return database
