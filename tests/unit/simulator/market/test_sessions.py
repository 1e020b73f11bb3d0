"""When segments trade."""

from datetime import datetime

import pytest

from simulator.clock import IST
from simulator.market.instrument import Segment
from simulator.market.sessions import is_open, session_at


def ist(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=IST)


@pytest.mark.parametrize(
    ("segment", "moment", "expected"),
    [
        (Segment.NSE, "2026-07-06T09:14:59", "closed"),
        (Segment.NSE, "2026-07-06T09:15:00", "open"),
        (Segment.NFO, "2026-07-06T15:29:59", "open"),
        (Segment.NFO, "2026-07-06T15:30:00", "closed"),
        (Segment.CDS, "2026-07-06T16:59:00", "open"),
        (Segment.MCX, "2026-07-06T23:29:00", "open"),
        (Segment.MCX, "2026-07-06T23:30:00", "closed"),
        (Segment.NSE, "2026-07-05T12:00:00", "closed"),  # a Sunday
    ],
)
def test_segment_keeps_its_hours_by_the_calendar(segment: Segment, moment: str, expected: str) -> None:
    """The first second is included, the last is not, nor are weekends; with `always` everything is."""
    assert is_open(segment, ist(moment), mode="calendar") == (expected == "open")
    assert is_open(segment, ist(moment), mode="always")


@pytest.mark.parametrize(
    ("moment", "opens", "previous_close"),
    [
        ("2026-07-06T12:00:00", "2026-07-06T09:15:00", "2026-07-03T15:30:00"),  # Monday
        ("2026-07-06T08:00:00", "2026-07-03T09:15:00", "2026-07-02T15:30:00"),
        ("2026-07-05T12:00:00", "2026-07-03T09:15:00", "2026-07-02T15:30:00"),
        ("2026-07-07T20:00:00", "2026-07-07T09:15:00", "2026-07-06T15:30:00"),
    ],
)
def test_outside_hours_the_session_is_the_last_one(moment: str, opens: str, previous_close: str) -> None:
    """Its previous close is that of the weekday before it."""
    session = session_at(Segment.NSE, ist(moment), mode="calendar")
    assert (session.opens, session.previous_close) == (ist(opens), ist(previous_close))
