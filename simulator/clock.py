"""The simulator's clock: the real time until `/_sim/clock` sets it or changes its speed.

Everything that needs the time reads it here, so that the whole simulator can be put on another day or run fast. Times
are aware and in IST.
"""

import time
from collections.abc import Callable
from datetime import datetime
from zoneinfo import ZoneInfo

IST = ZoneInfo("Asia/Kolkata")
IST_OFFSET_S = 19_800
"""Ahead of UTC, the whole year."""
MAX_SPEED = 100_000.0


class SimClock:
    """`now()` = anchor + (real time since the anchor) * speed."""

    def __init__(
        self,
        now: datetime | None = None,
        *,
        speed: float = 1.0,
        real: Callable[[], float] = time.time,
    ) -> None:
        """Start at `now` (aware; the real time when None). `real` gives real epoch seconds."""
        self._real = real
        self._speed = _check_speed(speed)
        self._real_anchor = real()
        self._anchor = self._real_anchor if now is None else _epoch(now)

    @property
    def speed(self) -> float:
        """Simulated seconds in a real second; 0 stands still."""
        return self._speed

    def epoch(self) -> float:
        """The simulated time as UTC epoch seconds."""
        return self._anchor + (self._real() - self._real_anchor) * self._speed

    def now(self) -> datetime:
        """The simulated time, aware, in IST."""
        return datetime.fromtimestamp(self.epoch(), IST)

    def set(self, now: datetime | None = None, *, speed: float | None = None) -> None:
        """Move to `now` (aware) and/or run at `speed` from here on.

        Raises ValueError for a naive time or a speed outside 0 to 100,000.
        """
        anchor = self.epoch() if now is None else _epoch(now)
        new_speed = self._speed if speed is None else _check_speed(speed)
        self._anchor, self._real_anchor, self._speed = anchor, self._real(), new_speed


def _epoch(moment: datetime) -> float:
    if moment.tzinfo is None:
        raise ValueError(f"clock: {moment.isoformat()} has no time zone; give an offset such as +05:30")
    return moment.timestamp()


def _check_speed(speed: float) -> float:
    if not 0 <= speed <= MAX_SPEED:
        raise ValueError(f"clock: speed {speed} is outside 0 to {MAX_SPEED:g}")
    return speed
