"""The limits of an account: order value, quantity, price, repetition, number of open orders. Pure rules.

They stop the orders of a faulty client program before the broker receives them. A limit that is None is off. All are
off at a simulator, which moves no money, and those that the broker itself applies are off by default (freeze
quantities, circuit limits, margin).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal, Protocol, TypeAlias, TypedDict, TypeVar

from app.broker.orders import OrderRequest, TransactionType
from app.config import Settings
from app.orders.state.last_prices import LastPrice, fresh_price

LIVE_MAX_ORDER_VALUE = Decimal(1_000_000)
LIVE_MAX_IDENTICAL = 3
LIVE_MAX_OPEN_ORDERS = 200
"""The defaults at the real broker, for settings that are not set; 0 turns a limit off."""

MAX_MODIFICATIONS = 24
"""Kite takes 25 modifications of one order; the last one is left for an operator in Kite's own application."""

T = TypeVar("T")
StalePrice = Literal["allow", "refuse"]
OrderIdentity: TypeAlias = tuple[str, str, int, str | None]
"""Two orders are identical when these are equal: instrument, side, quantity, price."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RiskLimits:
    """The limits of one account; None is off."""

    max_order_value: Decimal | None = None  # rupees, at the worst price of the order
    max_quantity: int | None = None  # as in the request: pieces, or lots where quantities are lots
    price_band_percent: Decimal | None = None  # distance from the last price, for orders with a price
    price_max_age_s: float = 5.0  # a last price that is older is not used
    stale_price: StalePrice = "allow"  # what happens to an order whose limits need a last price that is too old
    max_identical: int | None = None  # identical orders within ``identical_window_s``
    identical_window_s: float = 2.0
    max_open_orders: int | None = None  # live orders and placements that may become live

    @classmethod
    def from_settings(cls, settings: Settings, *, own: Mapping[str, Decimal | int] | None = None) -> RiskLimits:
        """The limits by the settings. One that is not set has a default at the real broker and is off at a simulator.

        ``own``: by name, the settings that differ for this account.
        """
        settings = settings.model_copy(update=dict(own or {}))
        live = not settings.source_is_simulator
        value, identical, open_orders = (
            (LIVE_MAX_ORDER_VALUE, LIVE_MAX_IDENTICAL, LIVE_MAX_OPEN_ORDERS) if live else (None, None, None)
        )
        return cls(
            max_order_value=_chosen(settings.risk_max_order_value, value),
            max_quantity=_chosen(settings.risk_max_quantity, None),
            price_band_percent=_chosen(settings.risk_price_band_percent, None),
            price_max_age_s=settings.risk_price_max_age_s,
            stale_price=settings.risk_stale_price,
            max_identical=_chosen(settings.risk_max_identical_orders, identical),
            identical_window_s=settings.risk_identical_window_s,
            max_open_orders=_chosen(settings.risk_max_open_orders, open_orders),
        )


class LimitedTerms(Protocol):
    """What the limits of one order are about: of a new order, or of one that is modified."""

    @property
    def transaction_type(self) -> TransactionType: ...

    @property
    def quantity(self) -> int: ...

    @property
    def price(self) -> Decimal | None: ...

    @property
    def trigger_price(self) -> Decimal | None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """An order to check against the limits."""

    request: LimitedTerms
    units: int = 1  # pieces for each unit of its quantity: the lot size where quantities are lots
    last: LastPrice | None = None  # None where none is known


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """What the account has ordered already."""

    open_orders: int = 0  # live orders and placements that may become live
    identical: Mapping[OrderIdentity, int]  # requests within the window


@dataclass(frozen=True, slots=True, kw_only=True)
class Breach:
    """A limit that an order would exceed."""

    code: str  # stable; clients decide by it
    field: str  # of the request; empty where the whole order is meant
    message: str  # follows the field's name


def identity_of(request: OrderRequest) -> OrderIdentity:
    """Equal for identical orders."""
    price = None if request.price is None else format(request.price.normalize(), "f")
    return (request.instrument, str(request.transaction_type), request.quantity, price)


def modification_breach(count: int) -> Breach | None:
    """The limit on modifications of one order, after ``count`` of them: the broker takes 25."""
    if count < MAX_MODIFICATIONS:
        return None
    message = f"the order was modified {count} times; cancel it and place a new one (`replaces`)"
    return Breach(code="MODIFY_LIMIT", field="", message=message)


def breaches_of(candidate: Candidate, limits: RiskLimits) -> Iterator[Breach]:
    """The limits that one order exceeds by itself."""
    request = candidate.request
    if limits.max_quantity is not None and request.quantity > limits.max_quantity:
        yield Breach(code="QUANTITY_LIMIT", field="quantity", message=f"is above the limit of {limits.max_quantity}")
    last = fresh_price(candidate.last, max_age_s=limits.price_max_age_s)
    if last is None and limits.stale_price == "refuse" and _needs_last(request, limits):
        age = f"{limits.price_max_age_s:g} s"
        yield Breach(code="STALE_PRICE", field="tradingsymbol", message=f"has no price younger than {age}")
    yield from _band(request, last, limits)
    yield from _value(candidate, last, limits)


def change_breaches(before: Candidate, after: Candidate, limits: RiskLimits) -> Iterator[Breach]:
    """The limits that an order exceeds by a modification. What the modification makes no worse is no breach of it, so
    an order can always be made smaller, and its stop tighter."""
    was, becomes = before.request, after.request
    grows = becomes.quantity > was.quantity
    moves = becomes.price != was.price
    last = fresh_price(after.last, max_age_s=limits.price_max_age_s)
    old, new = (worst_price(one, last) for one in (was, becomes))
    dearer = new is not None and (old is None or new * becomes.quantity > old * was.quantity)
    caused = {
        "QUANTITY_LIMIT": grows,
        "STALE_PRICE": grows or moves,
        "PRICE_BAND": moves,
        "ORDER_VALUE_LIMIT": dearer,
    }
    return (breach for breach in breaches_of(after, limits) if caused[breach.code])


def _needs_last(request: LimitedTerms, limits: RiskLimits) -> bool:
    banded = limits.price_band_percent is not None and request.price is not None
    return banded or (limits.max_order_value is not None and request.price is None)


def _band(request: LimitedTerms, last: Decimal | None, limits: RiskLimits) -> Iterator[Breach]:
    if limits.price_band_percent is None or request.price is None or last is None:
        return
    width = last * limits.price_band_percent / 100
    if not last - width <= request.price <= last + width:
        band = f"{limits.price_band_percent.normalize():f} % of the last price {last.normalize():f}"
        yield Breach(code="PRICE_BAND", field="price", message=f"is not within {band}")


def _value(candidate: Candidate, last: Decimal | None, limits: RiskLimits) -> Iterator[Breach]:
    request = candidate.request
    price = worst_price(request, last)
    if limits.max_order_value is None or price is None:
        return
    value = price * request.quantity * candidate.units
    if value > limits.max_order_value:
        message = f"makes an order of {value.normalize():f}, above the limit of {limits.max_order_value.normalize():f}"
        yield Breach(code="ORDER_VALUE_LIMIT", field="quantity", message=message)


def worst_price(request: LimitedTerms, last: Decimal | None) -> Decimal | None:
    """The highest price, in rupees, at which the order may fill; None when no price is known.

    A purchase with a price fills at that price at most. A sale may fill at the market's price, if that is higher.
    """
    if request.price is not None and request.transaction_type is TransactionType.BUY:
        return request.price
    known = [price for price in (request.price, request.trigger_price, last) if price is not None]
    return max(known, default=None)


def count_breaches(requests: Sequence[OrderRequest], stored: Stored, limits: RiskLimits) -> Iterator[Breach]:
    """The limits that orders exceed together with the stored ones. Equal legs of one batch are no duplicates."""
    if limits.max_open_orders is not None and stored.open_orders + len(requests) > limits.max_open_orders:
        message = f"{stored.open_orders} orders are open, the limit is {limits.max_open_orders}"
        yield Breach(code="OPEN_ORDER_LIMIT", field="", message=message)
    if limits.max_identical is None:
        return
    for request in requests:
        if stored.identical.get(identity_of(request), 0) >= limits.max_identical:
            what = f"{request.transaction_type} {request.quantity} {request.instrument}"
            message = f"{what} came {limits.max_identical} times within {limits.identical_window_s:g} s"
            yield Breach(code="DUPLICATE_SUSPECT", field="", message=message)
            return


def _chosen(setting: T | None, default: T | None) -> T | None:
    return (default if setting is None else setting) or None


class DoubtLimits(TypedDict):
    """The parameters of ``doubt_limit_store.MANY_DOUBTS``; either bound stops new orders."""

    halt_doubts: int  # number of doubts
    halt_doubt_age_s: float  # age of the oldest one
