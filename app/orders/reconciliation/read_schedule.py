"""When the order book is read again, and what is due before that. Pure rules."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from app.orders.state.model import Task

Liveness = Literal["settling", "live", "idle"]

CHECK_DELAYS_S = (0.3, 0.7, 1.0, 2.0, 4.0, 7.0, 15.0, 30.0, 30.0, 30.0)
"""Seconds from the send of a doubtful task to the first read for it, and from each read to the next; the last one
repeats."""

IDLE_AUDIT_S = 60.0
"""Between two reads while no order is live. Orders may also be placed in Kite's own application, and only a request
shows whether the session is alive and the book can be read, which health reports."""

SETTLING_READ_S = 0.5
"""The same while an accepted order is on its way to the exchange: no push announces its arrival."""

READS_IN_A_ROW = 10
"""When so many reads took less than half a second each, hints are arriving all the time."""


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
    replacement_at: datetime | None  # of the newest unsent cancel of an order to be replaced: it waits for a later read


def next_check(task: Task, *, now: datetime) -> datetime:
    """When to read the book again for a task in doubt: soon after the send, then less and less often."""
    since = (now - task.last_sent_at).total_seconds() if task.last_sent_at else 0.0
    elapsed = 0.0
    for delay in CHECK_DELAYS_S:
        elapsed += delay
        if elapsed > since:
            return now + timedelta(seconds=elapsed - since)
    return now + timedelta(seconds=CHECK_DELAYS_S[-1])


def seconds_to_next_read(schedule: ReadSchedule, *, now: datetime, audit_s: float, fills_incomplete: bool) -> float:
    """Seconds until the book is read again if no hint comes: by what is live, or sooner for a claim or a doubt.

    ``audit_s``: between two reads while something is live, or a fill is missing.
    """
    longest_s = {
        "settling": min(audit_s, SETTLING_READ_S),
        "live": audit_s,
        "idle": max(audit_s, IDLE_AUDIT_S),
    }[schedule.liveness]
    if fills_incomplete:
        longest_s = min(longest_s, audit_s)
    if schedule.next_check_at is None:
        return longest_s
    return min(longest_s, max(0.0, (schedule.next_check_at - now).total_seconds()))


class BookReadPace:
    """The distance between two reads: one read answers all hints that arrived before it began."""

    def __init__(self, *, least_gap_s: float, constant_gap_s: float) -> None:
        self._least_gap_s = least_gap_s
        self._constant_gap_s = constant_gap_s
        self._ended_at: deque[float] = deque(maxlen=READS_IN_A_ROW)

    def gap_after_read(self, ended_at: float) -> float:
        """Seconds to wait after the read that ended at this monotonic time; longer while hints arrive constantly."""
        self._ended_at.append(ended_at)
        in_a_row = len(self._ended_at) == READS_IN_A_ROW and ended_at - self._ended_at[0] < READS_IN_A_ROW / 2
        return self._constant_gap_s if in_a_row else self._least_gap_s
