"""The event log is as it was written, or it is said where it is not."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from app.db.postgres import Database, open_database
from app.events import chain_check
from app.events.chain_check import ChainBreak, LogCheck, check_log
from app.events.event_read_store import read_all_heads
from app.events.log_export import export_log, verify_lines
from app.events.log_signature import LogSigner
from app.events.retention import Retention
from tests.integration.events.conftest import append

SIGNER = LogSigner([b"the newest version", b"an older version"])
DAY_S = 86_400.0


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = await open_database(database_url, name="chain")
    yield database
    await database.close()


async def checks(database: Database, *, last: int | None = None, signer: LogSigner = SIGNER) -> list[LogCheck]:
    async with database.snapshot() as tx:
        return [await check_log(tx, head, signer=signer, last=last) for head in await read_all_heads(tx)]


async def broken(database: Database, *, last: int | None = None, signer: LogSigner = SIGNER) -> list[ChainBreak]:
    return [one.found for one in await checks(database, last=last, signer=signer) if one.found is not None]


async def exported(database: Database) -> list[bytes]:
    async with database.snapshot() as tx:
        return [line for head in await read_all_heads(tx) async for line in export_log(tx, head)]


async def prune(database: Database, *, keep_s: float = DAY_S, signer: LogSigner = SIGNER) -> int:
    return await Retention(database, signer=signer, keep_s=keep_s).prune()


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
    assert list(verify_lines(await exported(database), signer=SIGNER)) == []
    assert [one.events for one in await checks(database)] == [6, 6]


@pytest.mark.parametrize(
    ("statement", "seq", "reason"),
    [
        ('UPDATE event SET data = data || \'{"filler": "y"}\' WHERE seq = 3', 3, "not what was written"),
        ("UPDATE event SET type = 'order_failed' WHERE seq = 3", 3, "not what was written"),
        ("UPDATE event SET occurred_at = occurred_at + interval '1 us' WHERE seq = 3", 3, "not what was written"),
        ("UPDATE event SET hash = NULL WHERE seq = 3", 3, "not what was written"),
        ("UPDATE event SET hash = sha256('x') WHERE seq = 3", 3, "not what was written"),
        ("DELETE FROM event WHERE seq IN (3, 4)", 5, "follows 2"),
        ("DELETE FROM event WHERE seq <= 2", 3, "follows 0"),
        ("UPDATE event SET seq = seq + 100 WHERE seq = 6", 106, "follows 5"),
        ("DELETE FROM event WHERE seq <= 6", 6, "the log ends at 0"),
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
    (copied,) = verify_lines(await exported(database), signer=SIGNER)
    assert f"event {seq} of second" in copied
    assert reason in copied


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


async def test_a_log_longer_than_a_page_is_checked_across_its_pages(database: Database) -> None:
    """The last event of one page and the first of the next one belong together."""
    await append(database, chain_check.PAGE + 5)
    assert await broken(database) == []
    async with database.connection() as connection:
        await connection.execute("UPDATE event SET type = 'order_failed' WHERE seq = %s", (chain_check.PAGE + 1,))
    assert [one.seq for one in await broken(database)] == [chain_check.PAGE + 1]


async def age(database: Database, *, up_to: int, days: int = 2) -> None:
    """Make events older, with the hashes that they would have."""
    await change(
        database,
        f"""DO $$ DECLARE one record; previous bytea; BEGIN
          UPDATE event SET occurred_at = occurred_at - interval '{days} days' - ({up_to} - seq) * interval '1 s'
            WHERE seq <= {up_to};
          FOR one IN SELECT * FROM event ORDER BY seq LOOP
            previous := event_hash(previous, one.account_id, one.seq, one.type, one.data, one.occurred_at);
            UPDATE event SET hash = previous WHERE account_id = one.account_id AND seq = one.seq;
          END LOOP; END $$""",  # noqa: S608 - numbers of this test
    )


async def kept(database: Database) -> list[int]:
    async with database.connection() as connection:
        rows = await (await connection.execute("SELECT seq FROM event ORDER BY seq")).fetchall()
    return [row[0] for row in rows]


async def test_old_events_are_dropped_and_the_rest_still_proves_itself(database: Database) -> None:
    """What is left follows what was dropped, here and in a copy; later events follow as well."""
    await append(database, 6)
    await age(database, up_to=4)
    assert await prune(database) == 4
    assert await prune(database) == 0
    assert await kept(database) == [5, 6]
    await append(database, 2)
    (check,) = await checks(database)
    assert (check.found, check.events, check.start) == (None, 4, 4)
    assert list(verify_lines(await exported(database), signer=SIGNER)) == []


async def test_the_newest_event_is_never_dropped(database: Database) -> None:
    """The next one follows it."""
    await append(database, 3)
    await age(database, up_to=3)
    assert await prune(database) == 2
    await append(database, 1)
    assert (await kept(database), await broken(database)) == ([3, 4], [])


@pytest.mark.parametrize(
    ("statement", "seq", "reason"),
    [
        ("UPDATE event_dropped SET seq = 3", 3, "has not signed"),
        ("UPDATE event_dropped SET hash = sha256('x')", 4, "has not signed"),
        ("UPDATE event_dropped SET occurred_at = occurred_at - interval '1 day'", 4, "has not signed"),
        ("UPDATE event_dropped SET signature = sha256('x')", 4, "has not signed"),
        ("DELETE FROM event_dropped", 5, "follows 0"),
        ("DELETE FROM event WHERE seq = 5", 6, "follows 4"),
        ("UPDATE event SET type = 'order_failed' WHERE seq = 5", 5, "not what was written"),
    ],
)
async def test_what_was_dropped_cannot_be_changed_unnoticed(
    database: Database, statement: str, seq: int, reason: str
) -> None:
    """Neither how far, nor the hash that the rest follows, nor that nothing was dropped at all."""
    await append(database, 8)
    await age(database, up_to=4)
    await prune(database)
    await change(database, statement)
    (found,) = await broken(database)
    assert (found.seq, reason in found.reason) == (seq, True)
    (copied,) = verify_lines(await exported(database), signer=SIGNER)
    assert (f"event {seq} of primary" in copied, reason in copied) == (True, True)


async def test_a_signature_of_an_older_secret_is_known_and_one_of_another_deployment_is_not(database: Database) -> None:
    """The secret may be renewed; a log of elsewhere proves nothing here."""
    await append(database, 8)
    await age(database, up_to=4)
    await prune(database, signer=LogSigner([b"an older version"]))
    assert await broken(database) == []
    assert [one.seq for one in await broken(database, signer=LogSigner([b"another deployment"]))] == [4]


@pytest.mark.parametrize(
    "statement",
    [
        """INSERT INTO order_task (task_id, account_id, operation, status, trade_date, instrument, request, priority,
           send_by, created_at) VALUES (gen_random_uuid(), 'primary', 'place', 'in_doubt', '2026-01-05',
           'NSE:INFY', '{}', 1, now(), (SELECT occurred_at FROM event WHERE seq = 3))""",
        """INSERT INTO broker_order (account_id, trade_date, order_id, status, state, filled_quantity, average_price,
           content_hash, document, first_seen_at) VALUES ('primary', '2026-01-05', '1', 'OPEN', 'open', 0, 0, '', '{}',
           (SELECT occurred_at FROM event WHERE seq = 3))""",
        """INSERT INTO batch (batch_id, account_id, status, rollback_on_failure, on_filled, total_orders, deadline_at,
           created_at) VALUES (gen_random_uuid(), 'primary', 'running', true, 'report', 2, now(),
           (SELECT occurred_at FROM event WHERE seq = 3))""",
        """INSERT INTO webhook (webhook_id, account_id, url, events, tags, ordered, description, status, secret,
           key_version) VALUES ('00000000-0000-7000-8000-000000000001', 'primary', '', '{}', '{}', false, '',
           'paused', '', 1);
           INSERT INTO webhook_delivery (webhook_id, account_id, seq, type, due_at, created_at)
           VALUES ('00000000-0000-7000-8000-000000000001', 'primary', 3, 'order_updated', now(), now())""",
    ],
    ids=["task", "order", "batch", "webhook"],
)
async def test_what_is_needed_is_kept_however_old_it_is(database: Database, statement: str) -> None:
    """From the beginning of the oldest open task, order or batch on, and from the first event that a webhook lacks."""
    await append(database, 6)
    await age(database, up_to=5)
    for part in statement.split(";\n"):
        await change(database, part)
    await prune(database)
    assert await kept(database) == [3, 4, 5, 6]
    await change(database, "UPDATE order_task SET status = 'failed'")
    await change(database, "UPDATE broker_order SET state = 'completed'")
    await change(database, "UPDATE batch SET completed_at = now()")
    await change(database, "UPDATE webhook_delivery SET status = 'delivered'")
    await prune(database)
    assert (await kept(database), await broken(database)) == ([6], [])


def test_lines_that_are_no_export_are_refused() -> None:
    """And events that stand in another log."""
    event = (
        b'{"line":"event","account_id":"a","seq":1,"type":"t","occurred_at":"2026-01-05T00:00:00Z",'
        b'"occurred_epoch_s":"1","hash":null,"data":{}}'
    )
    assert "not a line" in next(verify_lines([b"{}"], signer=SIGNER))
    assert "another log" in next(verify_lines([event], signer=SIGNER))
