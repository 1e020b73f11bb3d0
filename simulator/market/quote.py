"""The quote of one instrument at one moment, with exact prices: orders are checked and matched against it."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from simulator.clock import IST
from simulator.market.instrument import Instrument
from simulator.market.state import DEPTH_LEVELS, ORDERS_SHIFT, State


@dataclass(frozen=True, slots=True)
class DepthLevel:
    """One of five price levels of a side; an empty level has quantity 0 and price 0."""

    price: Decimal
    quantity: int
    orders: int


@dataclass(frozen=True, slots=True)
class Quote:
    """Prices are exact Decimals, times aware IST. `close` is the previous session's close.

    `buy` and `sell` have five levels each, best first. All quantities and all levels of an index are zero.
    """

    instrument_token: int
    timestamp: datetime
    last_trade_time: datetime | None
    last_price: Decimal
    last_quantity: int
    average_price: Decimal
    volume: int
    buy_quantity: int
    sell_quantity: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    oi: int
    oi_day_high: int
    oi_day_low: int
    lower_circuit_limit: Decimal
    upper_circuit_limit: Decimal
    buy: tuple[DepthLevel, ...]
    sell: tuple[DepthLevel, ...]

    @property
    def net_change(self) -> Decimal:
        return self.last_price - self.close


def read_quote(instrument: Instrument, state: State, *, row: int) -> Quote:
    """The quote in `row` of the columns, which belongs to `instrument`."""
    words: list[int] = state.words[row].tolist()  # in the order of `state.TICK`
    _, last, quantity, average, volume, buy_quantity, sell_quantity, opened, high, low, close, traded_at = words[:12]
    oi, oi_day_high, oi_day_low, at = words[12:16]
    price = instrument.to_price
    levels = tuple(
        DepthLevel(price(paid), offered, orders >> ORDERS_SHIFT)
        for offered, paid, orders in zip(words[16::3], words[17::3], words[18::3], strict=True)
    )
    return Quote(
        instrument_token=instrument.instrument_token,
        timestamp=datetime.fromtimestamp(at, IST),
        last_trade_time=datetime.fromtimestamp(traded_at, IST) if traded_at else None,
        last_price=price(last),
        last_quantity=quantity,
        average_price=price(average),
        volume=volume,
        buy_quantity=buy_quantity,
        sell_quantity=sell_quantity,
        open=price(opened),
        high=price(high),
        low=price(low),
        close=price(close),
        oi=oi,
        oi_day_high=oi_day_high,
        oi_day_low=oi_day_low,
        lower_circuit_limit=price(int(state.lower_circuit[row])),
        upper_circuit_limit=price(int(state.upper_circuit[row])),
        buy=levels[:DEPTH_LEVELS],
        sell=levels[DEPTH_LEVELS:],
    )
