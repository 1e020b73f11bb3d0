"""SQL of batches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from psycopg.rows import kwargs_row
from psycopg.types.json import Jsonb

from app.db.postgres import Tx
from app.orders.state.model import Batch, BatchStatus, Task, TaskError
from app.orders.state.new_tasks import NewBatch
from app.orders.state.recovery_state_store import IS_RECOVERING
from app.orders.state.task_store import COLUMNS as TASK_COLUMNS
from app.orders.state.task_store import task_row

_COLUMNS = """batch_id, account_id, status, rollback_on_failure, on_filled, total_orders, deadline_at, created_at,
  updated_at, completed_at, error"""


def _batch_row(**columns: Any) -> Batch:
    columns["status"] = BatchStatus(columns["status"])
    columns["error"] = None if columns["error"] is None else TaskError.from_json(columns["error"])
    return Batch(**columns)


async def _batches(tx: Tx, sql: str, params: Sequence[Any] | dict[str, Any]) -> list[Batch]:
    async with tx.cursor(row_factory=kwargs_row(_batch_row)) as cursor:
        await cursor.execute(sql, params)
        return await cursor.fetchall()


async def load(tx: Tx, batch_id: UUID) -> Batch | None:
    """One batch; None for an unknown id."""
    found = await _batches(tx, f"SELECT {_COLUMNS} FROM batch WHERE batch_id = %s", (batch_id,))
    return found[0] if found else None


async def open_batches(tx: Tx, account_id: str) -> list[Batch]:
    """The account's unfinished batches, oldest first; none while it recovers from a loss of the database."""
    return await _batches(
        tx,
        f"""SELECT {_COLUMNS} FROM batch t WHERE account_id = %s AND completed_at IS NULL AND NOT {IS_RECOVERING}
            ORDER BY batch_id""",
        (account_id,),
    )


async def page(tx: Tx, account_id: str | None, *, before: UUID | None, limit: int) -> list[Batch]:
    """One page, newest first; ``before`` is the last id of the previous page."""
    return await _batches(
        tx,
        f"""SELECT {_COLUMNS} FROM batch
            WHERE (%(account_id)s::text IS NULL OR account_id = %(account_id)s)
              AND (%(before)s::uuid IS NULL OR batch_id < %(before)s)
            ORDER BY batch_id DESC LIMIT %(limit)s""",
        {"account_id": account_id, "before": before, "limit": limit},
    )


async def tasks_of(tx: Tx, batch_ids: Sequence[UUID]) -> dict[UUID, list[Task]]:
    """Every task by batch, those that rollback added too, ordered by leg and time."""
    async with tx.cursor(row_factory=kwargs_row(task_row)) as cursor:
        await cursor.execute(
            f"SELECT {TASK_COLUMNS} FROM order_task WHERE batch_id = ANY(%s) ORDER BY leg, created_at",
            (list(batch_ids),),
        )
        found: dict[UUID, list[Task]] = {batch_id: [] for batch_id in batch_ids}
        for task in await cursor.fetchall():
            if task.batch_id is not None:
                found[task.batch_id].append(task)
        return found


async def write_status(tx: Tx, batch_id: UUID, status: BatchStatus, *, error: TaskError | None) -> Batch:
    """Store a batch's new status and return the batch; ``error`` None keeps the error that is stored."""
    found = await _batches(
        tx,
        f"""UPDATE batch SET status = %s, error = coalesce(%s, error), updated_at = clock_timestamp(),
              completed_at = CASE WHEN %s THEN NULL ELSE clock_timestamp() END
            WHERE batch_id = %s RETURNING {_COLUMNS}""",
        (status, None if error is None else Jsonb(error.to_json()), status.is_open, batch_id),
    )
    return found[0]


async def insert_batch(tx: Tx, batch: NewBatch) -> None:
    """Store a new batch as running; its deadline counts from the transaction's time."""
    await tx.execute(
        """INSERT INTO batch (batch_id, account_id, status, rollback_on_failure, on_filled, total_orders, deadline_at)
           VALUES (%s, %s, 'running', %s, %s, %s, now() + make_interval(secs => %s))""",
        (
            batch.batch_id,
            batch.account_id,
            batch.rollback_on_failure,
            batch.on_filled,
            batch.total_orders,
            batch.deadline_s,
        ),
    )
