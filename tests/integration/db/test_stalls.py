"""A database that is away, stopped or silent costs bounded time, and everything works again when it is back."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from urllib.parse import urlsplit

import pytest

from app.db.bounded_connection import ANSWER_S
from app.db.database_bounds import DatabaseBounds
from app.db.notifications import Notifications
from app.db.postgres import CHECK_S, Database, Tx, open_database
from app.errors import Unavailable
from chaos.proxy import FaultProxy, Toxic, open_proxy
from tests.waiting import until

SLACK_S = 2.0
"""What a busy machine may add to a bound."""


@asynccontextmanager
async def proxied(database_url: str, *, max_waiting: int = 20) -> AsyncIterator[tuple[Database, FaultProxy]]:
    """A pool of two connections whose line can be cut."""
    parts = urlsplit(database_url)
    assert parts.port is not None
    async with open_proxy(parts.port) as proxy:
        through = database_url.replace(f":{parts.port}/", f":{proxy.port}/")
        database = await open_database(through, name="stalls", min_size=1, max_size=2, max_waiting=max_waiting)
        try:
            yield database, proxy
        finally:
            await database.close()


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    """One server process that does not answer, as long as the block runs."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


async def backend_pid(connection: Tx) -> int:
    cursor = await connection.execute("SELECT pg_backend_pid()")
    row = await cursor.fetchone()
    assert row is not None
    return int(row[0])


async def seconds_until_it_works(database: Database) -> float:
    begun_at = time.monotonic()
    while True:
        try:
            await database.ping()
        except Unavailable:
            assert time.monotonic() - begun_at < 20.0
            await asyncio.sleep(0.05)
        else:
            return time.monotonic() - begun_at


async def test_a_pool_whose_waiting_callers_all_gave_up_connects_again(database_url: str) -> None:
    """More callers time out than may wait at once; none of them stands in the way when the database is back."""
    async with proxied(database_url, max_waiting=3) as (database, proxy):
        await database.ping()
        proxy.stop_listening()
        proxy.cut()
        for _ in range(3):
            answers = await asyncio.gather(*(database.ping() for _ in range(3)), return_exceptions=True)
            assert [type(answer) for answer in answers] == [Unavailable] * 3
        await proxy.start_listening()
        assert await seconds_until_it_works(database) < 3.0


async def test_callers_beyond_the_bound_are_refused_at_once(database_url: str) -> None:
    """Two hold the connections, three wait; the sixth has its answer before anything else happens."""
    async with proxied(database_url, max_waiting=3) as (database, _), database.connection(), database.connection():
        waiting = [asyncio.create_task(database.ping()) for _ in range(3)]
        await asyncio.sleep(0.05)
        begun_at = time.monotonic()
        with pytest.raises(Unavailable, match="too many callers"):
            await database.ping()
        assert time.monotonic() - begun_at < DatabaseBounds().wait_s / 2
        for task in waiting:
            task.cancel()
        await asyncio.wait(waiting)


async def test_a_long_outage_leaves_no_queue_of_callers_that_gave_up(database_url: str) -> None:
    """A thousand places in the pool's queue belong to nobody: the pool is replaced, and the new one works."""
    async with proxied(database_url, max_waiting=2_000) as (database, proxy):
        await database.ping()
        proxy.stop_listening()
        proxy.cut()
        answers = await asyncio.gather(*(database.ping() for _ in range(1_100)), return_exceptions=True)
        assert {type(answer) for answer in answers} == {Unavailable}
        await proxy.start_listening()
        assert await seconds_until_it_works(database) < 3.0
        assert database.queue_length < 10


async def ask_a_stopped_process(database: Database) -> None:
    async with database.connection() as connection:
        with stopped(await backend_pid(connection)):
            await connection.execute("SELECT 1")


async def commit_into_nothing(database: Database, proxy: FaultProxy) -> None:
    async with database.transaction() as tx:
        await tx.execute("CREATE TABLE stalled (id int)")
        proxy.toxics = (Toxic(kind="timeout"),)


async def test_a_stopped_server_process_costs_one_answer_and_no_more(database_url: str) -> None:
    """Its caller is answered within the bound, and the next one gets another connection."""
    async with proxied(database_url) as (database, _):
        begun_at = time.monotonic()
        with pytest.raises(Unavailable):
            await ask_a_stopped_process(database)
        assert ANSWER_S - 0.1 < time.monotonic() - begun_at < ANSWER_S + SLACK_S
        assert await seconds_until_it_works(database) < 1.0


async def test_a_pooled_connection_to_a_stopped_process_is_passed_over(database_url: str) -> None:
    """The check of a rested connection has a bound of its own: the caller gets another one within it."""
    async with proxied(database_url) as (database, _):
        async with database.connection() as connection:
            pid = await backend_pid(connection)
        await asyncio.sleep(1.1)
        with stopped(pid):
            begun_at = time.monotonic()
            await database.ping()
            assert time.monotonic() - begun_at < CHECK_S + 1.0


async def test_a_line_that_swallows_a_commit_raises_within_the_bound(database_url: str) -> None:
    """The statement has arrived, its COMMIT does not: nothing is stored, and the caller is not kept."""
    async with proxied(database_url) as (database, proxy):
        begun_at = time.monotonic()
        with pytest.raises(Unavailable):
            await commit_into_nothing(database, proxy)
        assert time.monotonic() - begun_at < ANSWER_S + SLACK_S
        proxy.toxics = ()
        proxy.cut()
        await seconds_until_it_works(database)
        async with database.connection() as connection:
            cursor = await connection.execute("SELECT to_regclass('stalled')")
            assert await cursor.fetchone() == (None,)


async def test_a_pause_of_the_server_that_ends_within_the_bound_is_no_error(database_url: str) -> None:
    """A checkpoint or a slow disk makes callers wait, and nothing else."""
    async with proxied(database_url) as (database, _), database.connection() as connection:
        pid = await backend_pid(connection)
        asyncio.get_running_loop().call_later(1.0, os.kill, pid, signal.SIGCONT)
        os.kill(pid, signal.SIGSTOP)
        cursor = await connection.execute("SELECT 1")
        assert await cursor.fetchone() == (1,)


async def test_a_caller_whose_time_is_over_leaves_a_stopped_process_at_once(database_url: str) -> None:
    """The driver would ask the server to cancel the statement, and wait ten seconds for that."""
    async with proxied(database_url) as (database, _):
        begun_at = time.monotonic()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await ask_a_stopped_process(database)
        assert time.monotonic() - begun_at < 0.5 + SLACK_S
        assert await seconds_until_it_works(database) < 1.0


async def test_a_listener_whose_process_is_stopped_listens_over_another_one(database_url: str) -> None:
    """It notices at its next sign of life, and says that notifications may have been missed."""
    heard: list[str] = []
    async with proxied(database_url) as (database, _):
        notifications = Notifications(database, url=database_url, on_notification=heard.append, keepalive_s=0.3)
        running = asyncio.create_task(notifications.run())
        try:
            await until(lambda: _is(heard, [""]))
            async with database.connection() as connection:
                cursor = await connection.execute(
                    "SELECT pid FROM pg_stat_activity WHERE application_name = 'ticker notifications'"
                    " AND datname = current_database()"
                )
                row = await cursor.fetchone()
            assert row is not None
            with stopped(row[0]):
                await until(lambda: _is(heard, ["", ""]), within_s=0.3 + ANSWER_S + 1.0 + SLACK_S)
                notifications.send("primary")
                await until(lambda: _is(heard, ["", "", "primary"]))
        finally:
            running.cancel()


async def _is(heard: list[str], wanted: list[str]) -> bool:
    return heard == wanted
