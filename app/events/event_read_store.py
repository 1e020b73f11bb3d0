"""SQL that reads the event log. ``event_append_store`` writes it."""

from __future__ import annotations

from psycopg.rows import class_row

from app.db.postgres import Tx
from app.events.model import LogHead, StoredEvent


async def read_after(tx: Tx, account_id: str, *, after: int, limit: int) -> list[StoredEvent]:
    """The events that follow ``after``, oldest first, at most ``limit``."""
    async with tx.cursor(row_factory=class_row(StoredEvent)) as cursor:
        await cursor.execute(
            "SELECT account_id, seq, type, data::text AS data, occurred_at FROM event"
            " WHERE account_id = %s AND seq > %s ORDER BY seq LIMIT %s",
            (account_id, after, limit),
        )
        return await cursor.fetchall()


async def read_head(tx: Tx, account_id: str) -> LogHead | None:
    """Where the account's log stands; None when it has none."""
    async with tx.cursor(row_factory=class_row(LogHead)) as cursor:
        await cursor.execute("SELECT account_id, epoch, seq FROM account_seq WHERE account_id = %s", (account_id,))
        return await cursor.fetchone()


async def read_all_heads(tx: Tx) -> list[LogHead]:
    """Where every log stands: one row for each account."""
    async with tx.cursor(row_factory=class_row(LogHead)) as cursor:
        await cursor.execute("SELECT account_id, epoch, seq FROM account_seq")
        return await cursor.fetchall()


async def has_event(tx: Tx, account_id: str, *, seq: int) -> bool:
    """False once the event was deleted (logs are kept for a time) or not yet written."""
    cursor = await tx.execute("SELECT 1 FROM event WHERE account_id = %s AND seq = %s", (account_id, seq))
    return await cursor.fetchone() is not None


async def newest_seq(tx: Tx, account_id: str) -> int | None:
    """The ``seq`` of the newest event that is stored; None when there is none."""
    row = await (await tx.execute("SELECT max(seq) FROM event WHERE account_id = %s", (account_id,))).fetchone()
    return None if row is None else row[0]


async def first_break(tx: Tx, account_id: str, *, last: int) -> tuple[int, int] | None:
    """Among the ``last`` events the first that does not follow the one before it, as ``(seq, seq before it)``.

    It does not follow when its number is not the next one, or when its hash is not that of itself and the hash before.
    """
    cursor = await tx.execute(_FIRST_BREAK, {"account_id": account_id, "last": last})
    row = await cursor.fetchone()
    return None if row is None else (row[0], row[1])


_FIRST_BREAK = """
WITH recent AS (SELECT * FROM event WHERE account_id = %(account_id)s ORDER BY seq DESC LIMIT %(last)s)
SELECT seq, before FROM (
  SELECT seq, hash, lag(seq) OVER one_by_one AS before,
    event_hash(lag(hash) OVER one_by_one, account_id, seq, type, data, occurred_at) AS due,
    lag(hash) OVER one_by_one IS NOT NULL AS follows_hashed
  FROM recent WINDOW one_by_one AS (ORDER BY seq)
) checked
WHERE before IS NOT NULL
  AND (seq <> before + 1 OR (hash IS NULL AND follows_hashed) OR (hash IS NOT NULL AND hash <> due))
ORDER BY seq LIMIT 1
"""
