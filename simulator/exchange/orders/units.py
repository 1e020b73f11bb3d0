"""The units of each exchange: the step of a quantity, the multiplier of a position, the tick of a price.

In commodity and in currency an order's quantity counts lots, and the position's value is scaled by the units in a lot.
Everywhere else a quantity counts shares or units, in multiples of the lot size.
"""

from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Final, Literal, get_args

from simulator.market.instrument import COMMODITY, CURRENCY, EQUITY_DERIVATIVES, Instrument

LOT_COUNTED: Final = COMMODITY | CURRENCY
"""The exchanges where a quantity counts lots."""
DERIVATIVES: Final = EQUITY_DERIVATIVES | CURRENCY | COMMODITY

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
    "NATGASMINI": 250,
    "ALUMINI": 1_000,
    "USDINR": 1_000,
    "EURINR": 1_000,
    "GBPINR": 1_000,
    "JPYINR": 1_000,
}
"""Quoted units in a lot, where quantities count lots. The instrument dump has `lot_size` 1 for them."""

FundSegment = Literal["equity", "commodity"]
FUND_SEGMENTS: Final[tuple[FundSegment, ...]] = get_args(FundSegment)


def quantity_step(instrument: Instrument) -> int:
    """Every order quantity is a multiple of this: the lot size, or 1 where quantities count lots."""
    return 1 if instrument.exchange in LOT_COUNTED else instrument.lot_size


def multiplier(instrument: Instrument) -> int:
    """The value in rupees of quantity 1 at a price of one rupee."""
    return LOT_UNITS.get(instrument.underlying, 1) if instrument.exchange in LOT_COUNTED else 1


def fund_segment(instrument: Instrument) -> FundSegment:
    """Which of Kite's two fund segments pays for the instrument."""
    return "commodity" if instrument.exchange in COMMODITY else "equity"


def is_option(instrument: Instrument) -> bool:
    """Whether the instrument is a call or put."""
    return instrument.instrument_type in ("CE", "PE")


def round_to_tick(price: Decimal, *, tick_size: Decimal, toward: Literal["up", "down"]) -> Decimal:
    """The nearest multiple of the tick above or below, and at least one tick; `price` itself where there is no tick."""
    if not tick_size:
        return price
    steps = (price / tick_size).to_integral_value(rounding=ROUND_CEILING if toward == "up" else ROUND_FLOOR)
    return max(steps, Decimal(1)) * tick_size
