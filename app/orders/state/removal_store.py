"""SQL of what nobody wants any more: the wish itself, and the live orders and unsent tasks that it concerns."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any
from uuid import UUID

from psycopg.rows import kwargs_row

from app.db.postgres import Tx
from app.orders.state.model import Task, UnwantedWhy
from app.orders.state.new_tasks import BatchLeg, OrderTarget
from app.orders.state.removal_rules import UnwantedOrder
from app.orders.state.replacement_store import STILL_REPLACES
from app.orders.state.task_store import COLUMNS, DAYS_AHEAD, ITS_ORDERS, NOT_SHOWN, OPEN, fetch_tasks

_DAYS = f"BETWEEN %(since)s AND %(since)s::date + {DAYS_AHEAD}"
LIVE = "b.state NOT IN ('completed', 'cancelled', 'rejected') AND NOT b.document ? 'stale'"
_SHOWN = """b.order_id, (b.document ->> 'exchange') || ':' || (b.document ->> 'tradingsymbol') AS instrument,
    b.document ->> 'transaction_type' AS transaction_type, b.document ->> 'variety' AS variety,
    b.document ->> 'parent_order_id' AS parent_order_id"""

_UNWANTED = f"""
WITH unwanted AS (
  SELECT * FROM order_task WHERE account_id = %(account_id)s AND trade_date {_DAYS} AND unwanted_since IS NOT NULL
), live AS (
  SELECT {_SHOWN}, t.batch_id, t.leg, greatest(t.unwanted_since, b.first_seen_at) AS since, 'unwanted' AS purpose,
    NULL::timestamptz AS cancel_by
  FROM unwanted t JOIN broker_order b ON {ITS_ORDERS} WHERE {LIVE}
  UNION ALL
  SELECT ids.order_id, t.instrument, t.request ->> 'transaction_type', t.request ->> 'variety', NULL, t.batch_id, t.leg,
    t.unwanted_since, 'unwanted', NULL
  FROM unwanted t, LATERAL ({NOT_SHOWN}) ids WHERE t.status = 'completed'
  UNION ALL                                                                        -- of other applications
  SELECT {_SHOWN}, NULL, NULL, b.unwanted_since, 'unwanted', NULL
  FROM broker_order b
  WHERE b.account_id = %(account_id)s AND b.trade_date {_DAYS} AND b.unwanted_since IS NOT NULL AND {LIVE}
    AND NOT EXISTS (SELECT 1 FROM unwanted t WHERE {ITS_ORDERS})
  UNION ALL                                                                        -- another one is to take its place
  SELECT {_SHOWN}, NULL, NULL, r.created_at, 'replace', r.send_by - make_interval(secs => %(follows_s)s)
  FROM order_task r JOIN broker_order b ON b.account_id = r.account_id AND b.order_id = r.replaces
  WHERE r.account_id = %(account_id)s AND {STILL_REPLACES} AND {LIVE}
    AND NOT EXISTS (SELECT 1 FROM unwanted t WHERE {ITS_ORDERS})
)"""
"""The live orders that must go: those of unwanted placements and those that are unwanted themselves, and those that a
waiting order replaces."""

_WITH_CANCELS = f"""{_UNWANTED}
SELECT %(account_id)s::text AS account_id, live.*, done.* FROM live, LATERAL (
  SELECT coalesce(bool_or(c.status IN {OPEN}), false) AS being_cancelled, count(c.finished_at)::int AS cancels,
    max(c.finished_at) AS last_cancel_at
  FROM order_task c
  WHERE c.account_id = %(account_id)s AND c.target_order_id = live.order_id AND c.operation = 'cancel'
    AND c.trade_date {_DAYS} AND (c.purpose <> 'replace' OR live.purpose = 'replace')) done
ORDER BY live.order_id, live.since
"""

_UNSENT = f"""FROM order_task t
  WHERE t.account_id = %(account_id)s AND t.status IN ('pending', 'held', 'retrying')
    AND (t.unwanted_since IS NOT NULL OR (t.purpose = 'replace' AND NOT EXISTS (
      SELECT 1 FROM order_task r
      WHERE r.account_id = t.account_id AND r.replaces = t.target_order_id AND {STILL_REPLACES})))"""
"""Unsent tasks that nobody wants: placements, and the cancel of an order whose replacement goes no more."""


async def set_unwanted(tx: Tx, task_ids: Sequence[UUID], why: UnwantedWhy) -> None:
    """Nobody wants these placements any more; the first reason stays. Waits for a claim of them that is under way."""
    await tx.execute(
        """UPDATE order_task SET unwanted_since = clock_timestamp(), unwanted_why = %s, updated_at = clock_timestamp()
           WHERE task_id = ANY(%s) AND operation = 'place' AND unwanted_since IS NULL""",
        (why, list(task_ids)),
    )


async def set_all_unwanted(tx: Tx, account_id: str, *, since: date) -> None:
    """A halt: nobody wants what the account has at the broker, or may have there. Unsent tasks stay as they are."""
    params = {"account_id": account_id, "since": since}
    await tx.execute(
        f"""UPDATE order_task t
            SET unwanted_since = clock_timestamp(), unwanted_why = 'halt', updated_at = clock_timestamp()
            WHERE account_id = %(account_id)s AND operation = 'place' AND unwanted_since IS NULL
              AND (status IN ('running', 'in_doubt') OR trade_date {_DAYS} AND (
                EXISTS (SELECT 1 FROM broker_order b WHERE {ITS_ORDERS} AND {LIVE})
                -- these make further orders when one fills
                OR status = 'completed' AND (request ->> 'variety' IN ('iceberg', 'co') OR EXISTS ({NOT_SHOWN}))))""",
        params,
    )
    await tx.execute(
        f"""UPDATE broker_order b SET unwanted_since = clock_timestamp()
            WHERE account_id = %(account_id)s AND trade_date {_DAYS} AND unwanted_since IS NULL AND {LIVE}""",
        params,
    )


async def unwanted_orders(tx: Tx, account_id: str, *, since: date, follows_s: float) -> list[UnwantedOrder]:
    """The live orders that must go, by order id; of tasks and orders since that day.

    ``follows_s``: the cancel of an order to be replaced must be sent so long before the end of its replacement's time.
    """
    async with tx.cursor(row_factory=kwargs_row(_unwanted_order)) as cursor:
        params = {"account_id": account_id, "since": since, "follows_s": follows_s}
        await cursor.execute(_WITH_CANCELS, params)
        found = {order.target.order_id: order for order in reversed(await cursor.fetchall())}
    return list(reversed(found.values()))


def _unwanted_order(
    *,
    account_id: str,
    order_id: str,
    instrument: str,
    transaction_type: str,
    variety: str,
    parent_order_id: str | None,
    batch_id: UUID | None,
    leg: int | None,
    **columns: Any,
) -> UnwantedOrder:
    target = OrderTarget(
        account_id=account_id,
        order_id=order_id,
        instrument=instrument,
        transaction_type=transaction_type,
        variety=variety,
        parent_order_id=parent_order_id,
        of_batch=None if batch_id is None or leg is None else BatchLeg(batch_id=batch_id, leg=leg),
    )
    return UnwantedOrder(target=target, **columns)


async def unsent_unwanted(tx: Tx, account_id: str) -> list[Task]:
    """Unsent tasks that nobody wants, by id."""
    return await fetch_tasks(tx, f"SELECT {COLUMNS} {_UNSENT} ORDER BY task_id", {"account_id": account_id})


async def is_anything_unwanted(tx: Tx, account_id: str, *, since: date) -> bool:
    """Whether there is a live order that must go, or an unsent task that nobody wants."""
    cursor = await tx.execute(
        f"{_UNWANTED} SELECT EXISTS (SELECT 1 FROM live) OR EXISTS (SELECT 1 {_UNSENT})",
        {"account_id": account_id, "since": since, "follows_s": 0.0},
    )
    row = await cursor.fetchone()
    return row is not None and bool(row[0])


async def count_unanswered(tx: Tx, account_id: str) -> int:
    """How many placements are being sent or in doubt: each of them may still become an order."""
    cursor = await tx.execute(
        """SELECT count(*) FROM order_task
           WHERE account_id = %s AND operation = 'place' AND status IN ('running', 'in_doubt')""",
        (account_id,),
    )
    row = await cursor.fetchone()
    return 0 if row is None else int(row[0])
