"""What the broker checks before it takes an order: quantities, ticks, products and triggers. Pure.

A breach raises 400 and leaves no order. `exchange_refusal` is the other kind: the order was taken (it has an id), and
the exchange turns it down afterwards, so it stands REJECTED in the book.
"""

from decimal import Decimal

from simulator.errors import input_error
from simulator.exchange.orders import OrderRequest
from simulator.exchange.units import DERIVATIVES, EQUITY_CASH, quantity_step
from simulator.market.instrument import Instrument
from simulator.market.quote import Quote


def check_request(request: OrderRequest, instrument: Instrument, *, quote: Quote) -> None:
    """Everything that can be said from the order, its instrument and the last price."""
    if not instrument.tradable:
        raise input_error(f"{instrument.tradingsymbol} is an index and cannot be traded.")
    check_product(request, instrument)
    check_quantity(request, instrument)
    check_validity(request, instrument)
    check_tick(request.price, instrument)
    check_tick(request.trigger_price, instrument)
    if request.trigger_price:
        check_trigger(request, quote=quote)


def check_product(request: OrderRequest, instrument: Instrument) -> None:
    if instrument.exchange in DERIVATIVES and request.product in ("CNC", "MTF"):
        raise input_error(f"{request.product} orders are allowed only in equity. Use NRML or MIS for derivatives.")
    if instrument.exchange in EQUITY_CASH and request.product == "NRML":
        raise input_error("NRML orders are allowed only in derivatives. Use CNC or MIS for equity.")


def check_quantity(request: OrderRequest, instrument: Instrument) -> None:
    step = quantity_step(instrument)
    if request.quantity % step:
        raise input_error(f"Quantity should be in multiples of the lot size {step}.")
    freeze = instrument.freeze_quantity
    if freeze and request.quantity > freeze:
        raise input_error(f"Quantity {request.quantity} is above the freeze quantity {freeze} of one order.")
    if request.disclosed_quantity and instrument.exchange not in EQUITY_CASH:
        raise input_error("`disclosed_quantity` is allowed only in equity.")


def check_validity(request: OrderRequest, instrument: Instrument) -> None:
    if request.validity == "IOC" and instrument.exchange == "MCX":
        raise input_error("IOC orders are not allowed on MCX.")
    if request.validity != "DAY" and request.order_type in ("SL", "SL-M"):
        raise input_error("Stoploss orders are allowed only with DAY validity.")


def check_tick(price: Decimal, instrument: Instrument) -> None:
    if not instrument.is_on_tick(price):
        tick = instrument.tick_size.normalize()
        raise input_error(
            f"Tick size for this script is {tick:f}. Kindly enter price in the multiple of tick size for this script."
        )


def check_trigger(request: OrderRequest, *, quote: Quote) -> None:
    """A stop to buy lies above the last price with its limit at or above it; a stop to sell the other way round."""
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
    """Why the exchange rejects an order that the broker took, or None."""
    limit_up, limit_down = quote.upper_circuit_limit, quote.lower_circuit_limit
    if request.price and ((limit_up and request.price > limit_up) or request.price < limit_down):
        return (
            "RMS:Rule: Check circuit limit including square off order exceeds, "
            f"Price:{request.price.normalize():f}, Range:{limit_down:.2f}-{limit_up:.2f}"
        )
    return None
