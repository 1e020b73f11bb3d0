"""An instrument or index, and the arithmetic of its token and prices.

The token has the segment in its low byte, and the segment decides the price divisor (Kite Connect, WebSocket
streaming). In the market's columns a price is an integer count of 1/divisor rupees ("units"); elsewhere it is a
Decimal.
"""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import IntEnum
from typing import Final, Literal

InstrumentType = Literal["EQ", "FUT", "CE", "PE"]

EQUITY: Final = frozenset({"NSE", "BSE"})
EQUITY_DERIVATIVES: Final = frozenset({"NFO", "BFO"})
CURRENCY: Final = frozenset({"CDS", "BCD"})
COMMODITY: Final = frozenset({"MCX", "NCO"})
EXCHANGES: Final = ("NSE", "BSE", "NFO", "BFO", "CDS", "BCD", "MCX", "NCO")
"""All of these, in Kite's order."""


class Segment(IntEnum):
    """The low byte of an instrument token."""

    NSE = 1
    NFO = 2
    CDS = 3
    BSE = 4
    BFO = 5
    BCD = 6
    MCX = 7
    INDICES = 9
    NCO = 12


DIVISORS: dict[Segment, int] = {
    Segment.NSE: 100,
    Segment.NFO: 100,
    Segment.CDS: 10_000_000,
    Segment.BSE: 100,
    Segment.BFO: 100,
    Segment.BCD: 10_000,
    Segment.MCX: 100,
    Segment.INDICES: 100,
    Segment.NCO: 10_000,
}

INDEX_STEP_UNITS = 5


@dataclass(frozen=True, slots=True)
class Instrument:
    """A row of the instrument dump, with Kite's field names, and what the exchange needs in addition."""

    exchange: str
    """Of an index: NSE or BSE."""
    tradingsymbol: str
    name: str
    """The company's, or the underlying's of a derivative."""
    exchange_token: int
    segment_id: Segment
    """The segment as a number; it decides the price divisor."""
    segment: str
    """Kite's name of it, such as `NSE` or `NFO-OPT`; of an index: INDICES."""
    instrument_type: InstrumentType
    underlying: str
    """The spot whose price it follows (`NIFTY 50`, `INFY`, `CRUDEOIL`); for equity and indices the symbol itself."""
    tick_size: Decimal
    """0 for an index."""
    lot_size: int
    expiry: date | None = None
    strike: Decimal = Decimal(0)
    """0 without one."""
    freeze_quantity: int = 0
    """The largest quantity of one order; 0: no limit."""

    @property
    def instrument_token(self) -> int:
        return self.exchange_token * 256 + self.segment_id

    @property
    def divisor(self) -> int:
        """Units in a rupee."""
        return DIVISORS[self.segment_id]

    @property
    def tradable(self) -> bool:
        return self.segment_id is not Segment.INDICES

    @property
    def tick_units(self) -> int:
        """The smallest price step in units; an index, which has no tick size, moves by 0.05."""
        return int(self.tick_size * self.divisor) or INDEX_STEP_UNITS

    def to_units(self, price: Decimal) -> int:
        """The price in units. Raises ValueError when it is finer than a unit."""
        units = price * self.divisor
        if units != units.to_integral_value():
            raise ValueError(f"{self.exchange}:{self.tradingsymbol}: price {price} is finer than 1/{self.divisor}")
        return int(units)

    def to_price(self, units: int) -> Decimal:
        """The price in rupees."""
        return Decimal(units) / self.divisor

    def is_on_tick(self, price: Decimal) -> bool:
        """Whether it is a multiple of the tick size; always for an index."""
        return price % self.tick_size == 0 if self.tick_size else True
