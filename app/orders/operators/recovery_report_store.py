"""SQL of what a recovery from a loss of the database has left open."""

from __future__ import annotations

from app.db.postgres import Tx
from app.orders.recovery.recovery_store import Recovery
from app.orders.state.alarms import Alarm

_SINCE = "interval '1 minute'"
"""Rows of the first read of the book may be a little older than the recovery that it began."""


async def found_orders(tx: Tx, recovery: Recovery) -> list[str]:
    """The orders that had no task when the book showed them."""
    return await _texts(
        tx,
        f"""SELECT subject FROM order_alarm WHERE account_id = %s AND kind = '{Alarm.ORPHAN}'
              AND raised_at >= %s::timestamptz - {_SINCE} ORDER BY subject""",
        recovery,
    )


async def unclaimed_orders(tx: Tx, recovery: Recovery) -> list[str]:
    """Those whose request no client has repeated: without a key, or of a client that has not come back."""
    return await _texts(
        tx,
        f"""SELECT order_id FROM order_task WHERE account_id = %s AND purpose = 'recovered'
              AND created_at >= %s::timestamptz - {_SINCE} ORDER BY order_id""",
        recovery,
    )


async def stopped_batches(tx: Tx, recovery: Recovery) -> list[str]:
    """The batches that ended since the recovery began and that an operator must look at."""
    return await _texts(
        tx,
        """SELECT batch_id::text FROM batch WHERE account_id = %s AND status = 'needs_attention'
             AND completed_at >= %s ORDER BY batch_id""",
        recovery,
    )


async def _texts(tx: Tx, sql: str, recovery: Recovery) -> list[str]:
    """The column that a statement selects about an account (its first parameter) since a time (its second)."""
    cursor = await tx.execute(sql, (recovery.account_id, recovery.began_at))
    return [row[0] for row in await cursor.fetchall()]
