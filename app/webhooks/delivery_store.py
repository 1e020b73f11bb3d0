"""SQL of deliveries as clients see and repeat them, and of those that end untried (``claim_store`` has the tries)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from psycopg.rows import kwargs_row
from psycopg.types.json import Jsonb

from app.db.postgres import Tx
from app.webhooks.model import Delivery, DeliveryStatus

_SHOWN = "CASE WHEN status = 'pending' AND failures > 0 THEN 'failed' ELSE status END"
_COLUMNS = f"delivery_id, seq, type, {_SHOWN} AS status, attempts"

_LOG = f"""
SELECT {_COLUMNS} FROM webhook_delivery
WHERE webhook_id = %(webhook_id)s AND (%(status)s::text IS NULL OR {_SHOWN} = %(status)s)
  AND (%(seq)s::bigint IS NULL OR (seq, delivery_id) < (%(seq)s, %(delivery_id)s::uuid))
ORDER BY seq DESC, delivery_id DESC LIMIT %(limit)s
"""

_WANTED_EVENTS = """
SELECT e.seq, e.type FROM event e JOIN webhook w USING (account_id)
WHERE w.webhook_id = %(webhook_id)s AND e.seq BETWEEN %(first)s AND %(last)s
  AND webhook_wants(w.events, w.tags, e.type, e.data)
ORDER BY e.seq LIMIT %(limit)s
"""

_REPLAY = f"""
WITH wanted AS MATERIALIZED ({_WANTED_EVENTS}), again AS (
  UPDATE webhook_delivery d
  SET status = 'pending', due_at = clock_timestamp(), failures = 0, replayed = true, fence = fence + 1
  FROM wanted WHERE d.webhook_id = %(webhook_id)s AND d.seq = wanted.seq AND d.data IS NULL AND d.status <> 'pending'
  RETURNING d.seq
), new AS (
  INSERT INTO webhook_delivery (webhook_id, account_id, seq, type, due_at, replayed, created_at)
  SELECT w.webhook_id, w.account_id, wanted.seq, wanted.type, clock_timestamp(), true, clock_timestamp()
  FROM wanted, webhook w WHERE w.webhook_id = %(webhook_id)s AND NOT EXISTS (
    SELECT FROM webhook_delivery d WHERE d.webhook_id = w.webhook_id AND d.seq = wanted.seq AND d.data IS NULL
  ) RETURNING seq
)
SELECT (SELECT count(*) FROM again) + (SELECT count(*) FROM new), count(*), max(seq) FROM wanted
"""


async def read_log(
    tx: Tx, webhook_id: UUID, *, status: DeliveryStatus | None, before: tuple[int, UUID] | None, limit: int
) -> list[Delivery]:
    """An endpoint's deliveries, those of the newest events first; ``before`` is the place of the page before."""
    seq, delivery_id = before or (None, None)
    async with tx.cursor(row_factory=kwargs_row(_delivery)) as cursor:
        await cursor.execute(
            _LOG,
            {"webhook_id": webhook_id, "status": status, "seq": seq, "delivery_id": delivery_id, "limit": limit},
        )
        return await cursor.fetchall()


async def read_one(tx: Tx, delivery_id: UUID) -> Delivery | None:
    """One delivery; None where there is none."""
    async with tx.cursor(row_factory=kwargs_row(_delivery)) as cursor:
        await cursor.execute(f"SELECT {_COLUMNS} FROM webhook_delivery WHERE delivery_id = %s", (delivery_id,))
        return await cursor.fetchone()


async def replay_one(tx: Tx, webhook_id: UUID, delivery_id: UUID) -> bool:
    """Make one delivery due again, under the same ``webhook-id``. False where the endpoint has no such delivery."""
    cursor = await tx.execute(
        "UPDATE webhook_delivery SET status = 'pending', due_at = clock_timestamp(), failures = 0, replayed = true,"
        " fence = fence + 1 WHERE delivery_id = %s AND webhook_id = %s",
        (delivery_id, webhook_id),
    )
    return cursor.rowcount == 1


async def replay_events(tx: Tx, webhook_id: UUID, *, first: int, last: int, limit: int) -> tuple[int, int | None]:
    """Deliver the events from ``first`` to ``last`` that the endpoint wants, at most ``limit``: again, or at last.

    The caller holds the lock of the account's log. Returns how many deliveries became due, and the number of the last
    event looked at where there may be more, else None.
    """
    values = {"webhook_id": webhook_id, "first": first, "last": last, "limit": limit}
    row = await (await tx.execute(_REPLAY, values)).fetchone()
    if row is None:
        raise LookupError("the database returned no row")
    due, found, reached = row
    return due, reached if found == limit else None


async def dropped_to(tx: Tx, account_id: str) -> int:
    """The number of the newest event that was dropped of the account's log; 0 where it is whole."""
    row = await (await tx.execute("SELECT seq FROM event_dropped WHERE account_id = %s", (account_id,))).fetchone()
    return 0 if row is None else int(row[0])


async def insert_claimed(tx: Tx, webhook_id: UUID, *, kind: str, data: dict[str, Any], seconds: float) -> UUID | None:
    """A delivery that is no event of the log, claimed by the caller for so many seconds; None without the endpoint."""
    cursor = await tx.execute(
        "INSERT INTO webhook_delivery (webhook_id, account_id, seq, type, data, due_at, fence, created_at)"
        " SELECT webhook_id, account_id, coalesce(seq, 0), %s, %s, clock_timestamp() + %s * interval '1 second', 1,"
        " clock_timestamp()"
        " FROM webhook LEFT JOIN account_seq USING (account_id) WHERE webhook_id = %s RETURNING delivery_id",
        (kind, Jsonb(data), seconds, webhook_id),
    )
    row = await cursor.fetchone()
    return None if row is None else row[0]


_TOO_OLD = """
WITH old AS (
  SELECT d.delivery_id, d.webhook_id, d.account_id, d.seq FROM webhook w CROSS JOIN LATERAL (
    SELECT * FROM webhook_delivery d
    WHERE d.webhook_id = w.webhook_id AND d.status = 'pending' AND d.data IS NULL AND NOT d.replayed
      AND d.type = ANY (%(types)s) AND d.due_at <= clock_timestamp()
      AND d.created_at < clock_timestamp() - w.max_age_s * interval '1 second'
    ORDER BY d.seq LIMIT %(limit)s FOR UPDATE SKIP LOCKED
  ) d WHERE w.max_age_s IS NOT NULL AND w.status = 'active'
), ended AS (
  UPDATE webhook_delivery d SET status = 'given_up', attempts = d.attempts || jsonb_build_object('at', now(),
    'http_status', NULL, 'ms', 0, 'address', NULL, 'error', 'too_old', 'body', '')
  FROM old WHERE d.delivery_id = old.delivery_id
)
INSERT INTO webhook_delivery (webhook_id, account_id, seq, type, data, due_at, created_at)
SELECT webhook_id, account_id, max(seq), %(gap)s, jsonb_build_object('from', min(seq), 'to', max(seq)),
  clock_timestamp(), clock_timestamp()
FROM old GROUP BY webhook_id, account_id
"""


async def replace_old_news(tx: Tx, *, types: Sequence[str], gap: str, limit: int) -> int:
    """End deliveries of these types that are older than their endpoint's ``max_age_s``; how many gaps tell of them.

    In their place goes one delivery of type ``gap``, ``{from, to}``, for each endpoint: a replay of that range brings
    them after all.
    """
    return (await tx.execute(_TOO_OLD, {"types": list(types), "gap": gap, "limit": limit})).rowcount


_END_UNWANTED = """
WITH due AS MATERIALIZED (
  SELECT d.delivery_id FROM webhook w CROSS JOIN LATERAL (
    SELECT delivery_id FROM webhook_delivery d WHERE d.webhook_id = w.webhook_id AND d.status = 'pending'
    ORDER BY d.seq LIMIT %(limit)s FOR UPDATE SKIP LOCKED
  ) d WHERE w.status = 'disabled'
)
UPDATE webhook_delivery d SET status = 'given_up' FROM due WHERE d.delivery_id = due.delivery_id
"""

_PRUNE = """
DELETE FROM webhook_delivery WHERE ctid = ANY (ARRAY(
  SELECT d.ctid FROM webhook_delivery d
  WHERE d.created_at < clock_timestamp() - %(keep_s)s * interval '1 second'
    AND (d.status <> 'pending' OR NOT EXISTS (SELECT FROM webhook w WHERE w.webhook_id = d.webhook_id))
  LIMIT %(limit)s
))
"""


async def end_of_disabled(tx: Tx, *, limit: int) -> int:
    """Give up what is due at disabled endpoints, at most ``limit`` each; how many."""
    return (await tx.execute(_END_UNWANTED, {"limit": limit})).rowcount


async def prune(tx: Tx, *, keep_s: float, limit: int) -> int:
    """Delete deliveries that are older, and over or without their endpoint; how many. What is due stays until it ends:
    an endpoint that is paused gets it when it is resumed."""
    return (await tx.execute(_PRUNE, {"keep_s": keep_s, "limit": limit})).rowcount


async def backlog(tx: Tx, *, limit: int) -> int:
    """How many deliveries wait at endpoints that are active or paused; counted up to ``limit``."""
    cursor = await tx.execute(
        "SELECT count(*) FROM (SELECT FROM webhook w JOIN webhook_delivery d USING (webhook_id)"
        " WHERE w.status <> 'disabled' AND d.status = 'pending' LIMIT %s) waiting",
        (limit,),
    )
    row = await cursor.fetchone()
    return 0 if row is None else int(row[0])


def _delivery(**row: Any) -> Delivery:
    return Delivery(**row | {"status": DeliveryStatus(row["status"])})
