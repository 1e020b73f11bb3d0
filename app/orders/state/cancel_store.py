"""SQL of the cancels that the service makes itself: live orders without a cancel, and unwanted placements."""

from __future__ import annotations

from datetime import date
from uuid import UUID

from psycopg.rows import class_row

from app.db.postgres import Tx
from app.orders.state.model import Whose
from app.orders.state.new_tasks import OrderTarget
from app.orders.state.task_store import DAYS_AHEAD, ITS_ORDERS, MADE_LIVE, OPEN

SHOWS_WITHIN_S = 1
"""Seconds in which the book may still show an order live after its cancel was answered; then it is cancelled again."""


REFUSED_FOR_S = 30
"""Seconds after which the service repeats a cancel of its own that the broker refused. A cancel that an operator orders
does not wait."""


_LIVE_WITHOUT_CANCEL = f"""
WITH live AS (
  SELECT task_id, order_id, (document ->> 'exchange') || ':' || (document ->> 'tradingsymbol') AS instrument,
    document ->> 'transaction_type' AS transaction_type, document ->> 'variety' AS variety,
    document ->> 'parent_order_id' AS parent_order_id
  FROM broker_order
  WHERE account_id = %(account_id)s AND trade_date >= %(since)s AND state NOT IN ('completed', 'cancelled', 'rejected')
    AND NOT document ? 'stale'
  UNION ALL                                    -- accepted by the broker, not yet shown by its book
  SELECT t.task_id, ids.order_id, t.instrument, t.request ->> 'transaction_type', t.request ->> 'variety', NULL
  FROM order_task t,
    LATERAL (SELECT t.order_id WHERE t.children = '[]'::jsonb
             UNION SELECT child ->> 'order_id' FROM jsonb_array_elements(t.children) child) ids (order_id)
  WHERE t.account_id = %(account_id)s AND t.trade_date BETWEEN %(since)s AND %(since)s::date + {DAYS_AHEAD}
    AND t.operation = 'place' AND t.status = 'completed' AND ids.order_id IS NOT NULL
    AND NOT EXISTS (SELECT 1 FROM broker_order b WHERE b.account_id = t.account_id AND b.order_id = ids.order_id
                      AND b.trade_date >= t.trade_date - 1)
)
SELECT %(account_id)s::text AS account_id, order_id, instrument, transaction_type, variety, parent_order_id FROM live
WHERE NOT EXISTS (SELECT 1 FROM order_task c WHERE c.account_id = %(account_id)s AND c.target_order_id = live.order_id
                    AND c.operation = 'cancel' AND c.purpose <> 'replace'
                    AND (c.status IN {OPEN} OR c.finished_at > clock_timestamp() - interval '{SHOWS_WITHIN_S} s'
                      OR (NOT %(all)s AND c.status <> 'completed'
                        AND c.finished_at > clock_timestamp() - interval '{REFUSED_FOR_S} s')))
  AND (%(all)s OR EXISTS (SELECT 1 FROM order_task p WHERE p.task_id = live.task_id
                             AND p.account_id = %(account_id)s AND p.cancel_on_sight))
ORDER BY order_id
"""


async def live_without_cancel(tx: Tx, account_id: str, *, whose: Whose, since: date) -> list[OrderTarget]:
    """The account's live orders since that day that no task is cancelling, by order id.

    ``whose`` is ``all`` for every live order of the account, orders of other applications included, or ``unwanted``
    for those whose placement is marked ``cancel_on_sight``.
    """
    async with tx.cursor(row_factory=class_row(OrderTarget)) as cursor:
        await cursor.execute(_LIVE_WITHOUT_CANCEL, {"account_id": account_id, "since": since, "all": whose == "all"})
        return await cursor.fetchall()


async def mark_unwanted(tx: Tx, *, task_id: UUID | None = None, unanswered_of: str | None = None) -> None:
    """Mark a placement, or every unanswered placement of an account: the order that it makes is cancelled on sight."""
    await tx.execute(
        """UPDATE order_task SET cancel_on_sight = true, updated_at = clock_timestamp()
           WHERE operation = 'place' AND NOT cancel_on_sight
             AND (task_id = %(task_id)s OR (account_id = %(account_id)s AND status IN ('running', 'in_doubt')))""",
        {"task_id": task_id, "account_id": unanswered_of},
    )


async def is_live(tx: Tx, task_id: UUID) -> bool:
    """Whether this placement has a live order at the broker, as far as the book has shown."""
    cursor = await tx.execute(
        f"""SELECT EXISTS (
              SELECT 1 FROM order_task t LEFT JOIN broker_order b ON {ITS_ORDERS}
              WHERE t.task_id = %s AND {MADE_LIVE})""",
        (task_id,),
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
