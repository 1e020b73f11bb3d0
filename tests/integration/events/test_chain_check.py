"""The event log is as it was written, or it is said where it is not."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from app.db.postgres import Database, open_database
from app.events.chain_check import ChainBreak, find_break
from app.events.event_read_store import read_all_heads
from tests.integration.events.conftest import append

EVERYTHING = 1_000


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = await open_database(database_url, name="chain")
    yield database
    await database.close()


async def broken(database: Database, *, last: int = EVERYTHING) -> list[ChainBreak]:
    async with database.connection() as connection:
        heads = await read_all_heads(connection)
        return [one for head in heads if (one := await find_break(connection, head, last=last)) is not None]


async def change(database: Database, statement: str) -> None:
    async with database.connection() as connection:
        await connection.execute(statement)


async def two_logs(database: Database) -> None:
    for count in (1, 3, 2):
        await append(database, count, account_id="primary")
        await append(database, count, account_id="second")


async def test_a_log_as_it_was_written_is_intact(database: Database) -> None:
    """Over several transactions of one and of several events, each account by itself, and from any point on."""
    await two_logs(database)
    assert await broken(database) == []
    assert await broken(database, last=3) == []
    await change(database, "DELETE FROM event WHERE seq <= 2")  # kept for a time only
    assert await broken(database) == []


@pytest.mark.parametrize(
    ("statement", "seq", "reason"),
    [
        ('UPDATE event SET data = data || \'{"filler": "y"}\' WHERE seq = 3', 3, "not what was written"),
        ("UPDATE event SET type = 'order_failed' WHERE seq = 3", 3, "not what was written"),
        ("UPDATE event SET occurred_at = occurred_at + interval '1 us' WHERE seq = 3", 3, "not what was written"),
        ("UPDATE event SET hash = NULL WHERE seq = 3", 3, "not what was written"),
        ("UPDATE event SET hash = sha256('x') WHERE seq = 3", 3, "not what was written"),
        ("DELETE FROM event WHERE seq IN (3, 4)", 5, "follows 2"),
        ("DELETE FROM event WHERE seq >= 5", 6, "the log ends at 4"),
    ],
)
async def test_a_changed_row_is_found(database: Database, statement: str, seq: int, reason: str) -> None:
    """Changed, without its hash, or gone: the account and the number are named, the other account is intact."""
    await two_logs(database)
    await change(database, f"{statement} AND account_id = 'second'")
    (found,) = await broken(database)
    assert (found.account_id, found.seq) == ("second", seq)
    assert reason in found.reason


async def test_the_newest_events_of_a_long_log_are_looked_at(database: Database) -> None:
    """Of ten the last three, each with the one before it; what lies before them is another run's."""
    await append(database, 10)
    await change(database, "UPDATE event SET type = 'order_failed' WHERE seq = 3")
    assert await broken(database, last=3) == []
    assert [one.seq for one in await broken(database)] == [3]
    await change(database, "UPDATE event SET type = 'order_failed' WHERE seq = 9")
    assert [one.seq for one in await broken(database, last=3)] == [9]


async def test_events_from_before_there_were_hashes_are_accepted(database: Database) -> None:
    """The chain begins with the first event that has one."""
    await append(database, 2)
    await change(database, "UPDATE event SET hash = NULL")
    await append(database, 2)
    assert await broken(database) == []
    await change(database, "UPDATE event SET type = 'order_failed' WHERE seq = 3")
    assert [one.seq for one in await broken(database)] == [3]
