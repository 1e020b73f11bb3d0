"""SQL of whose an order id is that the broker's answer gives: it may be an answer to another request."""

from __future__ import annotations

from collections.abc import Sequence

from app.db.pipeline import PendingResult
from app.db.postgres import Tx
from app.orders.state.model import Task

_OTHER_OWNER = """
SELECT o.order_id || ' is that of task ' || o.task_id FROM order_task o
WHERE o.order_id = ANY(%(ids)s) AND o.account_id = %(account_id)s AND o.trade_date = %(day)s
  AND o.operation = 'place' AND o.task_id <> %(task_id)s
UNION ALL
SELECT b.order_id || ' is that of ' || coalesce('task ' || b.task_id, 'an order of another application')
FROM broker_order b
WHERE b.order_id = ANY(%(ids)s) AND b.account_id = %(account_id)s AND b.trade_date >= %(day)s
  AND CASE WHEN b.task_id IS NOT NULL THEN b.task_id <> %(task_id)s
    -- the book may show our order, without its tag, before the answer is stored
    ELSE b.first_seen_at < %(sent_at)s OR b.tag <> %(tag)s
      OR (b.document ->> 'exchange') || ':' || (b.document ->> 'tradingsymbol') <> %(instrument)s
      OR b.document ->> 'transaction_type' <> %(side)s END
LIMIT 1"""


async def other_owner(tx: Tx, task: Task, order_ids: Sequence[str]) -> PendingResult[str | None]:
    """Whose one of these orders is that an answer gives to a placement, in words; None: nobody else's."""
    cursor = await tx.execute(
        _OTHER_OWNER,
        {
            "ids": list(order_ids),
            "account_id": task.account_id,
            "task_id": task.task_id,
            "day": task.trade_date,
            "sent_at": task.last_sent_at,
            "tag": task.tag,
            "instrument": task.instrument,
            "side": task.request.get("transaction_type"),
        },
    )
    return PendingResult(cursor=cursor, read=lambda rows: str(rows[0][0]) if rows else None)
