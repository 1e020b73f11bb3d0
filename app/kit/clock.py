"""Time as an argument: the service reads the clock here and nowhere else.

``now`` is an aware UTC time for records and comparisons with the broker; ``monotonic`` is for waits and deadlines,
which must not move when the wall clock does. Pure code takes ``now`` as a value and never holds a clock.
"""

from __future__ import annotations

import sys
import time
from datetime import UTC, date, datetime
from typing import Protocol
from zoneinfo import ZoneInfo

IST = ZoneInfo("Asia/Kolkata")


class Clock(Protocol):
    """Where time comes from; tests pass clocks that stand still."""

    def now(self) -> datetime:
        """The present moment, aware, UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds from an arbitrary start; never goes backwards, and counts the time that the machine sleeps."""
        ...


def elapsed_s() -> float:
    """Seconds since the machine's start, the time that it slept included.

    ``CLOCK_MONOTONIC`` stands still while the machine is suspended: orders would stay fresh for hours.
    """
    if sys.platform == "linux":
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()


class SystemClock:
    """The clock of the machine."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return elapsed_s()


def epoch_ms(moment: datetime) -> int:
    """Milliseconds since 1970, cut off: what ticks and their ages are counted in. ``moment`` is aware."""
    return int(moment.timestamp() * 1000)


def trade_date_of(moment: datetime) -> date:
    """The IST calendar day of a moment: the day that the broker counts and keeps books by."""
    return moment.astimezone(IST).date()


def today(clock: Clock) -> date:
    """The trade date of now."""
    return trade_date_of(clock.now())


def ist_iso(moment: datetime) -> str:
    """ISO-8601 with the offset ``+05:30``: how REST and WebSocket objects write times. ``moment`` is aware."""
    if moment.tzinfo is None:
        raise ValueError("a time without a zone")
    return moment.astimezone(IST).isoformat()
