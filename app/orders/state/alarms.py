"""Everything of the order engine that a person must look at, each with a page in ``docs/runbooks``.

An alarm is a row of ``order_alarm``, raised once per account, kind and subject, and an error line in the log.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any


class Alarm(StrEnum):
    """The subject is a task id, an order id for orphans, a trade id, or the day for what concerns several orders."""

    DOUBT_UNRESOLVED = "doubt_unresolved"  # an outcome is unknown for longer than the broker usually needs to tell
    DEAD_LETTER = "dead_letter"  # the rules cannot prove what became of it
    LATE_ORDER = "late_order"  # it appeared after it was given up; it is being cancelled
    ORPHAN = "orphan"  # the book has an order under our tag that no task knows
    LOOK_ALIKE = "look_alike"  # an order without a tag that could be the missing one
    MISMATCH = "mismatch"  # the book has something else under a task's tag
    END_UNSEEN = "end_unseen"  # orders were live when last seen, and the book that could have shown their end is gone
    INFERRED_FILL = "inferred_fill"  # the trade book does not tell all fills of an order; what is missing was inferred
    FILLS_MISSING = "fills_missing"  # orders have filled, and the trade book that could have told their fills is gone
    ADDRESS_REFUSED = "address_refused"  # the broker takes no orders from this machine's address; the account is halted


@dataclass(frozen=True, slots=True, kw_only=True)
class RaisedAlarm:
    account_id: str
    kind: str
    subject: str
    data: Mapping[str, Any]
    raised_at: datetime
