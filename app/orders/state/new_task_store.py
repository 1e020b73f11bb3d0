"""SQL of storing new tasks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from app.broker.orders import Operation
from app.db.postgres import Tx
from app.orders.state.model import TaskStatus
from app.orders.state.new_tasks import NewTask


async def insert_tasks(tx: Tx, tasks: Sequence[NewTask]) -> None:
    """Store tasks. The database stamps their times, and notes what the order to replace has filled by now."""
    async with tx.cursor() as cursor:
        await cursor.executemany(
            """INSERT INTO order_task (task_id, account_id, operation, status, batch_id, leg, wave, purpose, trade_date,
                 instrument, request, user_tag, tag_base, target_order_id, priority, reduces, supersedes, send_by,
                 last_error, finished_at, shown_before, exit_by, replaces, replaces_filled)
               VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s,
                 %s, %s, CASE WHEN %s THEN now() END, %s, coalesce(%s, now() + make_interval(secs => %s)), %s,
                 (SELECT b.filled_quantity FROM broker_order b WHERE b.account_id = %s AND b.order_id = %s
                  ORDER BY b.trade_date DESC LIMIT 1))""",
            [_values(task) for task in tasks],
        )


def _values(task: NewTask) -> tuple[Any, ...]:
    return (
        task.task_id,
        task.account_id,
        task.operation,
        task.status,
        task.batch_id,
        task.leg,
        task.wave,
        task.purpose,
        task.trade_date,
        task.instrument,
        Jsonb(task.request),
        task.user_tag,
        task.tag_base,
        task.target_order_id,
        task.priority,
        task.reduces,
        task.supersedes,
        task.send_by,
        None if task.error is None else Jsonb(task.error.to_json()),
        task.status is not TaskStatus.PENDING,
        task.shown_before,
        task.exit_by,
        task.exit_s,
        task.replaces,
        task.account_id,
        task.replaces,
    )


async def mark_reductions(tx: Tx, task_ids: Sequence[UUID]) -> None:
    """These placements, which the transaction has stored itself, are proven to only reduce a position."""
    await tx.execute(
        "UPDATE order_task SET reduces = true, priority = %s WHERE task_id = ANY(%s)",
        (Operation.CANCEL.priority, list(task_ids)),
    )


async def mark_reducing_change(tx: Tx, task_id: UUID) -> None:
    """This modification leaves its order a reduction, and makes it smaller or tighter."""
    await tx.execute("UPDATE order_task SET reduces = true WHERE task_id = %s", (task_id,))


async def is_stored(tx: Tx, task_id: UUID) -> bool:
    """Whether there is a task of this id."""
    cursor = await tx.execute("SELECT 1 FROM order_task WHERE task_id = %s", (task_id,))
    return await cursor.fetchone() is not None
