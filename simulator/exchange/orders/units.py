"""What a quantity and a price mean on each exchange: the step of a quantity, the multiplier of a position, the tick.

On MCX and in currency an order's quantity counts lots and the position's value scales by the units in a lot; everywhere
else a quantity counts shares or units, in multiples of the lot size.
"""

from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Final, Literal

from simulator.market.instrument import Instrument

LOT_COUNTED: Final = frozenset({"MCX", "CDS", "BCD"})
COMMODITY: Final = frozenset({"MCX"})
EQUITY_CASH: Final = frozenset({"NSE", "BSE"})
DERIVATIVES: Final = frozenset({"NFO", "BFO", "MCX", "CDS", "BCD"})

LOT_UNITS: Final = {
    "GOLD": 100,
    "GOLDM": 10,
    "SILVER": 30,
    "SILVERM": 5,
    "CRUDEOIL": 100,
    "CRUDEOILM": 10,
    "NATURALGAS": 1_250,
    "COPPER": 2_500,
    "ZINC": 5_000,
    "ALUMINIUM": 5_000,
    "LEAD": 5_000,
    "MENTHAOIL": 360,
    "USDINR": 1_000,
    "EURINR": 1_000,
    "GBPINR": 1_000,
    "JPYINR": 1_000,
}
"""Quoted units in a lot where quantities count lots: the dump's `lot_size` is 1 there and does not say it."""

FundSegment = Literal["equity", "commodity"]


def quantity_step(instrument: Instrument) -> int:
    """Every order quantity is a multiple of this."""
    return 1 if instrument.exchange in LOT_COUNTED else instrument.lot_size


def multiplier(instrument: Instrument) -> int:
    """Rupees of value for one of quantity and one rupee of price."""
    return LOT_UNITS.get(instrument.underlying, 1) if instrument.exchange in LOT_COUNTED else 1


def fund_segment(instrument: Instrument) -> FundSegment:
    """Which of the two purses pays."""
    return "commodity" if instrument.exchange in COMMODITY else "equity"


def is_option(instrument: Instrument) -> bool:
    return instrument.instrument_type in ("CE", "PE")


def round_to_tick(price: Decimal, *, tick_size: Decimal, toward: Literal["up", "down"]) -> Decimal:
    """The nearest multiple of the tick above or below, never under one tick."""
    if not tick_size:
        return price
    steps = (price / tick_size).to_integral_value(rounding=ROUND_CEILING if toward == "up" else ROUND_FLOOR)
    return max(steps, Decimal(1)) * tick_size
