"""From the outcome of one send to what happens to its task: pure rules, one per operation.

A placement is sent again only when it is proven that no byte left, or (throttled) once the order book has been read
clean. A cancel may be repeated, because repeating it cannot do more than the first. A modification is never repeated
blindly.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from app.broker.orders import Operation
from app.broker.outcomes import Accepted, InDoubt, NotSent, Refused, SendOutcome, Sent, SessionRejected
from app.orders.state.lifecycle import Event
from app.orders.state.model import Task, TaskError
from app.orders.state.verdicts import Verdict


def verdict_of(task: Task, outcome: SendOutcome, *, now: datetime) -> Verdict:
    """What the outcome of one send means for its task."""
    match outcome:
        case Accepted(order_id=order_id, children=children):
            return Verdict(event=Event.ACCEPTED, sent=Sent.YES, order_id=order_id, children=children)
        case Refused():
            return _refused(task, outcome, now=now)
        case NotSent(reason=reason):
            return _not_sent(task, reason, now=now)
        case SessionRejected(message=message):
            error = TaskError(code="SESSION_EXPIRED", message=message)
            return Verdict(event=Event.HOLD, sent=Sent.NO, error=error)
        case InDoubt():
            return _in_doubt(outcome, now=now)
        case _:
            return Verdict(
                event=Event.DOUBT,
                sent=Sent.UNKNOWN,
                error=TaskError(code=THROTTLED, message=outcome.message),
                next_check_at=now + timedelta(seconds=THROTTLE_COOL_DOWN_S),
            )


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
    if task.operation is Operation.CANCEL and is_being_processed(refusal.message) and now < task.send_by:
        return Verdict(event=Event.RESEND, sent=Sent.YES, error=error, not_before=now + cancel_delay(task.attempts))
    return Verdict(event=Event.REFUSED, sent=Sent.YES, error=error)


def _not_sent(task: Task, reason: str, *, now: datetime) -> Verdict:
    error = TaskError(code="BROKER_UNREACHABLE", message=reason)
    if task.operation is Operation.CANCEL:
        again = now + cancel_delay(task.attempts)
    else:
        again = now + timedelta(seconds=RESEND_DELAYS_S[min(task.attempts, len(RESEND_DELAYS_S)) - 1])
    tries_left = task.operation is Operation.CANCEL or task.attempts < MAX_ATTEMPTS
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
        next_check_at=now + timedelta(seconds=FIRST_LOOK_S),
    )


def cancel_delay(attempts: int) -> timedelta:
    """How long to wait before a cancel goes again, after this many sends."""
    return timedelta(seconds=CANCEL_DELAYS_S[min(max(attempts, 1), len(CANCEL_DELAYS_S)) - 1])


def is_being_processed(message: str) -> bool:
    """Kite answers a cancel or modify of a busy and of a finished order alike; only the order's row tells which."""
    return "being processed" in message


MAX_ATTEMPTS = 3
"""Sends of one place or modify task: the first and two more after proof that nothing left."""


RESEND_DELAYS_S = (0.05, 0.2)


CANCEL_DELAYS_S = (0.3, 0.6, 1.2, 2.4, 5.0)


FIRST_LOOK_S = 0.3
"""A doubt is looked up this soon after it began; see ``read_schedule.next_check`` for the following reads."""


THROTTLE_COOL_DOWN_S = 1.2


THROTTLED = "THROTTLED"
