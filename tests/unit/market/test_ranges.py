"""Ranges of candles."""

from __future__ import annotations

import itertools
from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.broker.market import Candle
from app.kit.clock import IST
from app.market.history.ranges import DAY_CAPS, join, parse_moment, split

START = datetime(2026, 1, 1, tzinfo=IST)


def candle(minute: int, close: int) -> Candle:
    price = Decimal(close)
    return Candle(time=START + timedelta(minutes=minute), open=price, high=price, low=price, close=price, volume=1)


BROKERS_CAPS = {
    60: ("minute", "2minute"),
    100: ("3minute", "4minute", "5minute", "10minute"),
    200: ("15minute", "30minute"),
    400: ("60minute", "hour", "2hour", "3hour", "4hour"),
    2000: ("day", "week"),
}
"""From the broker's documents and error texts, written a second time: a wrong cap is a refused request."""


def test_each_interval_has_the_brokers_cap() -> None:
    """In days, for all fifteen."""
    assert {interval: days for days, intervals in BROKERS_CAPS.items() for interval in intervals} == DAY_CAPS


@given(seconds=st.integers(0, 10_000 * 86_400), interval=st.sampled_from(sorted(DAY_CAPS)))
def test_parts_cover_the_range_without_gap_or_overlap_within_the_cap(seconds: int, interval: str) -> None:
    """To the second, both ends inclusive."""
    end = START + timedelta(seconds=seconds)
    parts = split(START, end, interval=interval)
    assert (parts[0].start, parts[-1].end) == (START, end)
    assert all(b.start - a.end == timedelta(seconds=1) for a, b in itertools.pairwise(parts))
    cap = timedelta(days=next(days for days, intervals in BROKERS_CAPS.items() if interval in intervals))
    assert all(part.end - part.start < cap for part in parts)
    assert all(part.end - part.start == cap - timedelta(seconds=1) for part in parts[:-1])


def test_overlaps_are_dropped_and_order_is_by_time() -> None:
    """The later answer wins: its candle may have moved on."""
    joined = join([[candle(0, 1), candle(1, 2)], [candle(1, 3), candle(2, 4)]])
    assert [int(item.close) for item in joined] == [1, 3, 4]
    backwards = join([[candle(2, 4), candle(1, 3)], [candle(0, 1)]])
    assert [int(item.close) for item in backwards] == [1, 3, 4]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-01-05", "2026-01-05T00:00:00+05:30"),
        ("2026-01-05 09:15:00", "2026-01-05T09:15:00+05:30"),
        ("2026-01-05T09:15:00", "2026-01-05T09:15:00+05:30"),
        ("2026-01-05T09:15:00+05:30", "2026-01-05T09:15:00+05:30"),
        ("2026-01-05T09:15:00 05:30", "2026-01-05T09:15:00+05:30"),  # a plus that a URL made a space
        ("2026-01-05T03:45:00Z", "2026-01-05T09:15:00+05:30"),
        ("2026-01-05T09:15:00.250", "2026-01-05T09:15:00+05:30"),
    ],
)
def test_naive_times_are_ist(text: str, expected: str) -> None:
    """Whatever the host's zone."""
    assert parse_moment(text).isoformat() == expected


def test_a_date_as_the_end_is_its_last_second() -> None:
    """A range of one day is that day."""
    assert parse_moment("2026-01-05", date_means="end").isoformat() == "2026-01-05T23:59:59+05:30"


@pytest.mark.parametrize("text", ["", "yesterday", "2026-13-01", "05-01-2026", "2026-01-05 25:00:00"])
def test_text_that_is_no_time_is_refused_with_the_expected_forms(text: str) -> None:
    """The error names the text."""
    with pytest.raises(ValueError, match="is not a time: give"):
        parse_moment(text)
