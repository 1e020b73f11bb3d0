"""From the outcome of one send to the verdict about its task. Pure.

A placement is sent again only when it is proven that no byte left, or (throttled) after a clean read of the order book.
A cancel may be repeated, because the second one can do no more than the first. A modification is only repeated when it
is proven that no byte left.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from app.broker.orders import Operation
from app.broker.outcomes import Accepted, ChildOrder, InDoubt, NotSent, Refused, SendOutcome, Sent, SessionRejected
from app.orders.state.lifecycle import Event
from app.orders.state.model import Task, TaskError
from app.orders.state.verdicts import Verdict


def verdict_of(task: Task, outcome: SendOutcome, *, now: datetime) -> Verdict:
    """The verdict about a task after one send. ``now`` is the time of the outcome."""
    match outcome:
        case Accepted(order_id=order_id, children=children):
            error = _refused_slices(children)
            return Verdict(event=Event.ACCEPTED, sent=Sent.YES, order_id=order_id, children=children, error=error)
        case Refused():
            return _refused(task, outcome, now=now)
        case NotSent(reason=reason):
            return _not_sent(task, reason, now=now)
        case SessionRejected(message=message):  # refused at the gateway: it may be sent under a new session
            error = TaskError(code="SESSION_EXPIRED", message=message)
            return Verdict(event=Event.HOLD, sent=Sent.NO, error=error)
        case InDoubt():
            return _in_doubt(outcome, now=now)
        case _:  # throttled: only the order book can prove that the broker did not take it
            return Verdict(
                event=Event.DOUBT,
                sent=Sent.UNKNOWN,
                error=TaskError(code=THROTTLED, message=outcome.message),
                next_check_at=now + timedelta(seconds=THROTTLE_COOL_DOWN_S),
            )


def confirmed_ids(task: Task, outcome: SendOutcome) -> list[str]:
    """The ids of the orders that an answer gives to a placement."""
    if task.operation is not Operation.PLACE or not isinstance(outcome, Accepted):
        return []
    return [order_id for order_id in (outcome.order_id, *(child.order_id for child in outcome.children)) if order_id]


def wrong_answer(task: Task, outcome: SendOutcome, *, other_owner: str | None) -> str | None:
    """Why this is not the answer to the task's request; None when it may be.

    ``other_owner``: whose an order is that the answer gives to a placement, None for nobody else's. A modification and
    a cancel are answered with the id of their order.
    """
    if other_owner is not None:
        return f"the broker's answer is one to another request: order {other_owner}"
    if task.operation is Operation.PLACE or not isinstance(outcome, Accepted):
        return None
    if outcome.order_id == task.target_order_id:
        return None
    return f"the broker's answer is one to another request: it names order {outcome.order_id}"


def _refused_slices(children: Sequence[ChildOrder]) -> TaskError | None:
    refused = [child for child in children if child.order_id is None]
    if not refused:
        return None
    message = f"the broker refused {len(refused)} of {len(children)} slices: {refused[0].message}"
    return TaskError(code="SLICES_REFUSED", message=message)


def _refused(task: Task, refusal: Refused, *, now: datetime) -> Verdict:
    error = TaskError(
        code="BROKER_REFUSED",
        message=refusal.message,
        broker={
            "error_type": refusal.error_type,
            "message": refusal.message,
            "http_status": refusal.http_status,
        },
    )
    if task.operation is Operation.CANCEL and refusal.being_processed and now < task.send_by:
        return Verdict(event=Event.RESEND, sent=Sent.YES, error=error, not_before=now + cancel_delay(task.attempts))
    return Verdict(event=Event.REFUSED, sent=Sent.YES, error=error)


def _not_sent(task: Task, reason: str, *, now: datetime) -> Verdict:
    error = TaskError(code="BROKER_UNREACHABLE", message=reason)
    if task.operation is Operation.CANCEL:
        again = now + cancel_delay(task.attempts)
    else:
        again = now + timedelta(seconds=RESEND_DELAYS_S[min(task.attempts, len(RESEND_DELAYS_S)) - 1])
    tries_left = task.operation is Operation.CANCEL or task.attempts < ATTEMPTS_NOT_SENT
    if tries_left and again < task.send_by:
        return Verdict(event=Event.NOT_SENT, sent=Sent.NO, error=error, not_before=again)
    return Verdict(event=Event.GAVE_UP, sent=Sent.NO, error=error)


def _in_doubt(outcome: InDoubt, *, now: datetime) -> Verdict:
    broker = None
    if outcome.http_status is not None:
        broker = {"error_type": outcome.error_type, "message": outcome.reason, "http_status": outcome.http_status}
    return Verdict(
        event=Event.DOUBT,
        sent=Sent.UNKNOWN,
        error=TaskError(code="OUTCOME_UNKNOWN", message=outcome.reason, broker=broker),
        next_check_at=now + timedelta(seconds=FIRST_CHECK_S),
    )


def cancel_delay(attempts: int) -> timedelta:
    """The pause before a cancel is sent again, after this many attempts."""
    return timedelta(seconds=CANCEL_DELAYS_S[min(max(attempts, 1), len(CANCEL_DELAYS_S)) - 1])


ATTEMPTS_NOT_SENT = 3
"""Attempts of a placement or modification that are proven not to have left: the first, and two more."""


RESEND_DELAYS_S = (0.05, 0.2)
"""Seconds before the second and the third attempt of a placement or modification."""


CANCEL_DELAYS_S = (0.3, 0.6, 1.2, 2.4, 5.0)
"""Seconds before a cancel is sent again, by attempt; the last one repeats."""


FIRST_CHECK_S = 0.3
"""Seconds from a doubt to the first read of the order book for it; ``read_schedule.next_check`` plans the next ones."""


THROTTLE_COOL_DOWN_S = 1.2
"""Seconds without requests after the broker throttled one; the broker counts over one second."""


ATTEMPTS_THROTTLED = 2
"""Attempts of a placement that the broker throttles: the first, and one more after a book without it."""

THROTTLED = "THROTTLED"
"""The error code of a throttled task, which ``doubt_rules`` may send once more."""
