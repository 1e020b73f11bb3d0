"""The margin rule: how much an instrument's positions and open orders block. Pure.

Placement, `/user/margins` and `/margins/*` use the same rule. For each instrument and product, what is blocked is the
larger of what the long side and what the short side would need if every open order of that side were filled: a closing
order needs nothing, and two opposite orders are not paid for twice. The rate is a share of the value (`RATES`). A
bought option costs its premium, a sold one a share of its strike value. An order needs what it adds to the blocked
amount. Charges are displayed and not taken from the funds.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, Literal

from simulator.exchange.orders.request import OrderRequest, TransactionType
from simulator.exchange.orders.units import is_option, multiplier
from simulator.market.instrument import EQUITY, Instrument

ZERO: Final = Decimal(0)
RATES: Final = {
    "CNC": Decimal(1),
    "MTF": Decimal("0.25"),
    "MIS": Decimal("0.20"),
    "CO": Decimal("0.20"),
    "NFO": Decimal("0.15"),
    "BFO": Decimal("0.15"),
    "MCX": Decimal("0.10"),
    "NCO": Decimal("0.10"),
    "CDS": Decimal("0.04"),
    "BCD": Decimal("0.04"),
}
"""The share of the value that is blocked: by product for equity, by exchange for derivatives."""
SPAN_SHARE: Final = Decimal("0.8")
"""The share of a derivative's margin that is shown as span; the rest is shown as exposure."""

MarginComponent = Literal["delivery", "intraday", "premium", "derivative"]
"""What a blocked amount is shown as in `/user/margins`."""


@dataclass(frozen=True, slots=True)
class OpenOrder:
    """The unfilled part of an order."""

    side: TransactionType
    quantity: int
    price: Decimal


@dataclass(frozen=True, slots=True)
class Exposure:
    """One instrument and product: the position and the orders that may still be filled."""

    instrument: Instrument
    product: str
    quantity: int = 0
    """The position's open quantity, signed."""
    price: Decimal = ZERO
    """The position's average cost."""
    orders: tuple[OpenOrder, ...] = ()

    def adding(self, order: OpenOrder) -> "Exposure":
        """The exposure with one order more."""
        return Exposure(self.instrument, self.product, self.quantity, self.price, (*self.orders, order))


def open_order(request: OrderRequest, *, unfilled: int) -> OpenOrder:
    """The unfilled part of `request`, which is booked and so has a price."""
    return OpenOrder(side=request.transaction_type, quantity=unfilled, price=request.price)


def blocked(exposure: Exposure) -> Decimal:
    """The rupees that this exposure blocks."""
    return max(side_margin(exposure, side="BUY"), side_margin(exposure, side="SELL"))


def side_margin(exposure: Exposure, *, side: TransactionType) -> Decimal:
    """The rupees that the long (BUY) or the short (SELL) side needs when all its orders are filled."""
    position = exposure.quantity if side == "BUY" else -exposure.quantity
    pending = [order for order in exposure.orders if order.side == side]
    resulting = position + sum(order.quantity for order in pending)
    if resulting <= 0:
        return ZERO
    value = max(position, 0) * exposure.price + sum((order.quantity * order.price for order in pending), ZERO)
    quantity = max(position, 0) + sum(order.quantity for order in pending)
    return unit_margin(exposure.instrument, product=exposure.product, side=side, price=value / quantity) * resulting


def unit_margin(instrument: Instrument, *, product: str, side: TransactionType, price: Decimal) -> Decimal:
    """The rupees that quantity 1 needs at `price`."""
    scale = multiplier(instrument)
    if is_option(instrument):
        if side == "BUY":
            return price * scale
        return instrument.strike * scale * RATES[instrument.exchange]
    if instrument.exchange in EQUITY:
        if product == "CNC" and side == "SELL":
            return ZERO
        return price * RATES[product]
    return price * scale * RATES[instrument.exchange]


def margin_component(exposure: Exposure) -> MarginComponent:
    """What the exposure's blocked amount is shown as in `/user/margins`."""
    if exposure.instrument.exchange in EQUITY:
        return "delivery" if exposure.product in ("CNC", "MTF") else "intraday"
    long_side = side_margin(exposure, side="BUY") >= side_margin(exposure, side="SELL")
    return "premium" if is_option(exposure.instrument) and long_side else "derivative"


def total_blocked(exposures: Sequence[Exposure]) -> Decimal:
    """The rupees that all of them block."""
    return sum((blocked(exposure) for exposure in exposures), ZERO)
