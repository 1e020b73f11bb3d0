"""SQL that reads the event log. ``event_append_store`` writes it."""

from __future__ import annotations

from dataclasses import dataclass

from psycopg.rows import class_row

from app.db.postgres import Tx
from app.events.model import ExportedEvent, LogHead, StoredEvent


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


async def oldest_seq(tx: Tx, account_id: str) -> int | None:
    """The ``seq`` of the oldest event that is stored; None when there is none."""
    row = await (await tx.execute("SELECT min(seq) FROM event WHERE account_id = %s", (account_id,))).fetchone()
    return None if row is None else row[0]


async def read_hash(tx: Tx, account_id: str, *, seq: int) -> bytes | None:
    """The hash of one event; None where there is no such event, or it is from before there were hashes."""
    cursor = await tx.execute("SELECT hash FROM event WHERE account_id = %s AND seq = %s", (account_id, seq))
    row = await cursor.fetchone()
    return None if row is None else row[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedPage:
    """``broken_seq`` does not follow the one before it, whose number is ``before``; None: all of them do."""

    count: int
    last_seq: int | None
    last_hash: bytes | None
    broken_seq: int | None
    before: int | None


async def check_page(tx: Tx, account_id: str, *, after: int, previous: bytes | None, limit: int) -> CheckedPage:
    """Whether each of the ``limit`` events after ``after``, whose hash is ``previous``, follows the one before it.

    It does not when its number is not the next one, or when its hash is not that of itself and the hash before.
    """
    async with tx.cursor(row_factory=class_row(CheckedPage)) as cursor:
        values = {"account_id": account_id, "after": after, "previous": previous, "limit": limit}
        await cursor.execute(_CHECK, values)
        found = await cursor.fetchone()
    if found is None:
        raise LookupError("the database returned no row")
    return found


_CHECK = """
WITH page AS (
  SELECT * FROM event WHERE account_id = %(account_id)s AND seq > %(after)s ORDER BY seq LIMIT %(limit)s
), chained AS (
  SELECT page.*, coalesce(lag(seq) OVER one_by_one, %(after)s) AS before,
    CASE WHEN lag(seq) OVER one_by_one IS NULL THEN %(previous)s::bytea ELSE lag(hash) OVER one_by_one END AS previous
  FROM page WINDOW one_by_one AS (ORDER BY seq)
), checked AS (
  SELECT seq, hash, before, seq <> before + 1 OR (hash IS NULL AND previous IS NOT NULL)
    OR (hash IS NOT NULL AND hash <> event_hash(previous, account_id, seq, type, data, occurred_at)) AS is_broken
  FROM chained
)
SELECT count(*) AS count, max(seq) AS last_seq, (array_agg(hash ORDER BY seq DESC))[1] AS last_hash,
  min(seq) FILTER (WHERE is_broken) AS broken_seq,
  (array_agg(before ORDER BY seq) FILTER (WHERE is_broken))[1] AS before
FROM checked
"""


async def read_exported(tx: Tx, account_id: str, *, after: int, limit: int) -> list[ExportedEvent]:
    """The events that follow ``after`` with everything that their hashes cover, as PostgreSQL hashes it."""
    async with tx.cursor(row_factory=class_row(ExportedEvent)) as cursor:
        await cursor.execute(
            "SELECT account_id, seq, type, data::text AS data, occurred_at,"
            " extract(epoch FROM occurred_at)::text AS occurred_epoch_s, encode(hash, 'hex') AS hash"
            " FROM event WHERE account_id = %s AND seq > %s ORDER BY seq LIMIT %s",
            (account_id, after, limit),
        )
        return await cursor.fetchall()
