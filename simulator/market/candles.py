"""Candles of the price paths: minutes are sampled from the path, longer intervals are combined from minutes.

Past weekdays have the regular hours of their segment. Today's candles reach to the present moment, stay within the
day's range, and end at the present last price. The unfinished candle is included; a finished one that was shown stays.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Literal

import numpy as np
import numpy.typing as npt

from simulator.clock import IST, IST_OFFSET_S
from simulator.market.closed_candles import ClosedCandles, Columns
from simulator.market.instrument import Instrument
from simulator.market.market import Market
from simulator.market.prices import Floats, Ints, hash_values
from simulator.market.sessions import Session, is_session_day, regular_session, session_at
from simulator.market.state import day_volume

MINUTE_S = 60.0
FIRST_DAY = date(2015, 2, 2)
CONTRACT_LIFE = timedelta(days=100)
_CONTINUOUS_YEARS = 15 / 365  # a future that is always half a month from its expiry


@dataclass(frozen=True, slots=True)
class Interval:
    """A candle's length, and how many days a request may span."""

    name: str
    """As in the route's path."""
    minutes: int
    """0 for days and weeks, which go by dates."""
    max_days: int


DAY = Interval("day", 0, 2_000)
WEEK = Interval("week", 0, 2_000)
INTERVALS: dict[str, Interval] = {
    interval.name: interval
    for interval in (
        Interval("minute", 1, 60),
        Interval("2minute", 2, 60),
        *(Interval(f"{minutes}minute", minutes, 100) for minutes in (3, 4, 5, 10)),
        *(Interval(f"{minutes}minute", minutes, 200) for minutes in (15, 30)),
        *(Interval(name, 60, 400) for name in ("60minute", "hour")),
        *(Interval(f"{hours}hour", hours * 60, 400) for hours in (2, 3, 4)),
        DAY,
        WEEK,
    )
}


@dataclass(frozen=True, slots=True)
class Candles:
    """Columns with an entry for each candle; prices in units."""

    start: Ints
    """Epoch seconds."""
    open: Ints
    high: Ints
    low: Ints
    close: Ints
    volume: Ints
    oi: Ints


_COLUMNS = ("start", "open", "high", "low", "close", "volume", "oi")


class CandleSource:
    """One instrument's history up to one moment. It copies what it needs of the market when it is created.

    So it can be used in a thread while the market changes.
    """

    def __init__(
        self,
        market: Market,
        token: int,
        *,
        now: datetime,
        future: Literal["contract", "continuous"],
        closed: ClosedCandles | None = None,
    ) -> None:
        """`future="continuous"` gives a future's history before its own contract too. Raises KeyError for the token.

        `closed`: what was shown of today before.
        """
        listing = market.listing
        self._row = listing.row_of[token]
        self._instrument = listing.instruments[self._row]
        self._model = listing.model
        self._key = listing.state.keys[self._row]
        self._day_volume = int(day_volume(listing.state, np.array([self._row]))[0])
        self._today = listing.state.ticks[self._row].copy()
        self._traded = bool(listing.traded[self._row])
        self._mode = market.sessions
        self._now = now
        self._future = future
        self._closed = closed or ClosedCandles()
        self._oi_before = self._day_volume // 2 if self._instrument.instrument_type != "EQ" else 0
        self._years = np.full(1, _CONTINUOUS_YEARS) if future == "continuous" else None

    def cut(self, interval: Interval, *, start: datetime, end: datetime) -> Candles:
        """The candles that start between `start` and `end`, both included; days and weeks go by their dates."""
        sessions = list(self._sessions(start.date(), end.date())) if self._traded else []
        if not sessions:
            return Candles(*(np.empty(0, dtype=np.int64) for _ in _COLUMNS))
        minutes = self._minutes(sessions)
        if interval not in (DAY, WEEK):
            opens = np.array([int(session.opens.timestamp()) for session in sessions])
            opened = opens[np.searchsorted(opens, minutes.start, side="right") - 1]
            candles = _group(minutes, minutes.start - (minutes.start - opened) % (interval.minutes * 60))
            return _select(candles, first=start.timestamp(), last=end.timestamp())
        candles = _group(minutes, _day_starts(minutes.start, week=interval is WEEK))
        if interval is DAY:
            self._finish_today(candles)
        return _select(candles, first=_midnight(start.date()), last=_midnight(end.date()))

    def _sessions(self, first: date, last: date) -> Iterator[Session]:
        today = self._now.astimezone(IST).date()
        day = max(first, self._first_day())
        while day <= min(last, today):
            session = self._session_on(day, today=today)
            if session is not None and session.opens < self._now:
                yield session
            day += timedelta(days=1)

    def _session_on(self, day: date, *, today: date) -> Session | None:
        segment = self._instrument.segment_id
        if day == today and self._mode == "always":
            return session_at(segment, self._now, mode=self._mode)
        return regular_session(segment, day) if is_session_day(day) else None

    def _first_day(self) -> date:
        if self._instrument.expiry is None or self._years is not None:
            return FIRST_DAY
        return self._instrument.expiry - CONTRACT_LIFE

    def _minutes(self, sessions: list[Session]) -> Candles:
        edges = [_minute_edges(session, now=self._now) for session in sessions]
        times = np.concatenate(edges)
        ends = np.cumsum([len(part) for part in edges]) - 1
        path = self._model.series(self._row, times, years=self._years)
        start = np.delete(times, ends).astype(np.int64)
        opened, closed = np.delete(path, ends), np.delete(path, np.append(0, ends[:-1] + 1))
        words = hash_values(start.astype(np.uint64) ^ self._key)
        tick = self._instrument.tick_units
        midnight = _midnight(self._now.astimezone(IST).date())
        minutes = Candles(
            start=start,
            open=opened,
            high=np.maximum(opened, closed) + _nibble(words, 0) % 3 * tick,
            low=np.maximum(np.minimum(opened, closed) - _nibble(words, 4) % 3 * tick, tick),
            close=closed,
            volume=self._volumes(words, sessions[0]),
            oi=np.where(start >= midnight, int(self._today["oi"]), self._oi_before),
        )
        self._fit_today(minutes)
        return minutes

    def _volumes(self, words: npt.NDArray[np.uint64], session: Session) -> Ints:
        minutes = (session.closes - session.opens).total_seconds() / MINUTE_S
        lot = max(self._instrument.lot_size, 1)
        return (self._day_volume * (8 + _nibble(words, 8)) / (15.5 * minutes)).astype(np.int64) // lot * lot

    def _fit_today(self, minutes: Candles) -> None:
        """Makes today's candles agree with the quote in range, volume and last price; closed ones stay as shown."""
        midnight = _midnight(self._now.astimezone(IST).date())
        today = minutes.start >= midnight
        high, low, last, volume = (int(self._today[name]) for name in ("high", "low", "last_price", "volume"))
        if not today.any() or low == 0:
            return
        for column in (minutes.open, minutes.high, minutes.low, minutes.close):
            column[today] = np.clip(column[today], low, high)
        key = (self._instrument.instrument_token, self._future, int(midnight))
        fresh = today & ~self._restore(minutes, self._closed.get(key))
        left = max(volume - int(minutes.volume[today & ~fresh].sum()), 0)
        minutes.volume[fresh] = minutes.volume[fresh] * (left / max(int(minutes.volume[fresh].sum()), 1))
        if fresh[-1]:
            minutes.close[-1] = last
            minutes.high[-1], minutes.low[-1] = max(minutes.high[-1], last), min(minutes.low[-1], last)
        over = today & (minutes.start + MINUTE_S <= self._now.timestamp())
        self._closed.remember(key, {name: getattr(minutes, name)[over] for name in _COLUMNS})

    def _restore(self, minutes: Candles, known: Columns | None) -> npt.NDArray[np.bool_]:
        """Puts remembered candles in place; returns where. The candle after them opens where the last one closed."""
        if known is None or not len(known["start"]):
            return np.zeros(len(minutes.start), dtype=np.bool_)
        places = np.isin(minutes.start, known["start"])
        chosen = np.isin(known["start"], minutes.start)
        for name in _COLUMNS:
            getattr(minutes, name)[places] = known[name][chosen]
        after = np.flatnonzero(places[:-1] & ~places[1:]) + 1
        minutes.open[after] = minutes.close[after - 1]
        minutes.high[after] = np.maximum(minutes.high[after], minutes.open[after])
        minutes.low[after] = np.minimum(minutes.low[after], minutes.open[after])
        return places

    def _finish_today(self, days: Candles) -> None:
        """Today's day candle has the open, high, low and volume of the quote."""
        if days.start[-1] >= _midnight(self._now.astimezone(IST).date()) and self._today["open"]:
            for name in ("open", "high", "low", "volume"):
                getattr(days, name)[-1] = self._today[name]


def _minute_edges(session: Session, *, now: datetime) -> Floats:
    """The starts of the session's minutes so far, and the end of the last one."""
    until = min(session.closes.timestamp(), now.timestamp())
    return np.append(np.arange(session.opens.timestamp(), until, MINUTE_S), until)


def candle_rows(candles: Candles, instrument: Instrument, *, columns: int) -> list[list[object]]:
    """Rows `[time, open, high, low, close, volume, oi]`, cut to `columns`; times have the offset +0530."""
    prices: list[list[float]] = [
        (column / instrument.divisor).tolist() for column in (candles.open, candles.high, candles.low, candles.close)
    ]
    rows = zip(map(_stamp, candles.start.tolist()), *prices, candles.volume.tolist(), candles.oi.tolist(), strict=True)
    return [list(row[:columns]) for row in rows]


def _stamp(epoch: int) -> str:
    return datetime.fromtimestamp(epoch, IST).strftime("%Y-%m-%dT%H:%M:%S%z")


def _midnight(day: date) -> float:
    return datetime.combine(day, time(), IST).timestamp()


def _nibble(words: npt.NDArray[np.uint64], shift: int) -> Ints:
    return ((words >> np.uint64(shift)) & np.uint64(15)).astype(np.int64)


def _day_starts(start: Ints, *, week: bool) -> Ints:
    """For each start, midnight (IST) of its day or of its week's Monday, in epoch seconds."""
    day = (start + IST_OFFSET_S) // 86_400
    return (day - (day + 3) % 7 * week) * 86_400 - IST_OFFSET_S


def _select(candles: Candles, *, first: float, last: float) -> Candles:
    chosen = (candles.start >= first) & (candles.start <= last)
    return Candles(*(getattr(candles, name)[chosen] for name in _COLUMNS))


def _group(minutes: Candles, starts: Ints) -> Candles:
    """Combines minutes to one candle for each run of equal `starts`."""
    first = np.flatnonzero(np.diff(starts, prepend=starts[0] - 1))
    last = np.append(first[1:], len(starts)) - 1
    return Candles(
        start=starts[first],
        open=minutes.open[first],
        high=np.maximum.reduceat(minutes.high, first),
        low=np.minimum.reduceat(minutes.low, first),
        close=minutes.close[last],
        volume=np.add.reduceat(minutes.volume, first),
        oi=minutes.oi[last],
    )
