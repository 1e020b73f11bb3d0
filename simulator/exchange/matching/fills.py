"""Which fills an order gets. Pure: the crowd's levels and other accounts' resting orders in, fills out.

An order that arrives takes the other side's prices, best first; at one price the crowd, which stood there when the
quote was made, is served before a resting order, and resting orders by time. An order that was resting is met by the
crowd at its own limit. What is not taken waits until the quote changes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from simulator.exchange.orders.order import TransactionType
from simulator.market.quote import DepthLevel

Stance = Literal["arriving", "resting"]


@dataclass(frozen=True, slots=True)
class Fill:
    """`maker` is the id of the resting order on the other side; None: the crowd."""

    price: Decimal
    quantity: int
    maker: str | None = None


@dataclass(frozen=True, slots=True)
class Resting:
    """Another account's order that an arriving one may meet, at its own price."""

    order_id: str
    price: Decimal
    quantity: int


def match(
    levels: Sequence[DepthLevel],
    *,
    side: TransactionType,
    limit: Decimal,
    quantity: int,
    taken: int,
    stance: Stance,
    resting: Sequence[Resting] = (),
) -> list[Fill]:
    """Fills for `quantity` against `levels` (best first), of which `taken` from the top are gone already.

    `resting` is in the order of priority; only an arriving order meets it.
    """
    fills: list[Fill] = []
    for offer in interleave(left_of(levels, taken=taken), resting, side=side):
        if quantity <= 0 or not is_within(offer.price, limit=limit, side=side):
            break
        available = min(offer.quantity, quantity)
        price = offer.price if stance == "arriving" else limit
        fills.append(Fill(price=price, quantity=available, maker=offer.maker))
        quantity -= available
    return merge(fills)


def left_of(levels: Sequence[DepthLevel], *, taken: int) -> list[Fill]:
    """What the crowd still offers after `taken` from the top are gone."""
    left = []
    for level in levels:
        gone = min(taken, level.quantity)
        taken -= gone
        if level.quantity > gone:
            left.append(Fill(price=level.price, quantity=level.quantity - gone))
    return left


def interleave(crowd: Sequence[Fill], resting: Sequence[Resting], *, side: TransactionType) -> list[Fill]:
    """Everything on offer, best price first; the sort is stable, so the crowd goes first and then time decides."""
    offers = [*crowd, *(Fill(order.price, order.quantity, order.order_id) for order in resting)]
    return sorted(offers, key=lambda offer: offer.price if side == "BUY" else -offer.price)


def is_within(price: Decimal, *, limit: Decimal, side: TransactionType) -> bool:
    return price <= limit if side == "BUY" else price >= limit


def merge(fills: Sequence[Fill]) -> list[Fill]:
    """Neighbours at one price become one fill."""
    merged: list[Fill] = []
    for fill in fills:
        if merged and fill.maker is None and merged[-1].maker is None and merged[-1].price == fill.price:
            merged[-1] = Fill(price=fill.price, quantity=merged[-1].quantity + fill.quantity)
        else:
            merged.append(fill)
    return merged


def is_triggered(trigger: Decimal, *, side: TransactionType, last_price: Decimal) -> bool:
    """A stop to buy wakes at or above its trigger, a stop to sell at or below."""
    return last_price >= trigger if side == "BUY" else last_price <= trigger
