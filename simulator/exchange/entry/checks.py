"""What the broker checks before it takes an order: products, varieties, quantities, ticks and triggers. Pure.

Each check raises KiteError 400, and the order does not exist then. `exchange_refusal` is different: the broker has
taken the order (it has an id), and the exchange rejects it afterwards.
"""

from decimal import Decimal
from typing import Final

from simulator.errors import input_error
from simulator.exchange.orders.request import OrderRequest
from simulator.exchange.orders.units import DERIVATIVES, is_option, quantity_step
from simulator.market.instrument import EQUITY, Instrument
from simulator.market.quote import Quote

MAX_DISTANCE_SHARE: Final = Decimal("0.5")
"""How far from the last price an option order may be, as a share of it."""
MIN_DISTANCE: Final = Decimal(100)
"""The distance in rupees that is always allowed."""


def check_request(request: OrderRequest, instrument: Instrument, *, quote: Quote) -> None:
    """All checks that need only the order, its instrument and the present quote. Raises KiteError 400."""
    if not instrument.tradable:
        raise input_error(f"{instrument.tradingsymbol} is an index and cannot be traded.")
    check_product(request, instrument)
    check_variety(request, instrument)
    check_quantity(request, instrument)
    check_validity(request, instrument)
    check_tick(request.price, instrument)
    check_tick(request.trigger_price, instrument)
    if request.order_type in ("SL", "SL-M"):
        check_trigger(request, quote=quote)
    elif request.trigger_price:
        check_cover(request, quote=quote)
    if request.order_type == "LIMIT" and is_option(instrument):
        check_distance(request, quote=quote)


def check_variety(request: OrderRequest, instrument: Instrument) -> None:
    """Order types, validities and products that a variety does not allow."""
    stop = request.order_type in ("SL", "SL-M")
    if request.variety == "iceberg" and stop:
        raise input_error("Iceberg orders are allowed only with LIMIT and MARKET.")
    if request.variety == "iceberg" and request.validity == "IOC":
        raise input_error("Iceberg orders are not allowed with IOC validity.")
    if request.variety == "amo" and request.validity != "DAY":
        raise input_error("AMO orders are allowed only with DAY validity.")
    if request.variety == "auction" and (request.transaction_type, request.product) != ("SELL", "CNC"):
        raise input_error("Auction orders are only for selling holdings: SELL with product CNC.")
    if request.variety == "auction" and request.auction_number != auction_number(instrument):
        raise input_error("No auction with this `auction_number` is open for the instrument.")


def check_cover(request: OrderRequest, *, quote: Quote) -> None:
    """The stop of a cover order is on the losing side of its entry price."""
    entry = request.price or quote.last_price
    if request.transaction_type == "BUY" and request.trigger_price >= entry:
        raise input_error("Trigger price of a cover order to buy should be lower than its price.")
    if request.transaction_type == "SELL" and request.trigger_price <= entry:
        raise input_error("Trigger price of a cover order to sell should be higher than its price.")


def check_distance(request: OrderRequest, *, quote: Quote) -> None:
    """The exchange takes no option order far from the last price."""
    allowed = max(quote.last_price * MAX_DISTANCE_SHARE, MIN_DISTANCE)
    if quote.last_price and abs(request.price - quote.last_price) > allowed:
        raise input_error(
            "LIMIT orders that are far away from the LTP are restricted as per exchange guidelines. Please use GTT."
        )


def auction_number(instrument: Instrument) -> str:
    """The number of the auction in which the exchange offers an instrument."""
    return str(instrument.exchange_token % 90 + 10)


def is_sliced(request: OrderRequest, instrument: Instrument) -> bool:
    """Whether an order that a client allows to be sliced is above the freeze quantity."""
    return request.variety == "regular" and 0 < instrument.freeze_quantity < request.quantity


def check_product(request: OrderRequest, instrument: Instrument) -> None:
    """CNC and MTF are for equity, NRML is for derivatives."""
    check_product_of(request.product, instrument)


def check_product_of(product: str, instrument: Instrument) -> None:
    """The same of a product alone: of a GTT's order, and of a conversion."""
    if instrument.exchange in DERIVATIVES and product in ("CNC", "MTF"):
        raise input_error(f"{product} orders are allowed only in equity. Use NRML or MIS for derivatives.")
    if instrument.exchange in EQUITY and product == "NRML":
        raise input_error("NRML orders are allowed only in derivatives. Use CNC or MIS for equity.")


def check_quantity(request: OrderRequest, instrument: Instrument) -> None:
    """Whole lots, no leg above the freeze quantity, and at least one lot for each leg."""
    step = quantity_step(instrument)
    if request.quantity % step:
        raise input_error(f"Quantity should be in multiples of the lot size {step}.")
    freeze = instrument.freeze_quantity
    legs = max(request.iceberg_legs, 1)
    if freeze and -(-request.quantity // legs) > freeze:
        raise input_error(f"Quantity {request.quantity} is above the freeze quantity {freeze} of one order.")
    if request.quantity // step < legs:
        raise input_error(f"Quantity {request.quantity} cannot be cut into {legs} legs.")
    if request.disclosed_quantity and instrument.exchange not in EQUITY:
        raise input_error("`disclosed_quantity` is allowed only in equity.")


def check_validity(request: OrderRequest, instrument: Instrument) -> None:
    """IOC does not exist on MCX; stop orders are of validity DAY only."""
    if request.validity == "IOC" and instrument.exchange == "MCX":
        raise input_error("IOC orders are not allowed on MCX.")
    if request.validity != "DAY" and request.order_type in ("SL", "SL-M"):
        raise input_error("Stoploss orders are allowed only with DAY validity.")


def check_tick(price: Decimal, instrument: Instrument) -> None:
    """The price is a multiple of the instrument's tick size."""
    if not instrument.is_on_tick(price):
        tick = instrument.tick_size.normalize()
        raise input_error(
            f"Tick size for this script is {tick:f}. Kindly enter price in the multiple of tick size for this script."
        )


def check_trigger(request: OrderRequest, *, quote: Quote) -> None:
    """A stop to buy has its trigger above the last price and its limit at or above the trigger; a sell the reverse."""
    trigger, price = request.trigger_price, request.price
    if request.transaction_type == "BUY":
        if trigger > quote.upper_circuit_limit > 0:
            raise input_error("Trigger price for stoploss buy orders cannot be above the upper circuit price.")
        if trigger <= quote.last_price:
            raise input_error("Trigger price for stoploss buy orders should be higher than the last traded price.")
        if price and price < trigger:
            raise input_error("Price of stoploss buy orders cannot be below the trigger price.")
        return
    if trigger < quote.lower_circuit_limit:
        raise input_error("Trigger price for stoploss sell orders cannot be below the lower circuit price.")
    if trigger >= quote.last_price:
        raise input_error("Trigger price for stoploss sell orders should be lower than the last traded price.")
    if price > trigger:
        raise input_error("Price of stoploss sell orders cannot be above the trigger price.")


def exchange_refusal(request: OrderRequest, *, quote: Quote) -> str | None:
    """Why the exchange rejects an order that the broker took: its price is outside the circuit limits; else None."""
    limit_up, limit_down = quote.upper_circuit_limit, quote.lower_circuit_limit
    if request.price and ((limit_up and request.price > limit_up) or request.price < limit_down):
        return (
            "RMS:Rule: Check circuit limit including square off order exceeds, "
            f"Price:{request.price.normalize():f}, Range:{limit_down:.2f}-{limit_up:.2f}"
        )
    return None
