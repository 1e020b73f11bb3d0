"""SQL of what clients list: tasks by page and by day, and how many tasks are in doubt."""

from __future__ import annotations

from datetime import date
from uuid import UUID

from app.db.postgres import Tx
from app.orders.state.model import Task, TaskStatus
from app.orders.state.task_store import COLUMNS, fetch_tasks


async def page(
    tx: Tx, account_id: str | None, *, status: TaskStatus | None, before: UUID | None, limit: int
) -> list[Task]:
    """One page of tasks, newest first; ``before`` is the last id of the previous page."""
    return await fetch_tasks(
        tx,
        f"""SELECT {COLUMNS} FROM order_task
            WHERE (%(account_id)s::text IS NULL OR account_id = %(account_id)s)
              AND (%(status)s::text IS NULL OR status = %(status)s)
              AND (%(before)s::uuid IS NULL OR task_id < %(before)s)
            ORDER BY task_id DESC LIMIT %(limit)s""",
        {"account_id": account_id, "status": status, "before": before, "limit": limit},
    )


async def day(tx: Tx, account_id: str, *, trade_date: date) -> list[Task]:
    """The place tasks of one trading day, oldest first."""
    return await fetch_tasks(
        tx,
        f"""SELECT {COLUMNS} FROM order_task
            WHERE account_id = %s AND trade_date = %s AND operation = 'place' ORDER BY created_at, leg""",
        (account_id, trade_date),
    )


async def doubts(tx: Tx) -> tuple[int, float]:
    """How many tasks are in doubt over all accounts, and the age of the oldest in seconds."""
    cursor = await tx.execute(
        """SELECT count(*), coalesce(extract(epoch FROM clock_timestamp() - min(last_sent_at)), 0)
           FROM order_task WHERE status = 'in_doubt'"""
    )
    row = await cursor.fetchone()
    return (0, 0.0) if row is None else (int(row[0]), float(row[1]))
