"""Everything of the order engine that a person must look at, each with a page in ``docs/runbooks``.

An alarm is a row of ``order_alarm``, raised once per account, kind and subject, and an error line in the log.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any
from uuid import UUID

from loguru import logger

from app.db.postgres import Tx
from app.orders.store import book


class Alarm(StrEnum):
    """The subject is a task id, or an order id for orphans."""

    DOUBT_UNRESOLVED = "doubt_unresolved"  # an outcome is unknown for longer than the broker usually needs to tell
    DEAD_LETTER = "dead_letter"  # the rules cannot prove what became of it
    LATE_ORDER = "late_order"  # it appeared after it was given up; it is being cancelled
    ORPHAN = "orphan"  # the book has an order under our tag that no task knows
    LOOK_ALIKE = "look_alike"  # an order without a tag that could be the missing one
    MISMATCH = "mismatch"  # the book has something else under a task's tag


async def raise_alarm(
    tx: Tx, alarm: Alarm, *, account_id: str, alarm_id: UUID, subject: UUID | str, data: Mapping[str, Any]
) -> bool:
    """Record it and log it; False when it was raised before."""
    new = await book.raise_alarm(
        tx, account_id, alarm_id=alarm_id, kind=str(alarm), subject=str(subject), data=dict(data)
    )
    if new:
        logger.error("{} of account {}: {} {}", alarm, account_id, subject, data)
    return new
