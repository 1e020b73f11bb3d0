"""Checks the fields of an order and lists every problem at once. Pure.

These are the rules that Kite documents (https://kite.trade/docs/connect/v3/orders/) and that need no state. The broker
itself checks what only it knows: margin, circuit limits, trading hours.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal

from app.broker.market import Instrument
from app.broker.orders import (
    Exchange,
    OrderChanges,
    OrderRequest,
    OrderType,
    Product,
    TransactionType,
    Validity,
    Variety,
)
from app.errors import Problem
from app.kit.clock import ist_iso
from app.orders.state.new_tasks import OrderLine

USER_TAG = re.compile(r"[A-Za-z0-9]{1,20}\Z")
_DERIVATIVES = frozenset({Exchange.NFO, Exchange.BFO, Exchange.CDS, Exchange.BCD, Exchange.MCX, Exchange.NCO})
_COUNTED_IN_LOTS = frozenset(exchange for exchange in Exchange if exchange.is_commodity)
MAX_ICEBERG_LEGS = 50
MIN_ICEBERG_LEGS = 2


def with_defaults(request: OrderRequest) -> OrderRequest:
    """The order with a market protection: MARKET and SL-M need one since April 2026; -1 is the broker's own band."""
    if request.order_type in {OrderType.MARKET, OrderType.SL_M} and request.market_protection is None:
        return replace(request, market_protection=Decimal(-1))
    return request


def with_change_defaults(changes: OrderChanges) -> OrderChanges:
    """The changes with a market protection, which an order that becomes MARKET or SL-M needs again."""
    if changes.order_type in {OrderType.MARKET, OrderType.SL_M} and changes.market_protection is None:
        return replace(changes, market_protection=Decimal(-1))
    return changes


def check_fields(request: OrderRequest, *, instrument: Instrument | None, user_tag: str | None = None) -> list[Problem]:
    """All problems of one order, each with the field as its ``loc``.

    ``instrument`` None leaves out the rules of the instrument. ``user_tag`` is the client's own tag.
    """
    found = [*_prices(request), *_quantities(request), *_combinations(request), *_price_bounds(request)]
    if user_tag is not None and not USER_TAG.match(user_tag):
        found.append(_problem("tag", "must be 1 to 20 letters or digits"))
    if instrument is not None:
        found.extend(_against(request, instrument))
    return found


def check_changes(changes: OrderChanges, *, instrument: Instrument | None) -> list[Problem]:
    """All problems of a modification; ``instrument`` None leaves out the rules of the instrument."""
    if not changes.to_json():
        return [Problem(loc=(), msg="at least one field must change")]
    found: list[Problem] = []
    if changes.quantity is not None and changes.quantity <= 0:
        found.append(_problem("quantity", "must be greater than 0"))
    for name in ("price", "trigger_price"):
        value: Decimal | None = getattr(changes, name)
        if value is not None and value <= 0:
            found.append(_problem(name, "must be greater than 0"))
        elif value is not None and instrument is not None:
            found.extend(_tick(name, value, instrument))
    if instrument is not None and changes.quantity is not None:
        found.extend(_lot(changes.quantity, instrument))
    found.extend(_protection(changes.market_protection))
    found.extend(_ttl(changes))
    return found


def _ttl(order: OrderRequest | OrderChanges) -> Iterator[Problem]:
    if order.validity is Validity.TTL and not order.validity_ttl:
        yield _problem("validity_ttl", "minutes are required for validity TTL")
    if order.validity is not Validity.TTL and order.validity_ttl is not None:
        yield _problem("validity_ttl", "needs validity TTL")


def _prices(request: OrderRequest) -> Iterator[Problem]:
    limited = request.order_type in {OrderType.LIMIT, OrderType.SL}
    if limited and request.price is None:
        yield _problem("price", f"is required for {request.order_type} orders")
    if request.price is not None and request.price <= 0:
        yield _problem("price", "must be greater than 0")
    if not limited and request.price is not None:
        yield _problem("price", f"has no meaning for {request.order_type} orders")
    triggered = request.order_type in {OrderType.SL, OrderType.SL_M} or request.variety is Variety.CO
    if triggered and request.trigger_price is None:
        what = "cover" if request.variety is Variety.CO else request.order_type
        yield _problem("trigger_price", f"is required for {what} orders")
    if not triggered and request.trigger_price is not None:
        yield _problem("trigger_price", f"has no meaning for {request.order_type} orders")
    if request.trigger_price is not None and request.trigger_price <= 0:
        yield _problem("trigger_price", "must be greater than 0")
    yield from _stop_side(request)
    yield from _protection(request.market_protection)


def _stop_side(request: OrderRequest) -> Iterator[Problem]:
    """A stop buys at its trigger or above and sells at its trigger or below: the broker refuses the other side."""
    price, trigger = request.price, request.trigger_price
    if request.order_type is not OrderType.SL or price is None or trigger is None or min(price, trigger) <= 0:
        return
    if request.transaction_type is TransactionType.BUY and price < trigger:
        yield _problem("price", "of an SL order that buys must not be below trigger_price")
    if request.transaction_type is TransactionType.SELL and price > trigger:
        yield _problem("price", "of an SL order that sells must not be above trigger_price")


def _protection(protection: Decimal | None) -> Iterator[Problem]:
    if protection is not None and protection != -1 and not 0 < protection <= 100:
        yield _problem("market_protection", "must be -1 (automatic) or a percentage above 0 and up to 100")


def _quantities(request: OrderRequest) -> Iterator[Problem]:
    if request.quantity <= 0:
        yield _problem("quantity", "must be greater than 0")
    disclosed = request.disclosed_quantity
    if disclosed is not None and not 0 <= disclosed <= request.quantity:
        yield _problem("disclosed_quantity", "must lie between 0 and quantity")
    if disclosed and request.exchange in _DERIVATIVES:
        yield _problem("disclosed_quantity", "is for equity only")
    if request.variety is Variety.ICEBERG:
        if request.iceberg_legs is None or not MIN_ICEBERG_LEGS <= request.iceberg_legs <= MAX_ICEBERG_LEGS:
            yield _problem("iceberg_legs", "must be 2 to 50 for iceberg orders")
        elif request.iceberg_legs > request.quantity:
            yield _problem("iceberg_legs", "must not be more than quantity")
        if request.iceberg_quantity is None or request.iceberg_quantity <= 0:
            yield _problem("iceberg_quantity", "is required for iceberg orders")
        elif request.iceberg_legs and request.iceberg_quantity * request.iceberg_legs < request.quantity:
            yield _problem("iceberg_quantity", "times iceberg_legs must reach quantity")
    elif request.iceberg_legs is not None or request.iceberg_quantity is not None:
        yield _problem("variety", "iceberg_legs and iceberg_quantity need variety iceberg")


def _combinations(request: OrderRequest) -> Iterator[Problem]:
    yield from _ttl(request)
    if request.exchange is Exchange.MCX and request.validity is Validity.IOC:
        yield _problem("validity", "MCX takes no IOC orders through the API")
    if request.product in {Product.CNC, Product.MTF} and request.exchange in _DERIVATIVES:
        yield _problem("product", f"{request.product} is for equity; use NRML or MIS on {request.exchange}")
    if request.product is Product.NRML and request.exchange not in _DERIVATIVES:
        yield _problem("product", f"NRML is for derivatives; use CNC or MIS on {request.exchange}")
    if (request.auction_number is not None) != (request.variety is Variety.AUCTION):
        yield _problem("auction_number", "goes with variety auction, and only with it")
    if request.variety is Variety.ICEBERG and request.validity is Validity.IOC:
        yield _problem("validity", "iceberg orders take no IOC")
    if request.autoslice and request.variety is not Variety.REGULAR:
        yield _problem("autoslice", "needs variety regular")


def _price_bounds(request: OrderRequest) -> Iterator[Problem]:
    for name in ("not_above", "not_below"):
        value: Decimal | None = getattr(request, name)
        if value is not None and value <= 0:
            yield _problem(name, "must be greater than 0")
    if request.not_above is not None and request.not_below is not None and request.not_below > request.not_above:
        yield _problem("not_below", "must not be more than not_above")


def check_valid_until(request: OrderRequest, *, now: datetime) -> Iterator[Problem]:
    """The problem of an order that would not be valid any more."""
    if request.valid_until is not None and request.valid_until <= now:
        yield _problem("valid_until", f"must lie in the future; it is {ist_iso(now)} now")


def check_expiry(instrument: Instrument, *, today: date) -> Iterator[Problem]:
    """The problem of a contract that has expired; on its last day the broker decides."""
    if instrument.expiry is not None and instrument.expiry < today:
        yield _problem("tradingsymbol", f"{instrument.key} expired on {instrument.expiry}")


def _against(request: OrderRequest, instrument: Instrument) -> Iterator[Problem]:
    if instrument.segment == "INDICES":
        yield _problem("tradingsymbol", f"{instrument.key} is an index and cannot be traded")
        return
    yield from _lot(request.quantity, instrument)
    for name in ("price", "trigger_price"):
        value: Decimal | None = getattr(request, name)
        if value is not None and value > 0:
            yield from _tick(name, value, instrument)


def _lot(quantity: int, instrument: Instrument) -> Iterator[Problem]:
    """Derivatives trade in multiples of the lot size, except of commodities, where quantities are lots already."""
    if instrument.exchange in _COUNTED_IN_LOTS or instrument.lot_size <= 1 or quantity <= 0:
        return
    if quantity % instrument.lot_size:
        yield _problem("quantity", f"must be a multiple of the lot size {instrument.lot_size}")


def _tick(name: str, value: Decimal, instrument: Instrument) -> Iterator[Problem]:
    if instrument.tick_size > 0 and value % instrument.tick_size:
        yield _problem(name, f"must be a multiple of the tick size {instrument.tick_size.normalize():f}")


def _problem(field: str, msg: str) -> Problem:
    return Problem(loc=(field,), msg=msg)


def with_order_defaults(line: OrderLine) -> OrderLine:
    """The order with the fields that the broker requires and the client may leave out."""
    return OrderLine(request=with_defaults(line.request), user_tag=line.user_tag)
