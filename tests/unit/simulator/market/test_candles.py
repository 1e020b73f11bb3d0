"""Candles agree with each other, with the quote, and with the hours of their segment."""

from datetime import datetime, timedelta
from itertools import pairwise
from typing import Literal

import numpy as np
import pytest

from simulator.clock import IST
from simulator.market.candles import INTERVALS, Candles, CandleSource, candle_rows
from simulator.market.market import Market

MONDAY = datetime(2026, 7, 6, 12, 0, 30, tzinfo=IST)
FRIDAY = datetime(2026, 7, 3, tzinfo=IST)
INFY = 408065
END_OF_DAY = timedelta(hours=23, minutes=59)


@pytest.fixture(scope="module")
def market() -> Market:
    market = Market(seed=1, now=MONDAY, sessions="calendar")
    market.ticks_per_second = 0
    return market


def cut(
    market: Market,
    interval: str,
    *,
    start: datetime,
    end: datetime,
    token: int = INFY,
    future: Literal["contract", "continuous"] = "contract",
) -> Candles:
    source = CandleSource(market, token, now=MONDAY, future=future)
    return source.cut(INTERVALS[interval], start=start, end=end)


def times(candles: Candles) -> list[str]:
    return [datetime.fromtimestamp(start, IST).strftime("%m-%d %H:%M") for start in candles.start.tolist()]


@pytest.mark.parametrize(
    ("interval", "count", "last"),
    [
        ("minute", 375, "07-03 15:29"),
        ("3minute", 125, "07-03 15:27"),
        ("5minute", 75, "07-03 15:25"),
        ("10minute", 38, "07-03 15:25"),
        ("15minute", 25, "07-03 15:15"),
        ("30minute", 13, "07-03 15:15"),
        ("60minute", 7, "07-03 15:15"),
        ("hour", 7, "07-03 15:15"),
        ("day", 1, "07-03 00:00"),
    ],
)
def test_a_whole_day_of_candles(market: Market, interval: str, count: int, last: str) -> None:
    """Candles start with the session at 09:15; the last one may be short; a day is stamped midnight."""
    candles = cut(market, interval, start=FRIDAY, end=FRIDAY + END_OF_DAY)
    assert len(candles.start) == count
    assert times(candles)[-1] == last
    assert interval == "day" or times(candles)[0] == "07-03 09:15"


def test_candles_are_consistent(market: Market) -> None:
    """The range contains open and close; prices are on the tick size; each opens where the one before closed."""
    candles = cut(market, "minute", start=FRIDAY, end=FRIDAY + END_OF_DAY)
    assert (candles.high >= np.maximum(candles.open, candles.close)).all()
    assert (candles.low <= np.minimum(candles.open, candles.close)).all()
    for column in (candles.open, candles.high, candles.low, candles.close):
        assert (column % 5 == 0).all()
    assert (candles.open[1:] == candles.close[:-1]).all()
    assert (candles.volume > 0).all()


@pytest.mark.parametrize("interval", ["3minute", "15minute", "60minute", "day"])
def test_longer_candles_are_sums_of_minutes(market: Market, interval: str) -> None:
    """Range, first open, last close and volume of a day are the same at every interval."""
    minutes = cut(market, "minute", start=FRIDAY, end=FRIDAY + END_OF_DAY)
    longer = cut(market, interval, start=FRIDAY, end=FRIDAY + END_OF_DAY)
    assert (longer.open[0], longer.close[-1]) == (minutes.open[0], minutes.close[-1])
    assert (longer.high.max(), longer.low.min()) == (minutes.high.max(), minutes.low.min())
    assert longer.volume.sum() == minutes.volume.sum()


def test_today_agrees_with_the_quote(market: Market) -> None:
    """Up to the present minute, inside the day's range, ending at the last price; the day candle is the quote's day."""
    start = MONDAY.replace(hour=0)
    minutes = cut(market, "minute", start=start, end=MONDAY + timedelta(days=1))
    quote = market.state.ticks[market.listing.row_of[INFY]]
    assert times(minutes)[-1] == "07-06 12:00"
    assert minutes.close[-1] == quote["last_price"]
    assert minutes.high.max() <= quote["high"]
    assert minutes.low.min() >= quote["low"]
    assert minutes.volume.sum() == pytest.approx(int(quote["volume"]), rel=0.01)
    day = cut(market, "day", start=start, end=MONDAY)
    shown = [int(getattr(day, name)[0]) for name in ("open", "high", "low", "close", "volume")]
    assert shown == [int(quote[name]) for name in ("open", "high", "low", "last_price", "volume")]


def test_previous_close_is_the_last_close_of_the_session_before(market: Market) -> None:
    """The quote's close is that of Friday's last candle."""
    friday = cut(market, "minute", start=FRIDAY, end=FRIDAY + END_OF_DAY)
    assert friday.close[-1] == market.state.ticks["close"][market.listing.row_of[INFY]]


def test_both_ends_are_included(market: Market) -> None:
    """A candle that starts at `to` is included, one that starts a second before `from` is not."""
    ten = FRIDAY.replace(hour=10)
    candles = cut(market, "minute", start=ten, end=ten + timedelta(minutes=5))
    assert times(candles) == [f"07-03 10:0{minute}" for minute in range(6)]
    candles = cut(market, "5minute", start=ten + timedelta(seconds=1), end=ten + timedelta(minutes=5))
    assert times(candles) == ["07-03 10:05"]


def test_days_go_by_date_and_leave_out_weekends(market: Market) -> None:
    """The time of day in the request does not matter; a weekend has no candles."""
    candles = cut(market, "day", start=FRIDAY - timedelta(days=4) + END_OF_DAY, end=MONDAY)
    assert [text[:5] for text in times(candles)] == ["06-29", "06-30", "07-01", "07-02", "07-03", "07-06"]
    weeks = cut(market, "week", start=FRIDAY - timedelta(days=13), end=MONDAY)
    assert [datetime.fromtimestamp(start, IST).weekday() for start in weeks.start.tolist()] == [0] * len(weeks.start)
    empty = cut(market, "minute", start=FRIDAY + timedelta(days=1), end=FRIDAY + timedelta(days=2))
    assert len(empty.start) == 0


def test_history_does_not_depend_on_the_request(market: Market) -> None:
    """One request over five days has the candles of five requests."""
    start = FRIDAY - timedelta(days=3)
    whole = cut(market, "15minute", start=start, end=FRIDAY + END_OF_DAY)
    days = [
        cut(market, "15minute", start=start + timedelta(days=n), end=start + timedelta(days=n) + END_OF_DAY)
        for n in range(4)
    ]
    assert whole.close.tolist() == [close for day in days for close in day.close.tolist()]
    assert whole.volume.tolist() == [volume for day in days for volume in day.volume.tolist()]


def test_a_contract_has_the_history_of_its_life_unless_continuous(market: Market) -> None:
    """A future exists for about three months; continuous candles begin before it."""
    future = next(item for item in market.instruments.values() if item.tradingsymbol == "NIFTY26JULFUT")
    start = MONDAY - timedelta(days=365)
    own = cut(market, "day", start=start, end=MONDAY, token=future.instrument_token)
    long = cut(market, "day", start=start, end=MONDAY, token=future.instrument_token, future="continuous")
    assert len(own.start) < 80 < 250 < len(long.start)
    moves = [abs(after / before - 1) for before, after in pairwise(long.close.tolist()[:-1])]
    assert max(moves) < 0.1


def test_round_the_clock_today_trades_on_a_sunday() -> None:
    """With sessions `always` today trades from midnight on; past days have regular hours."""
    sunday = datetime(2026, 7, 5, 3, 0, tzinfo=IST)
    market = Market(seed=1, now=sunday)
    source = CandleSource(market, INFY, now=sunday, future="contract")
    candles = source.cut(INTERVALS["60minute"], start=sunday - timedelta(days=2), end=sunday)
    assert times(candles)[:2] == ["07-03 09:15", "07-03 10:15"]
    assert times(candles)[-3:] == ["07-05 00:00", "07-05 01:00", "07-05 02:00"]
    assert candles.close[-1] == market.state.ticks["last_price"][market.listing.row_of[INFY]]


def test_rows_have_kites_types(market: Market) -> None:
    """`+0530` without a colon, floats for prices, integers for quantities, oi only on request."""
    candles = cut(market, "minute", start=FRIDAY, end=FRIDAY + END_OF_DAY)
    row = candle_rows(candles, market.instruments[INFY], columns=7)[0]
    assert row[0] == "2026-07-03T09:15:00+0530"
    assert [type(value) for value in row[1:]] == [float] * 4 + [int] * 2
    assert len(candle_rows(candles, market.instruments[INFY], columns=6)[0]) == 6
