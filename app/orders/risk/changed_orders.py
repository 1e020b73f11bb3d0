"""What an order may be before and after a modification, at its worst, for the limits of one order. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TypeVar

from app.broker.orders import OrderChanges, OrderType, TransactionType
from app.orders.state.order_terms import OrderTerms

T = TypeVar("T")
_PRICED = frozenset({OrderType.LIMIT, OrderType.SL})


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangedOrder:
    """An order that a client modifies."""

    transaction_type: TransactionType  # its side
    terms: OrderTerms  # as the book last showed it, or as it was placed
    unproven: Sequence[OrderChanges] = ()  # earlier modifications that the book does not show and that may come true


@dataclass(frozen=True, slots=True, kw_only=True)
class WorstTerms:
    """The largest quantity, and the highest price, that an order may have."""

    transaction_type: TransactionType
    quantity: int  # as in the request: pieces, or lots where quantities are lots
    price: Decimal | None  # its limit, in rupees; None where it may have none
    trigger_price: Decimal | None  # the highest price beside the limit; None where there is none


@dataclass(slots=True, kw_only=True)
class _Options:
    """The values that each of the terms may have."""

    quantities: list[int] = field(default_factory=list)
    types: list[str] = field(default_factory=list)
    prices: list[Decimal] = field(default_factory=list)
    triggers: list[Decimal] = field(default_factory=list)


def before_change(order: ChangedOrder) -> WorstTerms:
    """What the order may be as long as it is not modified once more."""
    return _worst(order.transaction_type, _options(order))


def after_change(order: ChangedOrder, changes: OrderChanges) -> WorstTerms:
    """What the order may be once these changes have been made; what they leave alone is as before."""
    options = _options(order)
    if changes.quantity is not None:
        options.quantities = [changes.quantity]
    if changes.order_type is not None:
        options.types = [changes.order_type]
    if changes.price is not None:
        options.prices = [changes.price]
    if changes.trigger_price is not None:
        options.triggers = [changes.trigger_price]
    return _worst(order.transaction_type, options)


def _options(order: ChangedOrder) -> _Options:
    terms, unproven = order.terms, order.unproven
    return _Options(
        quantities=[terms.quantity, *_given(one.quantity for one in unproven)],
        types=[terms.order_type, *_given(one.order_type for one in unproven)],
        prices=[*([terms.price] if terms.price else []), *_given(one.price for one in unproven)],
        triggers=[
            *([terms.trigger_price] if terms.trigger_price else []),
            *_given(one.trigger_price for one in unproven),
        ],
    )


def _given(values: Iterable[T | None]) -> list[T]:
    return [value for value in values if value is not None]


def _worst(side: TransactionType, options: _Options) -> WorstTerms:
    has_limit = bool(options.prices) and _PRICED.issuperset(options.types)
    beside = options.triggers if has_limit else options.triggers + options.prices
    return WorstTerms(
        transaction_type=side,
        quantity=max(options.quantities),
        price=max(options.prices) if has_limit else None,
        trigger_price=max(beside, default=None),
    )
