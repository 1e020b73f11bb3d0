"""What the exchange does not match: prices outside its limit price protection, and orders of one user. Pure.

Both are found when the order is matched, after the broker took it; the exchange cancels it then, with a reason. The
range is the one of Zerodha's support pages, for futures and options; it concerns a buy above it and a sale below it.
"""

from decimal import Decimal
from typing import Final

from simulator.exchange.orders.request import OrderRequest
from simulator.exchange.orders.units import is_option
from simulator.market.instrument import EQUITY_DERIVATIVES, Instrument

FUTURE_SHARE: Final = Decimal("0.03")
OPTION_SHARE: Final = Decimal("0.40")
OPTION_LEAST: Final = Decimal(20)
"""Rupees, the range of an option whose price is at most `CHEAP_OPTION`."""
CHEAP_OPTION: Final = Decimal(50)

OUTSIDE_PROTECTION: Final = (
    "The order was cancelled by the exchange because the price is outside the current allowed limit price protection "
    "range."
)
SELF_TRADE: Final = "The order was cancelled by the exchange because it would have traded with your own order."


def is_within_protection(request: OrderRequest, instrument: Instrument, *, last_price: Decimal) -> bool:
    """Whether the exchange lets an order with this limit trade; always in equity, commodity and currency."""
    if instrument.exchange not in EQUITY_DERIVATIVES or not last_price:
        return True
    allowed = protection_range(instrument, last_price=last_price)
    if request.transaction_type == "BUY":
        return request.price <= last_price + allowed
    return request.price >= last_price - allowed


def protection_range(instrument: Instrument, *, last_price: Decimal) -> Decimal:
    """The distance from the last price in rupees that the exchange allows."""
    if not is_option(instrument):
        return last_price * FUTURE_SHARE
    return OPTION_LEAST if last_price <= CHEAP_OPTION else last_price * OPTION_SHARE
