"""A picture of one instrument at one moment: what REST quotes show and what orders are matched against."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal


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
