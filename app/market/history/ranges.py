"""Ranges of candles: which intervals there are, how a range is cut to what the broker gives at once, how times are
written, how the parts are joined. Pure.

Day caps: https://kite.trade/docs/connect/v3/historical/ and the broker's own error texts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Literal, TypeAlias

from app.broker.market import Candle
from app.kit.clock import IST

DateMeans: TypeAlias = Literal["start", "end"]
"""What a date without a time stands for: the first second of that day, or the last."""

DAY_CAPS: Mapping[str, int] = {
    "minute": 60,
    "2minute": 60,
    "3minute": 100,
    "4minute": 100,
    "5minute": 100,
    "10minute": 100,
    "15minute": 200,
    "30minute": 200,
    "60minute": 400,
    "hour": 400,
    "2hour": 400,
    "3hour": 400,
    "4hour": 400,
    "day": 2000,
    "week": 2000,
}
"""Days that the broker gives in one request, by interval."""

MAX_PARTS = 20
"""Requests to the broker that one call may cost, at three a second: about seven seconds."""

YEARS = range(1970, 2200)
"""Of the times that may be asked for."""

_SECOND = timedelta(seconds=1)
_LOST_PLUS = re.compile(r"(?<=\d) (?=\d\d:?\d\d$)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One request; both ends inclusive."""

    start: datetime
    end: datetime


def parse_moment(text: str, *, date_means: DateMeans = "start") -> datetime:
    """A time in IST from ISO-8601 or ``YYYY-MM-DD HH:MM:SS``; one without a zone is IST, fractions are cut.

    A ``+`` that became a space in a URL is put back. Raises ValueError with what was expected.
    """
    text = text.strip()
    try:
        if len(text) == len("2026-01-01"):
            day = date.fromisoformat(text)
            moment = datetime.combine(day, time(23, 59, 59) if date_means == "end" else time(), IST)
        else:
            is_naive = len(text) <= len("2026-01-01 09:15:00")
            moment = datetime.fromisoformat(text if is_naive else _LOST_PLUS.sub("+", text))
    except ValueError as error:
        raise ValueError(f"{text!r} is not a time: give 2026-01-31, 2026-01-31 09:15:00 or ISO-8601") from error
    if moment.year not in YEARS:  # also far from the ends of the calendar, where a zone cannot be changed
        raise ValueError(f"must lie between {YEARS[0]} and {YEARS[-1]}")
    return (moment if moment.tzinfo else moment.replace(tzinfo=IST)).astimezone(IST).replace(microsecond=0)


def split(start: datetime, end: datetime, *, interval: str) -> list[Part]:
    """Cut ``start .. end`` into parts of at most the interval's day cap, in order, without gap or overlap.

    The interval must be one of ``DAY_CAPS``; ``end`` before ``start`` gives nothing.
    """
    step = timedelta(days=DAY_CAPS[interval])
    parts: list[Part] = []
    while start <= end:
        last = min(end, start + step - _SECOND)
        parts.append(Part(start=start, end=last))
        start = last + _SECOND
    return parts


def join(parts: Iterable[Iterable[Candle]]) -> list[Candle]:
    """All candles in order of time; of several with the same time the last part's, which is the more recent answer."""
    by_time: dict[datetime, Candle] = {}
    for candles in parts:
        by_time.update({candle.time: candle for candle in candles})
    return [by_time[moment] for moment in sorted(by_time)]
