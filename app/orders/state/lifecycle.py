"""Every status of a task, every event that can happen to it, and the status that follows: one table.

    pending ── claim ──> running ── accepted ──> completed
       │ ▲                  ├── refused ──> failed
     hold│release           ├── not_sent ──> retrying ── claim ──> running
       ▼ │                  ├── gave_up ──> expired
       │ │                  ├── returned ──> pending (for another replica)
      held                  └── doubt, or its claim lapsed ──> in_doubt ── found ──> completed
                                                                  ├── absent ──> failed (provisional: may still appear)
                                                                  ├── resend ──> retrying (safe to repeat)
                                                                  └── mismatch, day_over ──> dead_letter

For a pair that is not in the table ``next_status`` returns None and the caller changes nothing. So the late answer of a
sender whose claim another sender has taken is kept with its attempt and never becomes a status; one whose claim has
only expired still ends the doubt.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

from app.orders.state.model import TaskStatus as S


class Event(StrEnum):
    """What happens to a task. The claim statement itself makes ``CLAIM``; the others come with a ``Verdict``."""

    CLAIM = "claim"  # a sender claims it: the fence rises, the request may leave
    ACCEPTED = "accepted"  # the broker answered with an order id
    REFUSED = "refused"  # the broker's answer, or the end of the order, proves that it will not happen
    NOT_SENT = "not_sent"  # no byte left this process; it may be sent again
    GAVE_UP = "gave_up"  # no byte left this process, and no attempt or time remains
    DOUBT = "doubt"  # the broker may or may not have received it
    HOLD = "hold"  # it must not be sent now (no session, halted, breaker open)
    RELEASE = "release"  # the reason of the hold is gone
    EXPIRE = "expire"  # its freshness ended before it was sent
    WITHDRAW = "withdraw"  # withdrawn before it was sent: by a client, an operator, a rollback, or a filled old order
    FOUND = "found"  # the order book, or the order's row, shows that it happened
    ABSENT = "absent"  # enough clean reads of the order book do not show it
    RETURNED = "returned"  # the broker takes no orders from this replica's address; another replica sends it
    RESEND = "resend"  # proven without effect and safe to repeat (throttled and absent; a cancel that did not happen)
    MISMATCH = "mismatch"  # the order book has the task's tag on an order that the task did not ask for
    DAY_OVER = "day_over"  # the broker has discarded the order book that could have shown it
    FORGOTTEN = "forgotten"  # the database was put back to an older copy, so it may have been sent
    NEVER_SHOWN = "never_shown"  # after a loss of the database the order book has not shown it: it was not sent
    NOT_CONTINUED = "not_continued"  # the same for a leg of a batch of which the book has shown another leg
    LATE = "late"  # the order appeared after the task was given up
    OPERATOR_PLACED = "operator_placed"  # an operator says that the order exists
    OPERATOR_NOT_PLACED = "operator_not_placed"  # an operator says that it does not


TRANSITIONS: Mapping[tuple[S, Event], S] = MappingProxyType(
    {
        (S.PENDING, Event.CLAIM): S.RUNNING,
        (S.PENDING, Event.HOLD): S.HELD,
        (S.PENDING, Event.EXPIRE): S.EXPIRED,
        (S.PENDING, Event.WITHDRAW): S.CANCELLED,
        (S.PENDING, Event.DOUBT): S.IN_DOUBT,  # the database has forgotten that it was sent
        (S.PENDING, Event.FOUND): S.COMPLETED,
        (S.PENDING, Event.REFUSED): S.FAILED,
        (S.PENDING, Event.MISMATCH): S.DEAD_LETTER,
        (S.PENDING, Event.FORGOTTEN): S.IN_DOUBT,
        (S.HELD, Event.FORGOTTEN): S.IN_DOUBT,
        (S.RETRYING, Event.FORGOTTEN): S.IN_DOUBT,
        (S.IN_DOUBT, Event.NEVER_SHOWN): S.EXPIRED,
        (S.IN_DOUBT, Event.NOT_CONTINUED): S.CANCELLED,
        (S.HELD, Event.RELEASE): S.PENDING,
        (S.HELD, Event.EXPIRE): S.EXPIRED,
        (S.HELD, Event.WITHDRAW): S.CANCELLED,
        (S.HELD, Event.DOUBT): S.IN_DOUBT,
        (S.HELD, Event.FOUND): S.COMPLETED,
        (S.HELD, Event.REFUSED): S.FAILED,
        (S.HELD, Event.MISMATCH): S.DEAD_LETTER,
        (S.RETRYING, Event.CLAIM): S.RUNNING,
        (S.RETRYING, Event.HOLD): S.HELD,
        (S.RETRYING, Event.EXPIRE): S.EXPIRED,
        (S.RETRYING, Event.WITHDRAW): S.CANCELLED,
        (S.RETRYING, Event.DOUBT): S.IN_DOUBT,
        (S.RETRYING, Event.FOUND): S.COMPLETED,
        (S.RETRYING, Event.REFUSED): S.FAILED,
        (S.RETRYING, Event.MISMATCH): S.DEAD_LETTER,
        (S.RUNNING, Event.ACCEPTED): S.COMPLETED,
        (S.RUNNING, Event.REFUSED): S.FAILED,
        (S.RUNNING, Event.NOT_SENT): S.RETRYING,
        (S.RUNNING, Event.GAVE_UP): S.EXPIRED,
        (S.RUNNING, Event.HOLD): S.HELD,
        (S.RUNNING, Event.DOUBT): S.IN_DOUBT,
        (S.RUNNING, Event.FOUND): S.COMPLETED,
        (S.RUNNING, Event.RESEND): S.RETRYING,
        (S.RUNNING, Event.RETURNED): S.PENDING,
        (S.RUNNING, Event.MISMATCH): S.DEAD_LETTER,
        (S.IN_DOUBT, Event.ACCEPTED): S.COMPLETED,
        (S.IN_DOUBT, Event.FOUND): S.COMPLETED,
        (S.IN_DOUBT, Event.REFUSED): S.FAILED,
        (S.IN_DOUBT, Event.ABSENT): S.FAILED,
        (S.IN_DOUBT, Event.RESEND): S.RETRYING,
        (S.IN_DOUBT, Event.RETURNED): S.PENDING,
        (S.IN_DOUBT, Event.MISMATCH): S.DEAD_LETTER,
        (S.IN_DOUBT, Event.DAY_OVER): S.DEAD_LETTER,
        (S.IN_DOUBT, Event.OPERATOR_PLACED): S.COMPLETED,
        (S.IN_DOUBT, Event.OPERATOR_NOT_PLACED): S.FAILED,
        (S.FAILED, Event.LATE): S.COMPLETED,
        (S.EXPIRED, Event.LATE): S.COMPLETED,
        (S.CANCELLED, Event.LATE): S.COMPLETED,
        (S.DEAD_LETTER, Event.OPERATOR_PLACED): S.COMPLETED,
        (S.DEAD_LETTER, Event.OPERATOR_NOT_PLACED): S.FAILED,
    }
)


def next_status(status: S, event: Event) -> S | None:
    """The status that ``event`` leads to from ``status``; None when it must not change anything."""
    return TRANSITIONS.get((status, event))
