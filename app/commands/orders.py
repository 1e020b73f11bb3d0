"""``python -m app orders doubts|resolve``: decide the outcome of orders as an operator. Needs the database only."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from app.commands.operator_database import current_operator, open_operators
from app.config import Settings
from app.kit.clock import ist_iso
from app.ops.redaction import escape
from app.orders.operators.resolution import OperatorDecision
from app.orders.operators.unresolved import UnresolvedTask

ALARMS_SHOWN = 50
_HEADINGS = ("task", "account", "status", "age", "tag", "instrument", "what", "the book shows")


async def doubts(settings: Settings) -> list[str]:
    """Tasks that are in doubt, dead letters, or given up today, and the newest alarms: two tables, in lines."""
    async with open_operators(settings) as operators:
        resolutions = operators.resolutions
        unresolved = await resolutions.unresolved()
        alarms = await resolutions.alarms(limit=ALARMS_SHOWN)
        rows = [_row(one, age_s=resolutions.age_s(_sent_at(one))) for one in unresolved]
    lines = table([_HEADINGS, *rows]) if rows else ["nothing is in doubt"]
    if alarms:
        lines += ["", "alarms, newest first:"]
        shown = [(ist_iso(one.raised_at)[:19], one.kind, one.account_id, one.subject, str(one.data)) for one in alarms]
        lines += table(shown)
    return lines


async def resolve(settings: Settings, task_id: UUID, decision: OperatorDecision) -> str:
    """Apply the decision, and return the state of the task, as a sentence.

    Raises NotFound for an unknown task, Conflict where it cannot be decided this way.
    """
    async with open_operators(settings) as operators:
        task = await operators.resolutions.resolve(task_id, decision, by=current_operator())
    return f"task {task['task_id']} is {task['status']}, order {task['order_id'] or 'none'}"


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines with columns as wide as their longest entry, two spaces between."""
    shown = [[escape(cell) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in shown) for column in range(len(shown[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in shown]


def _sent_at(unresolved: UnresolvedTask) -> datetime:
    return unresolved.task.last_sent_at or unresolved.task.created_at


def _row(unresolved: UnresolvedTask, *, age_s: float) -> tuple[str, ...]:
    task = unresolved.task
    what = str(task.operation)
    if "quantity" in task.request:
        what = f"{task.request['transaction_type']} {task.request['quantity']} {task.request.get('price', 'at market')}"
    shown = ", ".join(f"{row.order_id} {row.status} filled {row.filled_quantity}" for row in unresolved.shown)
    return (
        str(task.task_id),
        task.account_id,
        str(task.status),
        f"{age_s:.0f} s",
        task.tag if task.tag_base else task.target_order_id or "",
        task.instrument,
        what,
        shown or "nothing",
    )
