"""What is stored of one attempt to send a task: a closed list of outcomes, each with its own label. Pure."""

from __future__ import annotations

from enum import StrEnum

from app.broker.outcomes import Accepted, InDoubt, NotSent, Refused, SendOutcome, SessionRejected, Throttled


class AttemptOutcome(StrEnum):
    """``order_attempt.outcome``; NULL while no answer is stored. The labels are compared in SQL: they never change."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    NOT_SENT = "not_sent"
    SESSION_REJECTED = "session_rejected"
    THROTTLED = "throttled"
    IN_DOUBT = "in_doubt"


def label_of(outcome: SendOutcome) -> AttemptOutcome:
    """The label under which an outcome is stored."""
    match outcome:
        case Accepted():
            return AttemptOutcome.ACCEPTED
        case Refused():
            return AttemptOutcome.REFUSED
        case NotSent():
            return AttemptOutcome.NOT_SENT
        case SessionRejected():
            return AttemptOutcome.SESSION_REJECTED
        case Throttled():
            return AttemptOutcome.THROTTLED
        case InDoubt():
            return AttemptOutcome.IN_DOUBT
