"""The market: instruments by token, quotes, steps in time, and listeners for changes."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal

import numpy as np
import numpy.typing as npt

from simulator.clock import IST
from simulator.market.instrument import Instrument, Segment
from simulator.market.listing import Listing, carry_over, due_sessions, open_listing, start_session
from simulator.market.prices import Ints
from simulator.market.quote import Quote, read_quote
from simulator.market.recorded_packets import apply_packets
from simulator.market.rotation import Rotation, join_changes
from simulator.market.sessions import Phase, Session, SessionMode, phase_at, session_at
from simulator.market.state import LAST_PRICE_IS_ASK, State, add_trades, apply_ticks, set_circuits, set_depth
from simulator.market.universe import UniverseSize

BACKGROUND_PERIOD_S = 2.0

RowListener = Callable[[Ints, npt.NDArray[np.bool_]], None]
TokenListener = Callable[[Sequence[int]], None]


class Market:
    """Every instrument of the day with its present quote. Not thread-safe: one event loop owns it.

    `step` is deterministic: the same seed, start and sequence of calls give the same prices. The subscribed instruments
    together change `ticks_per_second` times a second (each at most once in a step), each other one about every two
    seconds. With 0 only `set_price` and `record_trade` change anything.
    """

    def __init__(
        self,
        *,
        seed: int,
        now: datetime,
        sessions: SessionMode = "always",
        ticks_per_second: float = 500.0,
        universe: UniverseSize = "small",
    ) -> None:
        """`now` is aware. Raises ValueError for negative ticks_per_second."""
        self._seed = seed
        self._mode: SessionMode = sessions
        self._universe: UniverseSize = universe
        self._token_listeners: list[TokenListener] = []
        self._row_listeners: list[RowListener] = []
        self._day_listeners: list[Callable[[], None]] = []
        self._day_end_listeners: list[Callable[[], None]] = []
        self.ticks_per_second = ticks_per_second
        self.reset(now)

    def reset(self, now: datetime) -> None:
        """Begins the day again at `now`: without what `set_price` has set, and with the random numbers of the start."""
        self._random = np.random.default_rng(self._seed)
        self._start_day(open_listing(now.astimezone(IST).date(), seed=self._seed, size=self._universe), now)

    def _roll_day(self, now: datetime) -> Sequence[int]:
        for on_day_end in self._day_end_listeners:
            on_day_end()
        listing = open_listing(now.astimezone(IST).date(), seed=self._seed, size=self._universe)
        carry_over(self._listing, listing)
        self._start_day(listing, now)
        every_row = np.arange(len(listing.tokens))
        return self._notify(every_row, np.ones(len(every_row), dtype=np.bool_))

    def _start_day(self, listing: Listing, now: datetime) -> None:
        self._listing = listing
        self._sessions: dict[Segment, Session] = {}
        self._pending: dict[int, bool] = {}  # rows of the exchange's trades, and whether the last price moved
        self._last_step = now
        self._start_due_sessions(now)
        self.set_subscribed(np.empty(0, dtype=np.int64))
        for on_new_day in self._day_listeners:
            on_new_day()

    def _start_due_sessions(self, now: datetime) -> Ints:
        """Starts the sessions that have come due; returns their rows."""
        started = []
        for session, segments in due_sessions(self._sessions, now, mode=self._mode).items():
            rows = np.flatnonzero(np.isin(self._listing.segments, segments))
            start_session(self._listing, rows, session=session, now=now)
            self._sessions.update(dict.fromkeys(segments, session))
            started.append(rows)
        return np.concatenate(started) if started else np.empty(0, dtype=np.int64)

    @property
    def ticks_per_second(self) -> float:
        return self._ticks_per_second

    @ticks_per_second.setter
    def ticks_per_second(self, rate: float) -> None:
        if not rate >= 0:
            raise ValueError(f"ticks_per_second must not be negative, got {rate}")
        self._ticks_per_second = rate

    @property
    def instruments(self) -> Mapping[int, Instrument]:
        """By instrument token; replaced by a new mapping when the trading day changes."""
        return self._listing.by_token

    @property
    def listing(self) -> Listing:
        """The day's instruments in the order of their rows, with the models behind their prices."""
        return self._listing

    @property
    def state(self) -> State:
        """The columns themselves, for reading only."""
        return self._listing.state

    @property
    def sessions(self) -> SessionMode:
        return self._mode

    def find(self, exchange: str, tradingsymbol: str) -> Instrument | None:
        """The instrument that is listed today; None when there is none."""
        return self._listing.by_symbol.get((exchange, tradingsymbol))

    def quote(self, token: int) -> Quote:
        """The present quote. Raises KeyError for an unknown token."""
        row = self._listing.row_of[token]
        return read_quote(self._listing.instruments[row], self.state, row=row)

    def last_price(self, token: int) -> Decimal:
        """In rupees. Raises KeyError for an unknown token."""
        row = self._listing.row_of[token]
        return self._listing.instruments[row].to_price(int(self.state.ticks["last_price"][row]))

    def is_open(self, token: int, now: datetime) -> bool:
        """Whether the instrument's segment trades at `now` (always true with sessions `always`)."""
        segment = self._listing.by_token[token].segment_id
        return session_at(segment, now, mode=self._mode).is_open(now)

    def phase(self, token: int, now: datetime) -> Phase:
        """Whether the instrument's segment is closed, collects orders or trades at `now`."""
        return phase_at(self._listing.by_token[token].segment_id, now, mode=self._mode)

    def session(self, token: int, now: datetime) -> Session:
        """The session under way at `now`, or the last one before it."""
        return session_at(self._listing.by_token[token].segment_id, now, mode=self._mode)

    def set_price(
        self,
        token: int,
        last_price: Decimal | None = None,
        *,
        frozen: bool | None = None,
        liquidity: int | None = None,
    ) -> None:
        """Sets price, freeze and liquidity of an instrument; None does not change a thing.

        `frozen`: the price does not change until it is unfrozen. `liquidity`: the whole quantity on each side of the
        book, all of it at the best price (0: an empty book). The last price becomes the best ask. Raises KeyError for
        an unknown token, and ValueError for negative liquidity or a price that is not positive or not on the tick size;
        nothing is changed then.
        """
        row = self._listing.row_of[token]
        units = None if last_price is None else self._check_price(row, last_price)
        if liquidity is not None and liquidity < 0:
            raise ValueError(f"liquidity must not be negative, got {liquidity}")
        rows = np.array([row])
        before = self.state.ticks["last_price"][row]
        if liquidity is not None:
            self.state.liquidity[row] = liquidity
        if frozen is not None:
            self.state.frozen[row] = frozen
        if units is not None:
            self._move_price(rows, units)
        if units is not None or frozen is False:
            self._anchor_path(rows)
        set_depth(self.state, rows, words=self.state.keys[rows] | LAST_PRICE_IS_ASK)
        self._notify(rows, self.state.ticks["last_price"][rows] != before)

    def set_circuits(self, token: int, *, lower: Decimal | None = None, upper: Decimal | None = None) -> None:
        """Sets circuit limits, which a price that is set later may widen; None: as it is. Raises KeyError."""
        row = self._listing.row_of[token]
        rows, instrument = np.array([row]), self._listing.instruments[row]
        lowest = self.state.lower_circuit[rows] if lower is None else np.array([instrument.to_units(lower)])
        highest = self.state.upper_circuit[rows] if upper is None else np.array([instrument.to_units(upper)])
        set_circuits(self.state, rows, lowest=lowest, highest=highest)

    def _check_price(self, row: int, price: Decimal) -> int:
        instrument = self._listing.instruments[row]
        if not price.is_finite() or price <= 0 or not instrument.is_on_tick(price):
            raise ValueError(
                f"{instrument.exchange}:{instrument.tradingsymbol}: last_price {price} "
                f"must be a positive multiple of the tick size {instrument.tick_size}"
            )
        return instrument.to_units(price)

    def _move_price(self, rows: Ints, units: int) -> None:
        state = self.state
        at = int(self._last_step.timestamp())
        add_trades(state, rows, prices=np.array([units]), quantity=np.zeros(1, dtype=np.int64), at=at)
        # the limits are at least 20 % away from a price that was set, whatever the previous close was
        lowest = np.minimum(state.lower_circuit[rows], units * 4 // 5)
        highest = np.maximum(state.upper_circuit[rows], units * 6 // 5)
        set_circuits(state, rows, lowest=lowest, highest=highest)

    def _anchor_path(self, rows: Ints) -> None:
        """Lets the path go on from the present price."""
        path = self._listing.model.prices(rows, self._last_step.timestamp())
        self.state.scale[rows] = self.state.ticks["last_price"][rows] / path

    def show(self, packets: Sequence[bytes]) -> None:
        """Applies recorded packets and notifies the listeners."""
        rows, changed = apply_packets(self.state, self._listing.row_of, packets)
        if rows.size:
            self._notify(rows, changed)

    def set_subscribed(self, rows: Ints) -> None:
        """Sets the rows on which `ticks_per_second` is spent; they replace the previous ones."""
        alive = self._listing.traded.copy()
        alive[rows] = False
        traded = rows[self._listing.traded[rows]]
        self._foreground = Rotation(traded, random=self._random)
        self._background = Rotation(np.flatnonzero(alive), random=self._random)

    @property
    def subscribed_count(self) -> int:
        return self._foreground.size

    def step(self, now: datetime) -> Sequence[int]:
        """Moves prices to `now` and notifies the listeners; returns the tokens whose quote changed."""
        if now.astimezone(IST).date() != self._listing.day:
            return self._roll_day(now)
        started = self._start_due_sessions(now)
        rows, changed = self._trade(now)
        self._last_step = now
        if started.size or self._pending:
            rows, changed = join_changes(rows, changed, started=started, pending=self._pending)
            self._pending.clear()
        return self._notify(rows, changed) if rows.size else ()

    def _trade(self, now: datetime) -> tuple[Ints, npt.NDArray[np.bool_]]:
        elapsed = max(0.0, (now - self._last_step).total_seconds())
        rows = self._choose_rows(elapsed, now)
        if not rows.size:
            return rows, np.empty(0, dtype=np.bool_)
        at = now.timestamp()
        words = self._random.integers(0, 2**64, size=len(rows), dtype=np.uint64)
        prices = self._listing.prices_at(rows, at)
        return rows, apply_ticks(self.state, rows, prices=prices, words=words, at=int(at))

    def _choose_rows(self, elapsed: float, now: datetime) -> Ints:
        if self._ticks_per_second == 0:
            return np.empty(0, dtype=np.int64)
        subscribed = self._foreground.take(self._ticks_per_second * elapsed)
        others = self._background.take(self._background.size * elapsed / BACKGROUND_PERIOD_S)
        rows = np.concatenate((subscribed, others))
        rows = rows[~self.state.frozen[rows]]
        closed = [segment for segment, session in self._sessions.items() if not session.is_open(now)]
        return rows[~np.isin(self._listing.segments[rows], closed)] if closed else rows

    def _notify(self, rows: Ints, last_price_changed: npt.NDArray[np.bool_]) -> Sequence[int]:
        tokens: list[int] = self._listing.tokens[rows].tolist()
        for on_rows in self._row_listeners:
            on_rows(rows, last_price_changed)
        for on_tokens in self._token_listeners:
            on_tokens(tokens)
        return tokens

    def on_change(self, listener: TokenListener) -> None:
        """Calls `listener(tokens)` after every `step` and `set_price`; recorded trades come with the next step."""
        self._token_listeners.append(listener)

    def on_rows(self, listener: RowListener) -> None:
        """Calls `listener(rows, last_price_changed)` at the same times: rows of `listing`, and a flag for each."""
        self._row_listeners.append(listener)

    def on_new_day(self, listener: Callable[[], None]) -> None:
        """Calls `listener` after instruments and rows were replaced; earlier row numbers are not valid any more."""
        self._day_listeners.append(listener)

    def on_day_end(self, listener: Callable[[], None]) -> None:
        """Calls `listener` before instruments and rows are replaced, while the old day's prices are still there."""
        self._day_end_listeners.append(listener)

    def record_trade(self, token: int, price: Decimal, quantity: int, at: datetime) -> None:
        """Adds a trade of the exchange to last price, last quantity, volume, average price and day range.

        A frozen instrument keeps its last price. Listeners are notified in the next step, so that the exchange may call
        this while it handles a change.
        """
        row = self._listing.row_of[token]
        units = self._listing.instruments[row].to_units(price)
        if self.state.frozen[row]:
            units = int(self.state.ticks["last_price"][row])
        moved = units != self.state.ticks["last_price"][row]
        prices, quantities = np.array([units]), np.array([quantity])
        add_trades(self.state, np.array([row]), prices=prices, quantity=quantities, at=int(at.timestamp()))
        self._pending[row] = self._pending.get(row, False) or bool(moved)
