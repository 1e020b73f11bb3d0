"""SQL of what decides when the order book is read again."""

from __future__ import annotations

from datetime import date

from app.db.postgres import Tx
from app.orders.reconciliation.read_schedule import ReadSchedule
from app.orders.state.task_store import GIVEN_UP, ITS_ORDERS

SETTLES_WITHIN_S = 600
"""An accepted order that the book has not shown for so long no longer makes the reads more frequent."""


async def read_schedule(tx: Tx, account_id: str, *, trade_date: date) -> ReadSchedule:
    """How lively the account's orders of this day are, and when a claim or a doubt needs the next read."""
    cursor = await tx.execute(
        f"""SELECT
             EXISTS (SELECT 1 FROM broker_order
                     WHERE account_id = %(account_id)s AND trade_date = %(day)s AND state = 'pending')
             OR EXISTS (SELECT 1 FROM order_task t
                        WHERE account_id = %(account_id)s AND trade_date = %(day)s AND operation = 'place'
                          AND status = 'completed' AND children = '[]'::jsonb
                          AND finished_at > clock_timestamp() - make_interval(secs => {SETTLES_WITHIN_S})
                          AND NOT EXISTS (SELECT 1 FROM broker_order b WHERE {ITS_ORDERS}
                                          OFFSET 0)),  -- by the index for the few, not a join with all of them
             EXISTS (SELECT 1 FROM broker_order
                     WHERE account_id = %(account_id)s AND trade_date = %(day)s
                       AND state NOT IN ('completed', 'cancelled', 'rejected'))
             OR EXISTS (SELECT 1 FROM order_task
                        WHERE account_id = %(account_id)s AND trade_date = %(day)s AND {GIVEN_UP}),
             (SELECT min(CASE WHEN status = 'running' THEN claimed_until ELSE next_check_at END) FROM order_task
              WHERE account_id = %(account_id)s AND status IN ('running', 'in_doubt'))""",
        {"account_id": account_id, "day": trade_date},
    )
    row = await cursor.fetchone()
    if row is None:
        raise LookupError("the query of the read schedule returned no row")
    return ReadSchedule(liveness="settling" if row[0] else "live" if row[1] else "idle", next_check_at=row[2])
