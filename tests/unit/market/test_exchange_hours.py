"""When each exchange is open, and when silence means staleness."""

from __future__ import annotations

from datetime import date, datetime, time

import pytest

from app.kit.clock import IST
from app.market.calendar.exchange_hours import MarketCalendar

MONDAY, FRIDAY, SATURDAY, SUNDAY = (date(2026, 1, day) for day in (5, 9, 10, 11))
SUMMER_MONDAY = date(2026, 7, 6)
CALENDAR = MarketCalendar(
    holidays={"NSE": frozenset({date(2026, 1, 26)})},
    special={("NSE", date(2026, 11, 8)): ((time(18, 0), time(19, 0)),)},
)


def at(day: date, hour: int, minute: int = 0) -> datetime:
    return datetime.combine(day, time(hour, minute), IST)


@pytest.mark.parametrize(
    ("exchange", "moment", "is_open"),
    [
        ("NSE", at(MONDAY, 9, 14), False),  # pre-open is not continuous trading
        ("NSE", at(MONDAY, 9, 15), True),
        ("NSE", at(MONDAY, 15, 29), True),
        ("NSE", at(MONDAY, 15, 30), False),  # the end is the first moment after
        ("BFO", at(MONDAY, 12), True),
        ("NSE", at(FRIDAY, 12), True),
        ("NSE", at(SUNDAY, 12), False),
        ("CDS", at(MONDAY, 16, 59), True),
        ("CDS", at(MONDAY, 17), False),
        ("MCX", at(MONDAY, 23, 50), True),  # New York is on winter time
        ("MCX", at(SUMMER_MONDAY, 23, 50), False),
        ("MCX", at(SUMMER_MONDAY, 23, 29), True),
        ("NSE", at(SATURDAY, 12), False),
        ("NSE", at(date(2026, 1, 26), 12), False),  # a holiday of NSE
        ("MCX", at(date(2026, 1, 26), 12), True),  # and of NSE alone
        ("NSE", at(date(2026, 11, 8), 18, 30), True),  # muhurat, on a Sunday
        ("NSE", at(date(2026, 11, 8), 12), False),
        ("NCO", at(MONDAY, 23, 50), True),  # as MCX
        ("NCO", at(SUMMER_MONDAY, 23, 50), False),
        ("NCO", at(MONDAY, 8, 59), False),
        ("NSEIX", at(MONDAY, 6, 29), False),
        ("NSEIX", at(MONDAY, 6, 30), True),
        ("NSEIX", at(MONDAY, 15, 40), False),  # a pause
        ("NSEIX", at(MONDAY, 16, 35), True),
        ("NSEIX", at(MONDAY, 23, 59), True),
        ("NSEIX", at(SATURDAY, 2, 44), True),  # Friday's session ends then
        ("NSEIX", at(SATURDAY, 2, 45), False),
        ("NSEIX", at(MONDAY, 2), False),  # on Sunday none began
        ("NSEIX", at(date(2026, 1, 26), 12), True),
        ("GLOBAL", at(MONDAY, 12), False),  # unknown: silence proves nothing
    ],
)
def test_an_exchange_is_open_during_its_sessions(exchange: str, moment: datetime, is_open: bool) -> None:
    """Hours, weekends, holidays and special sessions, in IST."""
    assert CALENDAR.is_open(exchange, moment) is is_open


def test_always_never_closes() -> None:
    """For a market that runs on a Sunday too."""
    assert MarketCalendar(mode="always").is_open("NSE", at(SATURDAY, 3))


@pytest.mark.parametrize(
    ("moment", "age_s", "stale"),
    [
        (at(MONDAY, 12), 29.0, False),
        (at(MONDAY, 12), 31.0, True),
        (at(MONDAY, 9, 15), 60_000.0, False),  # yesterday's value, but the market has only just opened
        (at(MONDAY, 9, 16), 60_000.0, True),
        (at(MONDAY, 16), 60_000.0, False),  # closed: old is not stale
    ],
)
def test_staleness_counts_from_the_opening(moment: datetime, age_s: float, stale: bool) -> None:
    """A value is stale when its market is open and has been silent for longer than allowed."""
    assert CALENDAR.is_stale("NSE", age_s=age_s, now=moment, stale_after_s=30.0) is stale
