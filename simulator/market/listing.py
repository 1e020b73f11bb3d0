"""A day's instruments with their columns, and how a session starts in them.

A session that has begun before the simulator, or is over, looks as if the simulator had run since its start.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime, time
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from simulator.clock import IST
from simulator.market.instrument import Instrument, Segment
from simulator.market.prices import Ints, PriceModel, build_price_model, spot_price
from simulator.market.sessions import Session, SessionMode, previous_session_day, session_at
from simulator.market.state import DayPrices, State, begin_session, copy_of, new_state
from simulator.market.symbols import UNTRADED_EQUITIES, synthetic_equities
from simulator.market.universe import UniverseSize, all_spots, build_universe

_DAY_SAMPLES = 16


@dataclass(frozen=True, slots=True)
class Listing:
    """The instruments of one day. An instrument's row is its index in `instruments` and in every column."""

    day: date
    """The trading day, in IST."""
    instruments: tuple[Instrument, ...]
    by_token: Mapping[int, Instrument]
    """By instrument token."""
    by_symbol: Mapping[tuple[str, str], Instrument]
    """By exchange and tradingsymbol."""
    row_of: Mapping[int, int]
    """The row of an instrument token."""
    tokens: Ints
    """The instrument token of each row."""
    segments: Ints
    """The `Segment` of each row."""
    traded: npt.NDArray[np.bool_]
    """Whether a row ever trades; a few are listed and do not."""
    model: PriceModel
    """The price paths."""
    state: State
    """The present quotes."""
    dumps: dict[tuple[str, bool], bytes] = field(default_factory=dict, compare=False, repr=False)
    """The dump, as far as it was asked for: by exchange (empty: all of them), plain or gzipped."""

    def prices_at(self, rows: Ints, at: float) -> Ints:
        """The prices of `rows` in units at a moment (epoch seconds), scaled to what `/_sim/market` has set."""
        prices, scale = self.model.prices(rows, at), self.state.scale[rows]
        if (scale == 1.0).all():
            return prices
        tick = self.state.tick_units[rows]
        return np.maximum(np.rint(prices * scale / tick).astype(np.int64), 1) * tick


@lru_cache(maxsize=4)  # immutable values; a test run opens the same day in hundreds of simulators
def instruments_of(day: date, seed: int, size: UniverseSize = "small") -> tuple[Instrument, ...]:
    """Everything that is listed on `day`. Option strikes lie around the close of the day before."""
    spots = all_spots()
    anchored_at = datetime.combine(previous_session_day(day), time(15, 30), IST).timestamp()
    return build_universe(day, anchor=lambda name: spot_price(spots[name], seed=seed, at=anchored_at), size=size)


def open_listing(day: date, *, seed: int, size: UniverseSize = "small") -> Listing:
    """The listing of `day` with a state of its own, in which no session has started."""
    listing = _unopened(day, seed, size)
    return replace(listing, state=copy_of(listing.state))


@lru_cache(maxsize=4)  # as above; only copies of the state are changed
def _unopened(day: date, seed: int, size: UniverseSize) -> Listing:
    spots = all_spots()
    instruments = instruments_of(day, seed, size)
    quiet = {equity.tradingsymbol for equity in synthetic_equities()[-UNTRADED_EQUITIES:]}
    return Listing(
        day=day,
        instruments=instruments,
        by_token={item.instrument_token: item for item in instruments},
        by_symbol={(item.exchange, item.tradingsymbol): item for item in instruments},
        row_of={item.instrument_token: row for row, item in enumerate(instruments)},
        tokens=np.array([item.instrument_token for item in instruments], dtype=np.int64),
        segments=np.array([item.segment_id for item in instruments], dtype=np.int64),
        traded=np.array([item.tradingsymbol not in quiet for item in instruments], dtype=np.bool_),
        model=build_price_model(instruments, spots=spots, seed=seed),
        state=new_state(instruments),
    )


def due_sessions(
    current: Mapping[Segment, Session], now: datetime, *, mode: SessionMode
) -> dict[Session, list[Segment]]:
    """The sessions that have begun and are not in `current`, each with its segments."""
    due: dict[Session, list[Segment]] = {}
    for segment in Segment:
        session = session_at(segment, now, mode=mode)
        if current.get(segment) != session:
            due.setdefault(session, []).append(segment)
    return due


def start_session(listing: Listing, rows: Ints, *, session: Session, now: datetime) -> None:
    """Sets `rows` to the state of their session at `now`."""
    opens, closes = session.opens.timestamp(), session.closes.timestamp()
    until = min(max(now.timestamp(), opens), closes)
    samples = np.stack([listing.prices_at(rows, at) for at in np.linspace(opens, until, _DAY_SAMPLES)])
    day = DayPrices(
        open=samples[0],
        high=samples.max(axis=0),
        low=samples.min(axis=0),
        last=samples[-1],
        previous_close=listing.prices_at(rows, session.previous_close.timestamp()),
        elapsed=(until - opens) / (closes - opens),
    )
    begin_session(listing.state, rows, day=day, at=int(until), traded=listing.traded[rows])


def carry_over(old: Listing, new: Listing) -> None:
    """Copies what `/_sim/market` has set (prices, frozen, liquidity) for instruments that are listed on both days."""
    _, before, after = np.intersect1d(old.tokens, new.tokens, return_indices=True)
    for name in ("scale", "frozen", "liquidity"):
        getattr(new.state, name)[after] = getattr(old.state, name)[before]
    new.state.ticks["last_price"][after] = old.state.ticks["last_price"][before]
