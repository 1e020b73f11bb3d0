"""SQL of an order's present state, for commands that apply to a certain version of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from psycopg.rows import TupleRow

from app.db.pipeline import PendingResult
from app.db.postgres import Tx
from app.orders.entry.preconditions import PresentOrder
from app.orders.risk.doubt_limit_store import MANY_DOUBTS
from app.orders.state.model import OrderState
from app.orders.state.task_store import OPEN


async def orders_are_stopped(
    tx: Tx, account_id: str, *, halt_doubts: int, halt_doubt_age_s: float
) -> PendingResult[bool]:
    """Whether new orders are stopped or restricted, by an operator's halt or by too many doubts."""
    cursor = await tx.execute(
        f"SELECT EXISTS (SELECT 1 FROM kill_switch WHERE scope IN ('*', %(account_id)s)) OR {MANY_DOUBTS}",
        {"account_id": account_id, "halt_doubts": halt_doubts, "halt_doubt_age_s": halt_doubt_age_s},
    )
    return PendingResult(cursor=cursor, read=lambda rows: bool(rows[0][0]))


_SHOWS_WITHIN_S = 10
"""An accepted modification that the book has not shown after this time has changed nothing."""

_STATE = f"""
SELECT b.content_hash, b.state,
  EXISTS (SELECT 1 FROM order_task m WHERE m.account_id = b.account_id AND m.target_order_id = b.order_id
            AND m.operation = 'modify'
            AND (m.status IN {OPEN} OR (m.status = 'completed' AND m.last_sent_at > b.updated_at
              AND m.finished_at > clock_timestamp() - interval '{_SHOWS_WITHIN_S} s')))
  OR EXISTS (SELECT 1 FROM order_task r WHERE r.account_id = b.account_id AND r.replaces = b.order_id
               AND r.status IN {OPEN}),
  NOT (b.document ->> 'parent_order_id' IS NOT NULL OR b.document ->> 'variety' IN ('co', 'iceberg')
    OR b.document ->> 'tags' LIKE '%%autoslice:%%' OR b.document ? 'stale'
    OR EXISTS (SELECT 1 FROM order_task p WHERE p.task_id = b.task_id AND p.account_id = b.account_id
                 AND p.children <> '[]'::jsonb))
FROM broker_order b WHERE b.account_id = %s AND b.order_id = %s ORDER BY b.trade_date DESC LIMIT 1"""


async def present_order(
    tx: Tx, account_id: str, *, order_id: str, keep: Literal["as_it_is", "free"]
) -> PendingResult[PresentOrder | None]:
    """An order as it is now; None for one that the book has not shown.

    ``as_it_is`` locks its row until the transaction ends.
    """
    cursor = await tx.execute(_STATE + (" FOR UPDATE OF b" if keep == "as_it_is" else ""), (account_id, order_id))
    return PendingResult(cursor=cursor, read=_present_order)


def _present_order(rows: Sequence[TupleRow]) -> PresentOrder | None:
    if not rows:
        return None
    content_hash, state, changing, alone = rows[0]
    return PresentOrder(content_hash=bytes(content_hash), state=OrderState(state), changing=changing, alone=alone)
