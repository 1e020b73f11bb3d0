"""The alarms of the order engine: what an operator must look at. Each has a page in ``docs/runbooks``.

An alarm is a row of ``order_alarm``, raised once per account, kind and subject, and an error line in the log.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any


class Alarm(StrEnum):
    """The kinds of alarms. The subject is a task id unless the comment names another one."""

    DOUBT_UNRESOLVED = "doubt_unresolved"  # a task has been in doubt for longer than a read of the book usually needs
    DEAD_LETTER = "dead_letter"  # what became of a task cannot be proven
    LATE_ORDER = "late_order"  # an order appeared after its task was given up; it is being cancelled
    NOT_CANCELLED = "not_cancelled"  # an unwanted order lives on, although it is cancelled; subject: order id
    EXIT_UNFINISHED = "exit_unfinished"  # a position that was to be closed is open still, and nothing closes it
    ORPHAN = "orphan"  # the book has an order with a tag of this deployment that no task knows; subject: order id
    ORDER_UNSEEN = "order_unseen"  # the broker confirmed an order that its book does not show
    UNREADABLE_ROW = "unreadable_row"  # a row of a book cannot be read; subject: order id, trade id, or book and day
    LOOK_ALIKE = "look_alike"  # an order without a tag could be that of a task in doubt
    MISMATCH = (
        "mismatch"  # the book has a task's tag on an order that the task did not ask for; subject: task id or order id
    )
    END_UNSEEN = "end_unseen"  # the broker discarded the book before it showed the end of live orders; subject: day
    INFERRED_FILL = "inferred_fill"  # fills that the trade book lacks were inferred; subject: trade id
    FILLS_MISSING = "fills_missing"  # the broker discarded the trade book before it showed all fills; subject: day
    ACCOUNT_FAILED = "account_failed"  # an error ended the account's loops, which begin anew; subject: day and error
    DATABASE_LOST = "database_lost"  # the database has forgotten something, the account recovers; subject: moment
    LOGIN_SHARED = "login_shared"  # the account has the broker login of another account; subject: the broker's user id
    ADDRESS_REFUSED = (
        "address_refused"  # the broker takes no orders from this address; the account is halted; subject: day
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class RaisedAlarm:
    """A row of ``order_alarm``."""

    account_id: str
    kind: str  # an ``Alarm``
    subject: str
    data: Mapping[str, Any]  # what an operator needs to look for: ids, tag, instrument; JSON-ready
    raised_at: datetime
