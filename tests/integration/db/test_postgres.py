"""The pool hands out connections that live, without asking each of them every time."""

from __future__ import annotations

import asyncio

import psycopg
import pytest

from app.db.leases import Lease, LeaseTimes
from app.db.postgres import Database, open_database
from app.errors import Unavailable
from app.kit.clock import SystemClock


async def test_a_connection_that_the_server_ended_a_moment_ago_is_not_handed_out(database_url: str) -> None:
    """Every one of them is replaced before a caller sees it, also right after its last use."""
    database = await open_database(database_url, name="pool", min_size=2, max_size=2)
    try:
        for _ in range(5):
            await database.ping()
            async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as other:
                cursor = await other.execute(
                    """SELECT count(pg_terminate_backend(pid, 2000)) FROM pg_stat_activity
                       WHERE application_name = 'pool'"""
                )
                row = await cursor.fetchone()
            assert row is not None
            assert row[0] >= 1
            async with database.connection() as one, database.connection() as two:
                await one.execute("SELECT 1")
                await two.execute("SELECT 1")
        assert database.connection_errors == 0
    finally:
        await database.close()


@pytest.mark.parametrize("steps", range(12))
async def test_a_task_stopped_as_it_gets_its_connection_ends(database_url: str, steps: int) -> None:
    """Whatever step of the event loop the stop falls into: a loop that lost it would go on sending orders."""
    database = await open_database(database_url, name="queue", min_size=1, max_size=1)
    worked = 0

    async def loop() -> None:
        nonlocal worked
        while True:
            async with database.connection():
                worked += 1
            await asyncio.sleep(0.01)

    try:
        async with database.connection():
            task = asyncio.create_task(loop())
            await asyncio.sleep(0.05)
        for _ in range(steps):
            await asyncio.sleep(0)
        worked_before = worked
        task.cancel()
        await asyncio.wait([task], timeout=20)
        assert task.cancelled()
        assert worked == worked_before
        await database.ping()  # and the connection went back
    finally:
        await database.close()


async def write_with_a_pause(database: Database) -> None:
    async with database.transaction() as tx:
        await tx.execute("SET LOCAL idle_in_transaction_session_timeout = 50")
        await asyncio.sleep(0.3)
        await tx.execute("SELECT 1")


async def write_to_a_standby(database: Database) -> None:
    async with database.transaction() as tx:
        await tx.execute("SET TRANSACTION READ ONLY")
        await tx.execute("DELETE FROM lease")


async def test_a_pause_inside_a_transaction_reads_as_a_lost_connection(database_url: str) -> None:
    """The server ends a session that is idle in a transaction for too long: no loop may die of it."""
    database = await open_database(database_url, name="paused", min_size=1, max_size=1)
    try:
        with pytest.raises(Unavailable):
            await write_with_a_pause(database)
        await database.ping()
    finally:
        await database.close()


async def test_a_server_that_has_become_a_standby_reads_as_a_lost_connection(database_url: str) -> None:
    """It refuses to write; the connection is given up, so that the next one can find the new primary."""
    database = await open_database(database_url, name="standby", min_size=1, max_size=1)
    try:
        async with database.connection() as connection:
            cursor = await connection.execute("SELECT pg_backend_pid()")
            before = await cursor.fetchone()
        with pytest.raises(Unavailable):
            await write_to_a_standby(database)
        async with database.connection() as connection:
            cursor = await connection.execute("SELECT pg_backend_pid()")
            assert await cursor.fetchone() != before
    finally:
        await database.close()


async def test_a_server_that_takes_no_writes_does_not_answer_a_ping(database_url: str) -> None:
    """Health must not say that all is well where no order can be stored."""
    database = await open_database(database_url, name="ping", min_size=1, max_size=1)
    try:
        async with database.connection() as connection:
            await connection.execute("SET default_transaction_read_only = on")
        with pytest.raises(Unavailable):
            await database.ping()
        await database.ping()  # on a new connection
    finally:
        await database.close()


async def test_a_database_whose_tables_are_being_replaced_is_away(database_url: str) -> None:
    """A dump is restored under running processes: no defect of theirs, and it ends by itself."""
    database = await open_database(database_url, name="test")
    async with database.connection() as connection:
        await connection.execute("ALTER TABLE lease DROP CONSTRAINT lease_pkey")
    ours = Lease(database, name="sender:primary", owner="me", times=LeaseTimes(), clock=SystemClock())
    with pytest.raises(Unavailable):
        await ours.try_take()
    async with database.connection() as connection:
        await connection.execute("DROP TABLE lease")
    with pytest.raises(Unavailable, match="lacks its schema"):
        await ours.try_take()
    await database.close()
