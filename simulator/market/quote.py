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
    """Prices are exact Decimals in rupees, times are aware in IST. An index has quantities of 0 and empty levels."""

    instrument_token: int
    timestamp: datetime
    """Of the last change."""
    last_trade_time: datetime | None
    """None before the first trade."""
    last_price: Decimal
    last_quantity: int
    """Of the last trade."""
    average_price: Decimal
    """Of the day's trades, by volume."""
    volume: int
    """Traded today."""
    buy_quantity: int
    """Of all buy orders, beyond the five levels too."""
    sell_quantity: int
    """Of all sell orders."""
    open: Decimal
    """The day's first price."""
    high: Decimal
    """The day's highest price."""
    low: Decimal
    """The day's lowest price."""
    close: Decimal
    """Of the previous session."""
    oi: int
    """Open interest; 0 for what is no derivative."""
    oi_day_high: int
    oi_day_low: int
    lower_circuit_limit: Decimal
    """The lowest price of an order today."""
    upper_circuit_limit: Decimal
    """The highest price of an order today."""
    buy: tuple[DepthLevel, ...]
    """Five levels, best first."""
    sell: tuple[DepthLevel, ...]
    """Five levels, best first."""

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
