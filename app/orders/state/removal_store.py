"""SQL of unwanted placements: the mark itself, and the live orders and unsent tasks that it concerns."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from uuid import UUID

from psycopg.rows import class_row

from app.db.postgres import Tx
from app.orders.state.model import Task, UnwantedWhy
from app.orders.state.recovery_state_store import IS_RECOVERING
from app.orders.state.removal_rules import UnwantedOrder
from app.orders.state.replacement_store import STILL_REPLACES
from app.orders.state.task_store import COLUMNS, DAYS_AHEAD, ITS_ORDERS, NOT_SHOWN, OPEN, fetch_tasks

DAYS = f"BETWEEN %(since)s AND %(since)s::date + {DAYS_AHEAD}"
LIVE = "b.state NOT IN ('completed', 'cancelled', 'rejected') AND NOT b.document ? 'stale'"
_WANTED = "coalesce(t.unwanted_since, b.unwanted_since) IS NULL"
_UNWANTED = f"""
SELECT live.*, done.*, clock_timestamp() AS now FROM (
  SELECT b.account_id, b.order_id, (b.document ->> 'exchange') || ':' || (b.document ->> 'tradingsymbol') AS instrument,
    b.document ->> 'transaction_type' AS transaction_type, b.document ->> 'variety' AS variety,
    b.document ->> 'parent_order_id' AS parent_order_id, t.batch_id, t.leg,
    CASE WHEN {_WANTED} THEN 'replace' ELSE 'unwanted' END AS purpose,
    greatest(coalesce(t.unwanted_since, b.unwanted_since, r.created_at), b.first_seen_at) AS since,
    CASE WHEN {_WANTED} THEN r.send_by - make_interval(secs => %(follows_s)s) END AS cancel_by
  FROM broker_order b
    LEFT JOIN order_task t ON {ITS_ORDERS} AND t.unwanted_since IS NOT NULL
    LEFT JOIN order_task r ON r.account_id = b.account_id AND r.replaces = b.order_id AND {STILL_REPLACES}
      AND r.send_by - make_interval(secs => %(follows_s)s) > clock_timestamp()
  WHERE b.account_id = %(account_id)s AND b.trade_date {DAYS} AND {LIVE}
    AND coalesce(t.unwanted_since, b.unwanted_since, r.created_at) IS NOT NULL
  UNION ALL
  SELECT t.account_id, ids.order_id, t.instrument, t.request ->> 'transaction_type', t.request ->> 'variety', NULL,
    t.batch_id, t.leg, 'unwanted', t.unwanted_since, NULL
  FROM order_task t, LATERAL ({NOT_SHOWN}) ids
  WHERE t.account_id = %(account_id)s AND t.trade_date {DAYS} AND t.unwanted_since IS NOT NULL
    AND t.status = 'completed') live, LATERAL (
  SELECT coalesce(bool_or(c.status IN {OPEN}), false) AS being_cancelled, count(c.finished_at)::int AS cancels,
    max(c.finished_at) AS last_cancel_at
  FROM order_task c
  WHERE c.account_id = live.account_id AND c.target_order_id = live.order_id AND c.operation = 'cancel'
    AND c.trade_date {DAYS} AND (c.purpose <> 'replace' OR live.purpose = 'replace')) done
ORDER BY live.order_id
"""
"""The live orders that must go, each with its cancels: of unwanted placements, shown by the book or only accepted,
unwanted ones of other applications, and those that a waiting order replaces."""

_UNSENT = f"""FROM order_task t
  WHERE t.account_id = %(account_id)s AND t.status IN ('pending', 'held', 'retrying')
    -- a database that was put back may call unsent what was sent; the book decides
    AND (t.operation = 'cancel' OR NOT {IS_RECOVERING})
    AND (t.unwanted_since IS NOT NULL OR (t.purpose = 'replace' AND NOT EXISTS (
      SELECT 1 FROM order_task r
      WHERE r.account_id = t.account_id AND r.replaces = t.target_order_id AND {STILL_REPLACES})))"""
"""Unwanted tasks that are not sent: placements, and the cancel of an order whose replacement goes no more."""


async def set_unwanted(tx: Tx, task_ids: Sequence[UUID], why: UnwantedWhy) -> None:
    """Mark these placements as unwanted; the first reason stays. Waits for a claim of them that is under way."""
    await tx.execute(
        """UPDATE order_task SET unwanted_since = clock_timestamp(), unwanted_why = %s, updated_at = clock_timestamp()
           WHERE task_id = ANY(%s) AND operation = 'place' AND unwanted_since IS NULL""",
        (why, list(task_ids)),
    )


async def set_all_unwanted(tx: Tx, account_id: str, *, since: date) -> None:
    """A halt: mark what the account has, or may have, at the broker as unwanted. Unsent tasks stay as they are."""
    params = {"account_id": account_id, "since": since}
    await tx.execute(
        f"""UPDATE order_task t
            SET unwanted_since = clock_timestamp(), unwanted_why = 'halt', updated_at = clock_timestamp()
            WHERE account_id = %(account_id)s AND operation = 'place' AND unwanted_since IS NULL
              AND (status IN ('running', 'in_doubt') OR trade_date {DAYS} AND (
                EXISTS (SELECT 1 FROM broker_order b WHERE {ITS_ORDERS} AND {LIVE})
                -- these make further orders when one fills
                OR status = 'completed' AND (request ->> 'variety' IN ('iceberg', 'co') OR EXISTS ({NOT_SHOWN}))))""",
        params,
    )
    await tx.execute(
        f"""UPDATE broker_order b SET unwanted_since = clock_timestamp()
            WHERE account_id = %(account_id)s AND trade_date {DAYS} AND unwanted_since IS NULL AND {LIVE}""",
        params,
    )


async def unwanted_orders(tx: Tx, account_id: str, *, since: date, follows_s: float) -> list[UnwantedOrder]:
    """The live orders that must go, by order id; of tasks and orders since that day.

    ``follows_s``: the cancel of an order to be replaced must be sent so long before the end of its replacement's time.
    """
    async with tx.cursor(row_factory=class_row(UnwantedOrder)) as cursor:
        await cursor.execute(_UNWANTED, {"account_id": account_id, "since": since, "follows_s": follows_s})
        return await cursor.fetchall()


async def unsent_unwanted(tx: Tx, account_id: str) -> list[Task]:
    """Unwanted tasks that are not sent, by id."""
    return await fetch_tasks(tx, f"SELECT {COLUMNS} {_UNSENT} ORDER BY task_id", {"account_id": account_id})


async def count_unanswered(tx: Tx, account_id: str) -> int:
    """How many placements are being sent or in doubt: each of them may still become an order."""
    cursor = await tx.execute(
        """SELECT count(*) FROM order_task
           WHERE account_id = %s AND operation = 'place' AND status IN ('running', 'in_doubt')""",
        (account_id,),
    )
    row = await cursor.fetchone()
    return 0 if row is None else int(row[0])
