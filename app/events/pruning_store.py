"""SQL that drops the oldest events of a log, and that reads what was dropped.

Dropped is a beginning of the log, never a part in its middle and never the newest event: each event that is left
follows one whose hash is known.
"""

from __future__ import annotations

from typing import Any

from psycopg.rows import class_row, kwargs_row

from app.db.postgres import Tx
from app.events.model import Dropped, SignedDrop

_DROPPABLE = """
WITH oldest AS MATERIALIZED (
  SELECT account_id, seq, hash, occurred_at FROM event WHERE account_id = %(account_id)s ORDER BY seq LIMIT %(limit)s
), needed AS MATERIALIZED (
  SELECT least(
    clock_timestamp() - %(keep_s)s * interval '1 second',
    (SELECT min(created_at) FROM order_task WHERE account_id = %(account_id)s
       AND status IN ('pending', 'held', 'running', 'retrying', 'in_doubt')),
    (SELECT min(first_seen_at) FROM broker_order WHERE account_id = %(account_id)s
       AND state NOT IN ('completed', 'cancelled', 'rejected') AND NOT document ? 'stale'),
    (SELECT min(coalesce(task.created_at, live.first_seen_at)) FROM broker_order live
       JOIN order_task task USING (task_id) WHERE live.account_id = %(account_id)s
       AND live.state NOT IN ('completed', 'cancelled', 'rejected') AND NOT live.document ? 'stale'),
    (SELECT min(created_at) FROM batch WHERE account_id = %(account_id)s AND completed_at IS NULL)
  ) AS since
), kept AS (
  SELECT least(
    (SELECT max(seq) FROM event WHERE account_id = %(account_id)s),
    (SELECT min(seq) FROM oldest, needed WHERE occurred_at >= needed.since),
    (SELECT min(first.seq) FROM webhook CROSS JOIN LATERAL (
       SELECT d.seq FROM webhook_delivery d WHERE d.webhook_id = webhook.webhook_id AND d.status = 'pending'
       ORDER BY d.seq LIMIT 1
     ) first WHERE webhook.account_id = %(account_id)s)
  ) AS first_seq
)
SELECT oldest.account_id, oldest.seq, oldest.hash, oldest.occurred_at FROM oldest, kept
WHERE oldest.seq < kept.first_seq ORDER BY oldest.seq DESC LIMIT 1
"""


async def droppable(tx: Tx, account_id: str, *, keep_s: float, limit: int) -> Dropped | None:
    """The newest of the oldest ``limit`` events up to which all may be dropped; None where none may.

    Kept are events of the last ``keep_s`` seconds, those since the oldest order or batch that is still open began, and
    those from the first one on that some webhook has still to get. The caller holds the lock of the log.
    """
    async with tx.cursor(row_factory=class_row(Dropped)) as cursor:
        await cursor.execute(_DROPPABLE, {"account_id": account_id, "keep_s": keep_s, "limit": limit})
        return await cursor.fetchone()


async def drop(tx: Tx, signed: SignedDrop) -> int:
    """Delete the events up to this one and remember it, signed; how many were deleted."""
    one = signed.dropped
    await tx.execute(
        "INSERT INTO event_dropped (account_id, seq, hash, occurred_at, signature) VALUES (%s, %s, %s, %s, %s)"
        " ON CONFLICT (account_id) DO UPDATE SET (seq, hash, occurred_at, signature, dropped_at) ="
        " (excluded.seq, excluded.hash, excluded.occurred_at, excluded.signature, clock_timestamp())",
        (one.account_id, one.seq, one.hash, one.occurred_at, signed.signature),
    )
    deleted = await tx.execute("DELETE FROM event WHERE account_id = %s AND seq <= %s", (one.account_id, one.seq))
    return deleted.rowcount


async def read_dropped(tx: Tx, account_id: str) -> SignedDrop | None:
    """What was dropped of the account's log; None where it is whole."""
    async with tx.cursor(row_factory=kwargs_row(_signed)) as cursor:
        await cursor.execute(
            "SELECT account_id, seq, hash, occurred_at, signature FROM event_dropped WHERE account_id = %s",
            (account_id,),
        )
        return await cursor.fetchone()


def _signed(signature: bytes, **row: Any) -> SignedDrop:
    return SignedDrop(dropped=Dropped(**row), signature=signature)
