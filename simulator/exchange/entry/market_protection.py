"""Market protection: a MARKET order becomes a LIMIT at the last price plus or minus a band.

Without `market_protection` the broker refuses the order. -1 takes the automatic band, which is Kite's own table; a
number above 0 is a percentage. Pure.
"""

from dataclasses import replace
from decimal import Decimal
from typing import Final, Literal

from simulator.errors import input_error, protection_required
from simulator.exchange.orders.request import OrderRequest, OrderType
from simulator.exchange.orders.units import is_option, round_to_tick
from simulator.market.instrument import Instrument

AUTOMATIC: Final = Decimal(-1)
"""The `market_protection` that takes the automatic band."""
HUNDRED: Final = Decimal(100)

# (below this price in rupees, band in percent), and the band above the last of them
_SHARES: Final = ((Decimal(10), Decimal(2)), (Decimal(100), Decimal(2)), (Decimal(500), Decimal(1)))
_OPTIONS: Final = ((Decimal(10), Decimal(5)), (Decimal(100), Decimal(3)), (Decimal(500), Decimal(2)))
_SHARES_ABOVE: Final = Decimal("0.5")
_OPTIONS_ABOVE: Final = Decimal(1)

Kind = Literal["option", "other"]


def automatic_band(price: Decimal, *, kind: Kind) -> Decimal:
    """The automatic band in percent for an order at `price`."""
    table, above = (_OPTIONS, _OPTIONS_ABOVE) if kind == "option" else (_SHARES, _SHARES_ABOVE)
    return next((band for limit, band in table if price < limit), above)


def protect(request: OrderRequest, instrument: Instrument, *, last_price: Decimal) -> OrderRequest:
    """The order as it is booked: MARKET as LIMIT, SL-M as SL, both tagged `mktp`; other types unchanged.

    The band is measured from the last price for MARKET and from the trigger for SL-M. Raises KiteError 400 without
    protection, and for a percentage outside 0 to 100.
    """
    if request.order_type not in ("MARKET", "SL-M"):
        return replace(request, market_protection=Decimal(0))
    band = request.market_protection
    if band == 0:
        raise protection_required()
    if band != AUTOMATIC and not 0 < band <= HUNDRED:
        raise input_error("`market_protection` should be -1 or a percentage between 0 and 100.")
    anchor = last_price if request.order_type == "MARKET" else request.trigger_price
    if band == AUTOMATIC:
        band = automatic_band(anchor, kind="option" if is_option(instrument) else "other")
    booked: OrderType = "LIMIT" if request.order_type == "MARKET" else "SL"
    price = protected_price(anchor, band=band, side=request.transaction_type, tick_size=instrument.tick_size)
    tags = (*(tag for tag in request.tags if not tag.startswith("mktp")), "mktp", f"mktp:{band:.2f}")
    return replace(request, order_type=booked, price=price, market_protection=Decimal(0), tags=tags)


def is_protected_market(request: OrderRequest) -> bool:
    """Whether a booked order was sent as MARKET."""
    return request.order_type == "LIMIT" and "mktp" in request.tags


def protected_price(anchor: Decimal, *, band: Decimal, side: Literal["BUY", "SELL"], tick_size: Decimal) -> Decimal:
    """The limit: a buy goes up to the band above `anchor`, a sell down to the band below; rounded outwards to ticks."""
    if side == "BUY":
        return round_to_tick(anchor * (HUNDRED + band) / HUNDRED, tick_size=tick_size, toward="up")
    return round_to_tick(anchor * (HUNDRED - band) / HUNDRED, tick_size=tick_size, toward="down")
