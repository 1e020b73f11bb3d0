"""When a segment trades, in IST. With mode `always` every segment trades round the clock, also on a Sunday."""

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from typing import Literal

from simulator.clock import IST
from simulator.market.instrument import Segment

SessionMode = Literal["always", "calendar"]

_SATURDAY = 5
_EQUITY = (time(9, 15), time(15, 30))
_CURRENCY = (time(9, 0), time(17, 0))
_COMMODITY = (time(9, 0), time(23, 30))
_HOURS: dict[Segment, tuple[time, time]] = {
    Segment.NSE: _EQUITY,
    Segment.BSE: _EQUITY,
    Segment.NFO: _EQUITY,
    Segment.BFO: _EQUITY,
    Segment.INDICES: _EQUITY,
    Segment.CDS: _CURRENCY,
    Segment.BCD: _CURRENCY,
    Segment.MCX: _COMMODITY,
    Segment.NCO: _COMMODITY,
}
_PRE_OPEN = {
    Segment.NSE: (time(9, 0), time(9, 8)),
    Segment.BSE: (time(9, 0), time(9, 8)),
}
"""Orders are collected then; they are matched when continuous trading begins."""
_CLOSING = {
    Segment.NSE: (time(15, 40), time(16, 0)),
    Segment.BSE: (time(15, 40), time(16, 0)),
}
"""Shares are bought and sold then at the day's closing price."""

Phase = Literal["closed", "pre_open", "open", "closing"]


@dataclass(frozen=True, slots=True)
class Session:
    """One day's continuous trading, `opens <= t < closes`, and when the session before it closed."""

    opens: datetime
    closes: datetime
    previous_close: datetime

    def is_open(self, now: datetime) -> bool:
        """Whether `now` is within the session."""
        return self.opens <= now < self.closes


def is_session_day(day: date) -> bool:
    """Monday to Friday: the simulator has no holidays."""
    return day.weekday() < _SATURDAY


def previous_session_day(day: date) -> date:
    """The last weekday before `day`."""
    return next(before for before in (day - timedelta(days=n) for n in range(1, 4)) if is_session_day(before))


@lru_cache(maxsize=64)
def regular_session(segment: Segment, day: date) -> Session:
    """The hours of `segment` on `day`, on any weekday."""
    opens, closes = _HOURS[segment]
    return Session(
        opens=datetime.combine(day, opens, IST),
        closes=datetime.combine(day, closes, IST),
        previous_close=datetime.combine(previous_session_day(day), closes, IST),
    )


def session_at(segment: Segment, now: datetime, *, mode: SessionMode) -> Session:
    """The session under way at `now`, or the last one before it; a whole day with mode `always`."""
    day = now.astimezone(IST).date()
    regular = regular_session(segment, day)
    if mode == "always":
        midnight = datetime.combine(day, time(), IST)
        return Session(midnight, midnight + timedelta(days=1), regular.previous_close)
    if is_session_day(day) and now >= regular.opens:
        return regular
    return regular_session(segment, previous_session_day(day))


def is_open(segment: Segment, now: datetime, *, mode: SessionMode) -> bool:
    """Whether the segment trades at `now`."""
    return session_at(segment, now, mode=mode).is_open(now)


def phase_at(segment: Segment, now: datetime, *, mode: SessionMode) -> Phase:
    """Whether the segment is closed, collects orders, trades, or trades at the closing price at `now`."""
    if is_open(segment, now, mode=mode):
        return "open"
    local = now.astimezone(IST)
    if is_session_day(local.date()):
        if _is_within(_PRE_OPEN.get(segment), local.time()):
            return "pre_open"
        if _is_within(_CLOSING.get(segment), local.time()):
            return "closing"
    return "closed"


def _is_within(window: tuple[time, time] | None, moment: time) -> bool:
    return window is not None and window[0] <= moment < window[1]
