"""The broker's margin arithmetic: one simple rule, used by placement, `/user/margins` and `/margins/*` alike. Pure.

Funds are reckoned per (instrument, product): the larger of what the long side and what the short side would need if
every open order of that side were filled. So an order that closes needs nothing and a hedge is not paid for twice. The
rate is a share of the value, shown in `RATES`; an option bought costs its premium, an option sold a share of its strike
value. An order needs the growth of that number which it causes. Charges are shown, and not taken from the funds.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, Literal

from simulator.exchange.orders.order import OrderRequest, TransactionType
from simulator.exchange.orders.units import EQUITY_CASH, is_option, multiplier
from simulator.market.instrument import Instrument

ZERO: Final = Decimal(0)
RATES: Final = {
    "CNC": Decimal(1),
    "MTF": Decimal("0.25"),
    "MIS": Decimal("0.20"),
    "CO": Decimal("0.20"),
    "NFO": Decimal("0.15"),
    "BFO": Decimal("0.15"),
    "MCX": Decimal("0.10"),
    "CDS": Decimal("0.04"),
    "BCD": Decimal("0.04"),
}
"""Equity by product, derivatives by exchange."""
SPAN_SHARE: Final = Decimal("0.8")
"""How much of a derivative's margin is called span; the rest is exposure."""

Bucket = Literal["delivery", "intraday", "premium", "derivative"]


@dataclass(frozen=True, slots=True)
class OpenOrder:
    """What an order that is not yet filled may still add."""

    side: TransactionType
    quantity: int
    price: Decimal


@dataclass(frozen=True, slots=True)
class Exposure:
    """One (instrument, product): what is open and what may still be filled."""

    instrument: Instrument
    product: str
    quantity: int = 0
    price: Decimal = ZERO
    orders: tuple[OpenOrder, ...] = ()

    def adding(self, order: OpenOrder) -> "Exposure":
        return Exposure(self.instrument, self.product, self.quantity, self.price, (*self.orders, order))


def open_order(request: OrderRequest, *, unfilled: int, price: Decimal) -> OpenOrder:
    """`price` stands in for orders without one."""
    return OpenOrder(side=request.transaction_type, quantity=unfilled, price=request.price or price)


def blocked(exposure: Exposure) -> Decimal:
    """Rupees that this exposure holds back."""
    return max(side_margin(exposure, side="BUY"), side_margin(exposure, side="SELL"))


def side_margin(exposure: Exposure, *, side: TransactionType) -> Decimal:
    """What the long (BUY) or the short (SELL) side needs when all its orders are filled."""
    held = exposure.quantity if side == "BUY" else -exposure.quantity
    pending = [order for order in exposure.orders if order.side == side]
    reach = held + sum(order.quantity for order in pending)
    if reach <= 0:
        return ZERO
    value = max(held, 0) * exposure.price + sum((order.quantity * order.price for order in pending), ZERO)
    quantity = max(held, 0) + sum(order.quantity for order in pending)
    return unit_margin(exposure.instrument, product=exposure.product, side=side, price=value / quantity) * reach


def unit_margin(instrument: Instrument, *, product: str, side: TransactionType, price: Decimal) -> Decimal:
    """Rupees for one of quantity."""
    scale = multiplier(instrument)
    if is_option(instrument):
        if side == "BUY":
            return price * scale
        return instrument.strike * scale * RATES[instrument.exchange]
    if instrument.exchange in EQUITY_CASH:
        if product == "CNC" and side == "SELL":
            return ZERO
        return price * RATES[product]
    return price * scale * RATES[instrument.exchange]


def bucket(exposure: Exposure) -> Bucket:
    """Under which name `/user/margins` shows it."""
    if exposure.instrument.exchange in EQUITY_CASH:
        return "delivery" if exposure.product in ("CNC", "MTF") else "intraday"
    long_side = side_margin(exposure, side="BUY") >= side_margin(exposure, side="SELL")
    return "premium" if is_option(exposure.instrument) and long_side else "derivative"


def total_blocked(exposures: Sequence[Exposure]) -> Decimal:
    return sum((blocked(exposure) for exposure in exposures), ZERO)
