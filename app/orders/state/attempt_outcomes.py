"""The label and the evidence under which the outcome of one attempt is stored. Pure."""

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
    ADDRESS_REFUSED = "address_refused"


def label_of(outcome: SendOutcome) -> AttemptOutcome:
    """The label under which an outcome is stored."""
    match outcome:
        case Accepted():
            return AttemptOutcome.ACCEPTED
        case Refused(address_refused=True):
            return AttemptOutcome.ADDRESS_REFUSED
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


def evidence_of(outcome: SendOutcome) -> tuple[int | None, str | None, str | None]:
    """What the broker or the transport said: HTTP status, the broker's error type, text; None where there is none."""
    match outcome:
        case Accepted():
            return None, None, None
        case Refused(error_type=error_type, message=message, http_status=http_status):
            return http_status, error_type, message
        case InDoubt(reason=reason, error_type=error_type, http_status=http_status):
            return http_status, error_type, reason
        case NotSent(reason=reason):
            return None, None, reason
        case SessionRejected(message=message) | Throttled(message=message):
            return None, None, message
