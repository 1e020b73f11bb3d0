"""SQL of tasks and their attempts. Every function works inside the caller's transaction."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any
from uuid import UUID

from psycopg.rows import kwargs_row
from psycopg.types.json import Jsonb

from app.broker.orders import Operation
from app.broker.outcomes import Accepted, ChildOrder, SendOutcome, Sent
from app.db.postgres import Tx
from app.errors import NotFound
from app.orders.state.alarms import Alarm
from app.orders.state.attempt_outcomes import AttemptOutcome, evidence_of, label_of
from app.orders.state.documents import children_from_json, children_json
from app.orders.state.model import FINISHED, NOT_FOUND_AT_BROKER, Task, TaskError, TaskStatus
from app.orders.state.verdicts import Verdict

COLUMNS = """task_id, account_id, operation, status, trade_date, instrument, request, priority, send_by, batch_id, leg,
  purpose, user_tag, tag_base, target_order_id, attempts, sent, not_before, fence, claimed_by, claimed_until,
  last_sent_at, reduces, clean_reads, next_check_at, order_id, children, last_error, created_at, updated_at,
  finished_at, supersedes, unwanted_since, unwanted_why, replaces, replaces_filled, shown_before, exit_by"""

DAYS_AHEAD = 30
"""Added to a day to close a range "since this day"; no row is of a day that far ahead. For an open range the generic
plan of a prepared statement expects a third of the table, and reads the whole table."""

OPEN = "('pending', 'held', 'running', 'retrying', 'in_doubt')"
MISSED = "('failed', 'expired', 'cancelled', 'dead_letter')"
"""Ended without having happened."""
ITS_ORDERS = "b.task_id = t.task_id AND b.account_id = t.account_id"
"""Of a placement ``t``: the orders ``b`` that it has made. What another account's book shows is never one of them."""
NOT_SHOWN = """SELECT ids.order_id FROM
    LATERAL (SELECT t.order_id WHERE t.children = '[]'::jsonb
             UNION SELECT child ->> 'order_id' FROM jsonb_array_elements(t.children) child) ids (order_id)
  WHERE ids.order_id IS NOT NULL AND NOT EXISTS (
    SELECT 1 FROM broker_order s WHERE s.account_id = t.account_id AND s.order_id = ids.order_id
      AND s.trade_date >= t.trade_date - 1)"""
"""The orders of a placement ``t`` that the broker has accepted and its book has not shown yet."""
GIVEN_UP = f"status = 'failed' AND operation = 'place' AND last_error ->> 'code' = '{NOT_FOUND_AT_BROKER}'"
"""Given up provisionally. Written as in the index ``order_task_given_up``, so that the index is used."""


def task_row(**columns: Any) -> Task:
    """A row of ``order_task`` as a Task."""
    columns["operation"] = Operation(columns["operation"])
    columns["status"] = TaskStatus(columns["status"])
    columns["sent"] = Sent(columns["sent"])
    columns["children"] = children_from_json(columns["children"])
    columns["last_error"] = None if columns["last_error"] is None else TaskError.from_json(columns["last_error"])
    return Task(**columns)


async def fetch_tasks(tx: Tx, sql: str, params: Sequence[Any] | dict[str, Any]) -> list[Task]:
    """The tasks that a statement returns, which selects ``COLUMNS``."""
    async with tx.cursor(row_factory=kwargs_row(task_row)) as cursor:
        await cursor.execute(sql, params)
        return await cursor.fetchall()


NEVER_SHOWN = f"""(t.status = 'completed' AND EXISTS (
  SELECT 1 FROM order_alarm a WHERE a.account_id = t.account_id AND a.kind = '{Alarm.ORDER_UNSEEN}'
    AND a.subject = t.task_id::text) AND NOT EXISTS (SELECT 1 FROM broker_order b WHERE {ITS_ORDERS}))"""
"""Of a placement ``t``: the broker confirmed it, and enough reads of the book have not shown its order."""


async def load(tx: Tx, task_id: UUID) -> Task | None:
    """The task of this id, or None."""
    found = await fetch_tasks(tx, f"SELECT {COLUMNS} FROM order_task WHERE task_id = %s", (task_id,))
    return found[0] if found else None


async def need(tx: Tx, task_id: UUID) -> Task:
    """The task of this id. Raises NotFound."""
    task = await load(tx, task_id)
    if task is None:
        raise NotFound("task", str(task_id))
    return task


async def lock(tx: Tx, task_id: UUID) -> Task | None:
    """The task of this id, or None; no other transaction can change it until this one ends."""
    found = await fetch_tasks(tx, f"SELECT {COLUMNS} FROM order_task WHERE task_id = %s FOR UPDATE", (task_id,))
    return found[0] if found else None


async def write_outcome(tx: Tx, task: Task, outcome: SendOutcome) -> None:
    """Store the outcome of an attempt, whether or not its sender still has the claim."""
    http_status, error_type, text = evidence_of(outcome)
    await tx.execute(
        """UPDATE order_attempt SET outcome = %s, order_id = %s, http_status = %s, error_type = %s, message = %s,
             finished_at = now()
           WHERE task_id = %s AND attempt = %s""",
        (
            label_of(outcome),
            outcome.order_id if isinstance(outcome, Accepted) else None,
            http_status,
            error_type,
            text,
            task.task_id,
            task.attempts,
        ),
    )


_SENT = f"""CASE WHEN %s = 'no' AND operation = 'cancel' AND EXISTS (
  SELECT 1 FROM order_attempt a WHERE a.task_id = order_task.task_id
    AND coalesce(a.outcome, '') NOT IN (
      '{AttemptOutcome.NOT_SENT}', '{AttemptOutcome.SESSION_REJECTED}', '{AttemptOutcome.ADDRESS_REFUSED}'))
  THEN 'unknown' ELSE %s END"""
"""SQL of the new ``sent``. A cancel may be sent again while the outcome of the attempt before is unknown: that the last
one did not leave does not prove that none did. A placement is only repeated once the attempt before is proven to have
had no effect."""


async def write_status(tx: Tx, task: Task, status: TaskStatus, verdict: Verdict) -> Task:
    """Store a transition that the lifecycle allows; the caller has locked the row. Returns the task as it is now."""
    children = children_json(verdict.children)
    found = await fetch_tasks(
        tx,
        f"""UPDATE order_task SET status = %s, sent = {_SENT}, order_id = coalesce(%s, order_id),
              children = CASE WHEN %s THEN %s ELSE children END, last_error = %s,
              not_before = coalesce(%s, not_before), next_check_at = %s, claimed_by = NULL, claimed_until = NULL,
              last_sent_at = CASE WHEN %s THEN coalesce(last_sent_at, clock_timestamp()) ELSE last_sent_at END,
              updated_at = clock_timestamp(), finished_at = CASE WHEN %s THEN clock_timestamp() END
            WHERE task_id = %s RETURNING {COLUMNS}""",
        (
            status,
            verdict.sent,
            verdict.sent,
            verdict.order_id,
            bool(children),
            Jsonb(children),
            None if verdict.error is None else Jsonb(verdict.error.to_json()),
            verdict.not_before,
            verdict.next_check_at,
            status is TaskStatus.IN_DOUBT,
            status in FINISHED,
            task.task_id,
        ),
    )
    return found[0]


async def write_children(tx: Tx, task_id: UUID, children: Sequence[ChildOrder], *, error: TaskError | None) -> None:
    """Store the slices of a completed placement, when the answer or the book shows more; ``error``: not all."""
    await tx.execute(
        "UPDATE order_task SET children = %s, last_error = %s, updated_at = clock_timestamp() WHERE task_id = %s",
        (Jsonb(children_json(children)), None if error is None else Jsonb(error.to_json()), task_id),
    )


async def count_read(tx: Tx, task_id: UUID, *, clean: bool, next_check_at: datetime) -> None:
    """After a read that decided nothing: count it if it was clean, and set the time of the next read."""
    await tx.execute(
        "UPDATE order_task SET clean_reads = clean_reads + %s, next_check_at = %s WHERE task_id = %s",
        (int(clean), next_check_at, task_id),
    )


async def unsent(tx: Tx, account_id: str) -> list[Task]:
    """Tasks that wait to be sent or are held, oldest first."""
    return await fetch_tasks(
        tx,
        f"""SELECT {COLUMNS} FROM order_task
            WHERE account_id = %s AND status IN ('pending', 'held', 'retrying') ORDER BY task_id""",
        (account_id,),
    )


async def lock_unsent(tx: Tx, account_id: str) -> list[Task]:
    """The same tasks, locked until the transaction ends, once every claim in flight has committed."""
    return await fetch_tasks(
        tx,
        f"""SELECT {COLUMNS} FROM order_task
            WHERE account_id = %s AND status IN ('pending', 'held', 'retrying') ORDER BY task_id FOR UPDATE""",
        (account_id,),
    )


async def unresolved(tx: Tx, account_id: str, *, since: date) -> list[Task]:
    """Tasks that a read of the book may decide, oldest first: open ones, and those given up since this day.

    Unsent tasks are among them, because a database that was restored may have forgotten that they were sent.
    """
    return await fetch_tasks(
        tx,
        f"""SELECT {COLUMNS} FROM order_task
            WHERE account_id = %s AND status IN {OPEN}
            UNION ALL
            SELECT {COLUMNS} FROM order_task
            WHERE account_id = %s AND trade_date >= %s AND {GIVEN_UP}
            ORDER BY task_id""",
        (account_id, account_id, since),
    )


async def by_tag_bases(tx: Tx, account_id: str, tag_bases: Sequence[str]) -> dict[str, Task]:
    """The account's placements with these tags, by ``tag_base``."""
    found = await fetch_tasks(
        tx,
        f"SELECT {COLUMNS} FROM order_task WHERE tag_base = ANY(%s) AND account_id = %s",
        (list(tag_bases), account_id),
    )
    return {str(task.tag_base): task for task in found}


async def of_other_accounts(tx: Tx, account_id: str, tag_bases: Sequence[str]) -> dict[str, tuple[UUID, str]]:
    """Task and account of each of these tags that belongs to a placement of another account, by ``tag_base``."""
    cursor = await tx.execute(
        "SELECT tag_base, task_id, account_id FROM order_task WHERE tag_base = ANY(%s) AND account_id <> %s",
        (list(tag_bases), account_id),
    )
    return {row[0]: (row[1], row[2]) for row in await cursor.fetchall()}


async def by_order_id(tx: Tx, order_id: str, *, account_id: str | None = None) -> Task | None:
    """The newest placement that the broker answered with this id, or None."""
    found = await fetch_tasks(
        tx,
        f"""SELECT {COLUMNS} FROM order_task
            WHERE order_id = %(order_id)s AND operation = 'place'
              AND (%(account_id)s::text IS NULL OR account_id = %(account_id)s)
            ORDER BY created_at DESC LIMIT 1""",
        {"order_id": order_id, "account_id": account_id},
    )
    return found[0] if found else None


async def by_ids(tx: Tx, account_id: str, task_ids: Sequence[UUID]) -> dict[UUID, Task]:
    """The account's tasks of these ids, by id."""
    found = await fetch_tasks(
        tx,
        f"SELECT {COLUMNS} FROM order_task WHERE task_id = ANY(%s) AND account_id = %s",
        (list(task_ids), account_id),
    )
    return {task.task_id: task for task in found}


async def database_now(tx: Tx) -> datetime:
    """The time by the database's clock, which stamps the sends."""
    cursor = await tx.execute("SELECT clock_timestamp()")
    row = await cursor.fetchone()
    if row is None:
        raise LookupError("the database returned no time")
    moment: datetime = row[0]
    return moment
