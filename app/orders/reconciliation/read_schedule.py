"""When the order book is read again, and what is due before that. Pure rules."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from app.orders.state.model import Task

Liveness = Literal["settling", "live", "idle"]

CHECK_DELAYS_S = (0.3, 0.7, 1.0, 2.0, 4.0, 7.0, 15.0, 30.0, 30.0, 30.0)
"""Seconds from the send of a doubtful task to the first read for it, and from each read to the next; the last one
repeats."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadSchedule:
    """What the stored rows of one account say about the next read.

    ``settling``: an accepted order is not past the broker's checks yet. ``live``: an order may still change; an order
    that was given up counts as live, because it may appear until the day is over.
    """

    liveness: Liveness
    next_check_at: datetime | None  # the earliest time that a claim ends or a doubt needs a read; None without either


@dataclass(frozen=True, slots=True, kw_only=True)
class DueWork:
    """What is due before the next read, by the database's clock, which also stamps the sends."""

    now: datetime
    overdue: bool  # time alone has decided something: see the queries of ``overdue_store``
    unwanted: bool  # a withdrawn placement has, or may get, an order that must be cancelled


def next_check(task: Task, *, now: datetime) -> datetime:
    """When to read the book again for a task in doubt: soon after the send, then less and less often."""
    since = (now - task.last_sent_at).total_seconds() if task.last_sent_at else 0.0
    elapsed = 0.0
    for delay in CHECK_DELAYS_S:
        elapsed += delay
        if elapsed > since:
            return now + timedelta(seconds=elapsed - since)
    return now + timedelta(seconds=CHECK_DELAYS_S[-1])
