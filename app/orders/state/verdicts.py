"""What becomes of a task, as a value: an event for the lifecycle and what is stored beside the new status. Pure.

The makers of every verdict that is not the outcome of a send stand here; ``sending.outcome_rules`` has the others.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from app.broker.outcomes import ChildOrder, Sent
from app.orders.state.lifecycle import Event
from app.orders.state.model import NOT_FOUND_AT_BROKER, Task, TaskError, TaskStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """An event for the lifecycle and what is written beside the new status."""

    event: Event
    sent: Sent
    order_id: str | None = None
    children: tuple[ChildOrder, ...] = ()
    error: TaskError | None = None
    not_before: datetime | None = None
    next_check_at: datetime | None = None


def not_found() -> Verdict:
    """The book, read clean often and long enough, never showed the order."""
    return Verdict(
        event=Event.ABSENT,
        sent=Sent.UNKNOWN,
        error=TaskError(
            code=NOT_FOUND_AT_BROKER,
            message="the order never appeared in the broker's order book; if it still does, it will be cancelled",
        ),
    )


def doubtful(reason: str, *, now: datetime) -> Verdict:
    """Nobody heard what became of it; the reconciler looks at once."""
    error = TaskError(code="OUTCOME_UNKNOWN", message=reason)
    return Verdict(event=Event.DOUBT, sent=Sent.UNKNOWN, error=error, next_check_at=now)


def day_over(task: Task) -> Verdict:
    """The only book that could have told is gone."""
    message = f"still in doubt when the broker's book of {task.trade_date.isoformat()} was gone; an operator must tell"
    return Verdict(event=Event.DAY_OVER, sent=Sent.UNKNOWN, error=TaskError(code="DAY_ENDED_IN_DOUBT", message=message))


def expired(task: Task) -> Verdict:
    """Its freshness ended before it could be sent, or (a cancel) sent once more: then `sent` stays what it was."""
    code = task.error_code if task.status is TaskStatus.HELD else None
    why = f" ({task.last_error.message})" if task.last_error is not None else ""
    return Verdict(
        event=Event.EXPIRE,
        sent=task.sent,
        error=TaskError(code=code or "EXPIRED", message=f"not sent within its freshness{why}"),
    )


def withdrawn(reason: str) -> Verdict:
    return Verdict(event=Event.WITHDRAW, sent=Sent.NO, error=TaskError(code="WITHDRAWN", message=reason))


def overtaken(task: Task) -> Verdict:
    """The order whose place it should have taken ended in another way than by that cancel, or filled first."""
    message = f"order {task.replaces} filled before it could be cancelled, so nothing takes its place"
    return Verdict(event=Event.WITHDRAW, sent=task.sent, error=TaskError(code="REPLACED_ORDER_FILLED", message=message))
