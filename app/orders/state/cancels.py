"""Cancels that the service makes itself: for a halt, for a withdrawal, for a placement that is marked unwanted."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from app.db.postgres import Tx
from app.orders.state import cancel_store, new_task_store
from app.orders.state.model import Purpose, Whose
from app.orders.state.new_tasks import TaskFactory


async def cancel_live(
    tx: Tx, account_id: str, whose: Whose, *, purpose: Purpose, today: date, since: date, tasks: TaskFactory
) -> Sequence[str]:
    """Store a cancel for each live order since that day that no task is cancelling yet. Returns the order ids.

    The caller holds the account's lock.
    """
    targets = await cancel_store.live_without_cancel(tx, account_id, whose=whose, since=since)
    cancels = [tasks.cancel(target, purpose=purpose, trade_date=today) for target in targets]
    await new_task_store.insert_tasks(tx, cancels)
    return [target.order_id for target in targets]
