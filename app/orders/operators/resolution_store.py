"""SQL of the tasks that operators resolve: doubts, dead letters, and the tasks that replaced them."""

from __future__ import annotations

from datetime import date
from uuid import UUID

from psycopg.rows import class_row

from app.db.postgres import Tx
from app.orders.operators.unresolved import ShownOrder
from app.orders.state.model import Task
from app.orders.state.task_store import COLUMNS, GIVEN_UP, fetch_tasks


async def unresolved(tx: Tx, *, trade_date: date, limit: int) -> list[Task]:
    """Tasks in doubt or dead letters of any day, and those given up today, oldest first."""
    return await fetch_tasks(
        tx,
        f"""SELECT {COLUMNS} FROM order_task t
            WHERE (status IN ('in_doubt', 'dead_letter')
                OR ({GIVEN_UP} AND trade_date = %s))
              AND NOT EXISTS (SELECT 1 FROM order_task n WHERE n.supersedes = t.task_id)
            ORDER BY task_id LIMIT %s""",
        (trade_date, limit),
    )


async def orders_under_tag(tx: Tx, task: Task) -> list[ShownOrder]:
    """The orders that the book has shown under the tag of any attempt of this task."""
    if task.tag_base is None:
        return []
    async with tx.cursor(row_factory=class_row(ShownOrder)) as cursor:
        await cursor.execute(
            """SELECT order_id, status, filled_quantity FROM broker_order
               WHERE account_id = %(account_id)s AND trade_date >= %(day)s
                 AND (task_id = %(task_id)s OR left(tag, -1) = %(base)s) ORDER BY order_id""",
            {
                "account_id": task.account_id,
                "day": task.trade_date,
                "task_id": task.task_id,
                "base": task.tag_base,
            },
        )
        return await cursor.fetchall()


async def successor(tx: Tx, task_id: UUID) -> UUID | None:
    """The id of the task that replaced this one; None without one."""
    cursor = await tx.execute("SELECT task_id FROM order_task WHERE supersedes = %s", (task_id,))
    row = await cursor.fetchone()
    return None if row is None else row[0]
