"""Every status that a task can have, everything that can happen to it, and where that leads: one table.

    pending ── claim ──> running ── accepted ──> completed
       │ ▲                  ├── refused ──> failed
     hold│release           ├── not_sent ──> retrying ── claim ──> running
       ▼ │                  ├── gave_up ──> expired
      held                  └── doubt, or its claim lapsed ──> in_doubt ── found ──> completed
                                                                  ├── absent ──> failed (provisional, we keep looking)
                                                                  ├── resend ──> retrying (safe to repeat)
                                                                  └── mismatch, day_over ──> dead_letter

What is not in the table does not happen: ``next_status`` gives None and the caller changes nothing. That is how the
late answer of a sender that lost its claim stays evidence and never becomes a state.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

from app.orders.state.model import TaskStatus as S


class Event(StrEnum):
    CLAIM = "claim"  # a sender owns it, the fence is raised, bytes may leave
    ACCEPTED = "accepted"  # the broker answered with an order id
    REFUSED = "refused"  # the broker, or the order's own end, proves that it will not happen
    NOT_SENT = "not_sent"  # no byte left; it may go again
    GAVE_UP = "gave_up"  # no byte left, and no try or time is left either
    DOUBT = "doubt"  # it may or may not have reached the broker
    HOLD = "hold"  # not allowed to go now (no session, halted)
    RELEASE = "release"
    EXPIRE = "expire"  # its freshness ended before it was sent
    WITHDRAW = "withdraw"  # nobody wants it any more, and it was not sent
    FOUND = "found"  # the order book, or the order's row, shows that it happened
    ABSENT = "absent"  # enough clean reads of the book do not show it
    RESEND = "resend"  # proven without effect and safe to repeat (throttled and absent; a cancel that did not happen)
    MISMATCH = "mismatch"  # the book shows our tag on something that we did not ask for
    DAY_OVER = "day_over"  # the book that could have told is gone
    LATE = "late"  # it appeared after we had given it up
    OPERATOR_PLACED = "operator_placed"
    OPERATOR_NOT_PLACED = "operator_not_placed"


TRANSITIONS: Mapping[tuple[S, Event], S] = MappingProxyType(
    {
        (S.PENDING, Event.CLAIM): S.RUNNING,
        (S.PENDING, Event.HOLD): S.HELD,
        (S.PENDING, Event.EXPIRE): S.EXPIRED,
        (S.PENDING, Event.WITHDRAW): S.CANCELLED,
        (S.PENDING, Event.FOUND): S.COMPLETED,
        (S.PENDING, Event.REFUSED): S.FAILED,
        (S.PENDING, Event.MISMATCH): S.DEAD_LETTER,
        (S.HELD, Event.RELEASE): S.PENDING,
        (S.HELD, Event.EXPIRE): S.EXPIRED,
        (S.HELD, Event.WITHDRAW): S.CANCELLED,
        (S.HELD, Event.FOUND): S.COMPLETED,
        (S.HELD, Event.REFUSED): S.FAILED,
        (S.HELD, Event.MISMATCH): S.DEAD_LETTER,
        (S.RETRYING, Event.CLAIM): S.RUNNING,
        (S.RETRYING, Event.HOLD): S.HELD,
        (S.RETRYING, Event.EXPIRE): S.EXPIRED,
        (S.RETRYING, Event.WITHDRAW): S.CANCELLED,
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
        (S.RUNNING, Event.MISMATCH): S.DEAD_LETTER,
        (S.IN_DOUBT, Event.ACCEPTED): S.COMPLETED,
        (S.IN_DOUBT, Event.FOUND): S.COMPLETED,
        (S.IN_DOUBT, Event.REFUSED): S.FAILED,
        (S.IN_DOUBT, Event.ABSENT): S.FAILED,
        (S.IN_DOUBT, Event.RESEND): S.RETRYING,
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
    """Where ``event`` leads from ``status``; None when it must not change anything."""
    return TRANSITIONS.get((status, event))
