"""SQL of the tasks that the copy of a database calls unsent."""

from __future__ import annotations

from app.db.postgres import Tx
from app.orders.state.model import Task
from app.orders.state.task_store import COLUMNS, fetch_tasks

RESTORED_UNSENT = "RESTORED_UNSENT"
"""The error code of a task that a copy of the database calls unsent: it may have been sent since the copy was made."""


async def unsent_but_cancels(tx: Tx, account_id: str) -> list[Task]:
    """Placements and modifications that no sender has claimed, as far as this database knows, oldest first."""
    return await fetch_tasks(
        tx,
        f"""SELECT {COLUMNS} FROM order_task WHERE account_id = %s AND status IN ('pending', 'held', 'retrying')
              AND operation <> 'cancel' ORDER BY task_id""",
        (account_id,),
    )


async def restored_doubts(tx: Tx, account_id: str) -> list[Task]:
    """Those of them that the book has not shown since, oldest first."""
    return await fetch_tasks(
        tx,
        f"""SELECT {COLUMNS} FROM order_task WHERE account_id = %s AND status = 'in_doubt'
              AND last_error ->> 'code' = '{RESTORED_UNSENT}' ORDER BY task_id""",
        (account_id,),
    )
