"""A verdict says what becomes of a task: the event for the lifecycle, and what is stored with the new status. Pure.

The verdicts that do not follow from the outcome of a send are made here, the others in ``sending.outcome_rules``.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from app.broker.outcomes import ChildOrder, Sent
from app.orders.state.lifecycle import Event
from app.orders.state.model import NOT_FOUND_AT_BROKER, Task, TaskError, TaskStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What ``Settlement.settle`` applies to a task."""

    event: Event
    sent: Sent  # whether the broker has received the task
    order_id: str | None = None  # the order that the broker confirmed or its book showed; None keeps what is stored
    children: tuple[ChildOrder, ...] = ()  # its slices; empty keeps what is stored
    error: TaskError | None = None  # the reason of the new status; None clears an older one
    not_before: datetime | None = None  # the earliest time of the next attempt; None keeps what is stored
    next_check_at: datetime | None = None  # when the order book is read for it; None: no read is needed


def not_found() -> Verdict:
    """The order book did not show the order in enough clean reads over the whole window. Provisional."""
    return Verdict(
        event=Event.ABSENT,
        sent=Sent.UNKNOWN,
        error=TaskError(
            code=NOT_FOUND_AT_BROKER,
            message="the order never appeared in the broker's order book; if it still does, it will be cancelled",
        ),
    )


def doubtful(reason: str, *, now: datetime) -> Verdict:
    """No outcome is known for ``reason``; the reconciler reads the book immediately."""
    error = TaskError(code="OUTCOME_UNKNOWN", message=reason)
    return Verdict(event=Event.DOUBT, sent=Sent.UNKNOWN, error=error, next_check_at=now)


def day_over(task: Task) -> Verdict:
    """The broker discarded the only book that could have shown the order; an operator must decide."""
    message = (
        f"still in doubt when the broker discarded its book of {task.trade_date.isoformat()}; an operator must decide"
    )
    return Verdict(event=Event.DAY_OVER, sent=Sent.UNKNOWN, error=TaskError(code="DAY_ENDED_IN_DOUBT", message=message))


def expired(task: Task) -> Verdict:
    """Its freshness ended before it was sent. For a cancel that was sent before, ``sent`` stays as it is."""
    code = task.error_code if task.status is TaskStatus.HELD else None
    why = f" ({task.last_error.message})" if task.last_error is not None else ""
    return Verdict(
        event=Event.EXPIRE,
        sent=task.sent,
        error=TaskError(code=code or "EXPIRED", message=f"not sent within its freshness{why}"),
    )


TAKEN_BACK = "it was taken back before it was sent"
BATCH_ENDS = "its batch goes no further"


def withdrawn(reason: str) -> Verdict:
    """Taken back before it was sent; ``reason`` is shown to clients."""
    return Verdict(event=Event.WITHDRAW, sent=Sent.NO, error=TaskError(code="WITHDRAWN", message=reason))


def obsolete(task: Task) -> Verdict:
    """The order that it should have replaced filled before it was cancelled."""
    message = f"order {task.replaces} filled before it could be cancelled, so nothing takes its place"
    return Verdict(event=Event.WITHDRAW, sent=task.sent, error=TaskError(code="REPLACED_ORDER_FILLED", message=message))
