"""When a segment trades, in IST. With mode `always` every segment trades round the clock, so ticks flow on a Sunday."""

from datetime import date, datetime, time, timedelta
from typing import Literal

from simulator.clock import IST
from simulator.market.instrument import Segment

SessionMode = Literal["always", "calendar"]

_EQUITY = (time(9, 15), time(15, 30))
_HOURS: dict[Segment, tuple[time, time]] = {
    Segment.NSE: _EQUITY,
    Segment.BSE: _EQUITY,
    Segment.NFO: _EQUITY,
    Segment.BFO: _EQUITY,
    Segment.INDICES: _EQUITY,
    Segment.CDS: (time(9, 0), time(17, 0)),
    Segment.BCD: (time(9, 0), time(17, 0)),
    Segment.MCX: (time(9, 0), time(23, 30)),
}


def session_hours(segment: Segment, day: date) -> tuple[datetime, datetime] | None:
    """First and last moment of continuous trading on `day`; None at the weekend."""
    if day.weekday() >= 5:
        return None
    opens, closes = _HOURS[segment]
    return datetime.combine(day, opens, IST), datetime.combine(day, closes, IST)


def is_open(segment: Segment, now: datetime, *, mode: SessionMode) -> bool:
    if mode == "always":
        return True
    hours = session_hours(segment, now.astimezone(IST).date())
    return hours is not None and hours[0] <= now < hours[1]


def previous_session_day(day: date) -> date:
    """The last weekday before `day`."""
    before = day - timedelta(days=1)
    while before.weekday() >= 5:
        before -= timedelta(days=1)
    return before
