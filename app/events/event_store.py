"""SQL that reads the event log. What writes it is ``app.events.outbox_store``."""

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
    """Where every log stands: one row an account."""
    async with tx.cursor(row_factory=class_row(LogHead)) as cursor:
        await cursor.execute("SELECT account_id, epoch, seq FROM account_seq")
        return await cursor.fetchall()


async def has_event(tx: Tx, account_id: str, *, seq: int) -> bool:
    """False once the event was deleted (logs are kept for a time) or not yet written."""
    cursor = await tx.execute("SELECT 1 FROM event WHERE account_id = %s AND seq = %s", (account_id, seq))
    return await cursor.fetchone() is not None
