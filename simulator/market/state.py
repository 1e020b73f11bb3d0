"""The present quotes of all instruments in columns, and how they change: a session begins, instruments tick.

The fields of the table are the 46 words of Kite's 184-byte packet in their order, so that a batch of packets is one
converting copy of rows. Prices are in units; everything has 32 bits, as on the wire. The functions change the arrays in
place, and use nothing but their arguments: prices, times and random numbers are given.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from simulator.market.instrument import Instrument
from simulator.market.prices import Floats, Hashes, Ints, hash_values

DEPTH_LEVELS = 5
TICK = np.dtype(
    [
        ("token", "u4"),
        ("last_price", "u4"),
        ("last_quantity", "u4"),
        ("average_price", "u4"),
        ("volume", "u4"),
        ("buy_quantity", "u4"),
        ("sell_quantity", "u4"),
        ("open", "u4"),
        ("high", "u4"),
        ("low", "u4"),
        ("close", "u4"),
        ("last_trade_time", "u4"),
        ("oi", "u4"),
        ("oi_day_high", "u4"),
        ("oi_day_low", "u4"),
        ("timestamp", "u4"),
        (
            "depth",  # five buy levels, best first, then five sell levels
            [("quantity", "u4"), ("price", "u4"), ("orders", "u4")],  # orders stand in the upper 16 bits
            (2 * DEPTH_LEVELS,),
        ),
    ]
)
LAST_PRICE_IS_ASK = np.uint64(1 << 8)  # the bit of a random word that says that the last trade was a buy
ORDERS_SHIFT = 16
SEEDED = -1  # liquidity that is simulated
UINT32_MAX = 2**32 - 1
_LEVELS = np.arange(DEPTH_LEVELS)
_DEPTH_SHIFTS = (np.arange(2 * DEPTH_LEVELS) * 4 + 20).astype(np.uint64)
_LOW_NIBBLE = np.uint64(15)


@dataclass(frozen=True, slots=True)
class State:
    """Columns with a row for each instrument of the listing."""

    ticks: npt.NDArray[np.void]
    """What a full packet shows, by the names of `TICK`."""
    words: npt.NDArray[np.uint32]
    """The memory of `ticks` as a matrix of the packet's 46 words."""
    turnover: Floats
    """Of the day, in units times quantity; the average price is computed from it."""
    liquidity: Ints
    """The quantity that `/_sim/market` has set on each side of the book; `SEEDED`: the simulated one."""
    frozen: npt.NDArray[np.bool_]
    """Whether `/_sim/market` has frozen the price."""
    scale: Floats
    """The factor on the path's price that makes it go on from a price that was set."""
    lower_circuit: Ints
    """In units, as `upper_circuit`; 0 for an index."""
    upper_circuit: Ints
    """The highest price of an order."""
    lot_size: Ints
    """At least 1."""
    tick_units: Ints
    """The smallest price step in units."""
    tradable: npt.NDArray[np.bool_]
    """False for an index."""
    derivative: npt.NDArray[np.bool_]
    """A future or option."""
    option: npt.NDArray[np.bool_]
    """A call or put."""
    keys: Hashes
    """A hash of the token: what differs between instruments by chance is derived from it."""


def new_state(instruments: Sequence[Instrument]) -> State:
    """The columns before any session: everything 0 but the tokens, nothing frozen, simulated liquidity."""
    count = len(instruments)
    tokens = np.array([item.instrument_token for item in instruments], dtype=np.int64)
    ticks = np.zeros(count, dtype=TICK)
    ticks["token"] = tokens
    return State(
        ticks=ticks,
        words=ticks.view(np.uint32).reshape(count, -1),
        turnover=np.zeros(count),
        liquidity=np.full(count, SEEDED, dtype=np.int64),
        frozen=np.zeros(count, dtype=np.bool_),
        scale=np.ones(count),
        lower_circuit=np.zeros(count, dtype=np.int64),
        upper_circuit=np.zeros(count, dtype=np.int64),
        lot_size=np.array([max(item.lot_size, 1) for item in instruments], dtype=np.int64),
        tick_units=np.array([item.tick_units for item in instruments], dtype=np.int64),
        tradable=np.array([item.tradable for item in instruments], dtype=np.bool_),
        derivative=np.array([item.instrument_type != "EQ" for item in instruments], dtype=np.bool_),
        option=np.array([item.instrument_type in {"CE", "PE"} for item in instruments], dtype=np.bool_),
        keys=hash_values(tokens.astype(np.uint64)),
    )


def copy_of(state: State) -> State:
    """A state that changes apart from `state`; the columns that never change are those of `state`."""
    ticks = state.ticks.copy()
    return replace(
        state,
        ticks=ticks,
        words=ticks.view(np.uint32).reshape(len(ticks), -1),
        turnover=state.turnover.copy(),
        liquidity=state.liquidity.copy(),
        frozen=state.frozen.copy(),
        scale=state.scale.copy(),
        lower_circuit=state.lower_circuit.copy(),
        upper_circuit=state.upper_circuit.copy(),
    )


@dataclass(frozen=True, slots=True)
class DayPrices:
    """A session so far, in units, with an entry for each row; `elapsed` is the part of it that is over, 0 to 1."""

    open: Ints
    high: Ints
    low: Ints
    last: Ints
    previous_close: Ints
    elapsed: float


def begin_session(state: State, rows: Ints, *, day: DayPrices, at: int, traded: npt.NDArray[np.bool_]) -> None:
    """Sets `rows` to the state of a session at `at` (epoch seconds). A row that is not `traded` has no trade.

    A frozen row that has a price keeps it as its open, high, low and last price.
    """
    ticks = state.ticks
    present = ticks["last_price"][rows].astype(np.int64)
    kept = state.frozen[rows] & (present > 0)
    zero_unless = traded.astype(np.int64)
    ticks["last_price"][rows] = np.where(kept, present, np.where(traded, day.last, day.previous_close))
    for name in ("open", "high", "low"):
        ticks[name][rows] = np.where(kept, present, getattr(day, name)) * zero_unless
    ticks["close"][rows] = day.previous_close
    ticks["timestamp"][rows] = at
    ticks["last_trade_time"][rows] = at * zero_unless
    _begin_volume(state, rows, average=(day.open + day.last) // 2, share=day.elapsed * traded)
    _begin_oi(state, rows)
    _limit_prices(state, rows, previous_close=day.previous_close)
    set_depth(state, rows, words=state.keys[rows])


def _begin_volume(state: State, rows: Ints, *, average: Ints, share: npt.NDArray[np.floating]) -> None:
    ticks, lots = state.ticks, state.lot_size[rows]
    volume = (day_volume(state, rows) * share).astype(np.int64) // lots * lots
    ticks["volume"][rows] = volume
    ticks["average_price"][rows] = np.where(volume > 0, average, 0)
    ticks["last_quantity"][rows] = np.where(volume > 0, lots, 0)
    state.turnover[rows] = volume * average.astype(np.float64)


def day_volume(state: State, rows: Ints) -> Ints:
    """The quantity that each row trades in a whole session; 0 for an index."""
    lots = 2_000 + (state.keys[rows] % np.uint64(60_000)).astype(np.int64)
    scale = np.where(state.lot_size[rows] == 1, 20, 1)
    return np.asarray(lots * scale * state.lot_size[rows] * state.tradable[rows], dtype=np.int64)


def _begin_oi(state: State, rows: Ints) -> None:
    oi = day_volume(state, rows) // 2 * state.derivative[rows]
    for name in ("oi", "oi_day_high", "oi_day_low"):
        state.ticks[name][rows] = oi


def _limit_prices(state: State, rows: Ints, *, previous_close: Ints) -> None:
    """The circuit limits of a day: 20 % around the previous close; for options, from one tick to twenty times it."""
    tick, option = state.tick_units[rows], state.option[rows]
    lowest = np.where(option, 0, previous_close - previous_close // 5)
    highest = np.where(option, previous_close * 20, previous_close + previous_close // 5)
    set_circuits(state, rows, lowest=lowest, highest=np.maximum(highest, option * 400 * tick))


def set_circuits(state: State, rows: Ints, *, lowest: Ints, highest: Ints) -> None:
    """Sets the circuit limits: the nearest ticks inside the band, at least one tick; 0 for an index."""
    tick, tradable = state.tick_units[rows], state.tradable[rows]
    state.lower_circuit[rows] = np.maximum(-(-lowest // tick), 1) * tick * tradable
    state.upper_circuit[rows] = np.minimum(highest // tick, UINT32_MAX // tick) * tick * tradable


def apply_ticks(state: State, rows: Ints, *, prices: Ints, words: Hashes, at: int) -> npt.NDArray[np.bool_]:
    """Trades each row once at its price within the circuit limits. Returns for which rows the last price changed.

    `words` are random numbers, one for each row; `at` is in epoch seconds.
    """
    ticks, tradable = state.ticks, state.tradable[rows]
    limited = np.clip(prices, state.lower_circuit[rows], state.upper_circuit[rows])
    prices = np.where(tradable, limited, prices)
    changed = ticks["last_price"][rows] != prices
    quantity = state.lot_size[rows] * (1 + (words & _LOW_NIBBLE)).astype(np.int64) * tradable
    add_trades(state, rows, prices=prices, quantity=quantity, at=at)
    _drift_oi(state, rows, words=words)
    set_depth(state, rows, words=words)
    return np.asarray(changed, dtype=np.bool_)


def add_trades(state: State, rows: Ints, *, prices: Ints, quantity: Ints, at: int) -> None:
    """Adds a trade to each row: last price, quantity, time, volume, average price and day range."""
    ticks = state.ticks
    volume = np.minimum(ticks["volume"][rows] + quantity, UINT32_MAX)
    turnover = state.turnover[rows] + prices.astype(np.float64) * quantity
    state.turnover[rows] = turnover
    low, start = ticks["low"][rows], ticks["open"][rows]
    ticks["last_price"][rows] = prices
    ticks["last_quantity"][rows] = quantity
    ticks["volume"][rows] = volume
    ticks["average_price"][rows] = turnover / np.maximum(volume, 1)
    ticks["open"][rows] = np.where(start == 0, prices, start)
    ticks["high"][rows] = np.maximum(ticks["high"][rows], prices)
    ticks["low"][rows] = np.where(low == 0, prices, np.minimum(low, prices))
    ticks["last_trade_time"][rows] = at
    ticks["timestamp"][rows] = at


def _drift_oi(state: State, rows: Ints, *, words: Hashes) -> None:
    ticks = state.ticks
    lots = ((words >> np.uint64(4)) & _LOW_NIBBLE).astype(np.int64) - 7
    oi = np.maximum(ticks["oi"][rows] + lots * state.lot_size[rows] * state.derivative[rows], 0)
    ticks["oi"][rows] = oi
    ticks["oi_day_high"][rows] = np.maximum(ticks["oi_day_high"][rows], oi)
    ticks["oi_day_low"][rows] = np.minimum(ticks["oi_day_low"][rows], oi)


def set_depth(state: State, rows: Ints, *, words: Hashes) -> None:
    """Sets five levels on each side, one tick apart. A bit of the word makes the last price the best ask or bid."""
    tick = state.tick_units[rows][:, None]
    bought = ((words & LAST_PRICE_IS_ASK) > 0).astype(np.int64)[:, None]
    best_bid = state.ticks["last_price"][rows].astype(np.int64)[:, None] - bought * tick
    prices = np.concatenate((best_bid - _LEVELS * tick, best_bid + tick + _LEVELS * tick), axis=1)
    nibbles = (hash_values(words)[:, None] >> _DEPTH_SHIFTS & _LOW_NIBBLE).astype(np.int64) + 1
    live = (prices > 0) & state.tradable[rows][:, None]
    quantity = nibbles * (state.lot_size[rows] * _quantity_scale(state, rows))[:, None]
    chosen = state.liquidity[rows]
    if (chosen != SEEDED).any():
        quantity = _replace_depth(quantity, chosen=chosen)
    quantity = np.where(live, quantity, 0)
    depth = state.ticks["depth"]
    depth["quantity"][rows] = quantity
    depth["price"][rows] = np.where(quantity > 0, prices, 0)
    depth["orders"][rows] = np.where(quantity > 0, nibbles << ORDERS_SHIFT, 0)
    hidden = np.where(chosen == SEEDED, 10, 1)
    state.ticks["buy_quantity"][rows] = quantity[:, :DEPTH_LEVELS].sum(axis=1) * hidden
    state.ticks["sell_quantity"][rows] = quantity[:, DEPTH_LEVELS:].sum(axis=1) * hidden


def _quantity_scale(state: State, rows: Ints) -> Ints:
    return np.where(state.lot_size[rows] == 1, 25, 2)


def _replace_depth(quantity: Ints, *, chosen: Ints) -> Ints:
    """Rows whose liquidity was set have all of it at the best level of each side."""
    only = np.zeros_like(quantity)
    only[:, 0] = only[:, DEPTH_LEVELS] = chosen
    return np.where((chosen == SEEDED)[:, None], quantity, only)
