"""Which fills an order gets. Pure: quote levels and other users' resting orders in, fills out.

A taker (an order that arrives) takes the other side's prices, best first. At one price the quote's quantity comes
before resting orders, because it was there when the quote was made; resting orders follow in the order of time. A
maker (an order that was resting) is filled from the quote at its own limit. What is not filled waits for another
quote.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from simulator.exchange.orders.request import TransactionType
from simulator.market.quote import DepthLevel

Role = Literal["taker", "maker"]


@dataclass(frozen=True, slots=True)
class Fill:
    """One fill, or one offer. `maker` is the id of the resting order on the other side; None: the quote."""

    price: Decimal
    quantity: int
    maker: str | None = None


@dataclass(frozen=True, slots=True)
class RestingOrder:
    """Another user's order that a taker may trade with, at its own price."""

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
    role: Role,
    resting: Sequence[RestingOrder] = (),
) -> list[Fill]:
    """The fills of at most `quantity` within `limit`.

    `levels` are the quote's other side, best first; `taken` of their quantity is used up already, from the top.
    `resting` is in price-time priority; only a taker trades with it.
    """
    fills: list[Fill] = []
    for offer in sort_offers(remaining_offers(levels, taken=taken), resting, side=side):
        if quantity <= 0 or not is_within(offer.price, limit=limit, side=side):
            break
        available = min(offer.quantity, quantity)
        price = offer.price if role == "taker" else limit
        fills.append(Fill(price=price, quantity=available, maker=offer.maker))
        quantity -= available
    return merge_fills(fills)


def remaining_offers(levels: Sequence[DepthLevel], *, taken: int) -> list[Fill]:
    """What the quote still offers after `taken` from the top are used up."""
    left = []
    for level in levels:
        gone = min(taken, level.quantity)
        taken -= gone
        if level.quantity > gone:
            left.append(Fill(price=level.price, quantity=level.quantity - gone))
    return left


def sort_offers(quoted: Sequence[Fill], resting: Sequence[RestingOrder], *, side: TransactionType) -> list[Fill]:
    """All offers, best price first. The sort is stable: at one price the quote first, then orders by time."""
    offers = [*quoted, *(Fill(order.price, order.quantity, order.order_id) for order in resting)]
    return sorted(offers, key=lambda offer: offer.price if side == "BUY" else -offer.price)


def is_within(price: Decimal, *, limit: Decimal, side: TransactionType) -> bool:
    """Whether an order with this limit may trade at `price`."""
    return price <= limit if side == "BUY" else price >= limit


def merge_fills(fills: Sequence[Fill]) -> list[Fill]:
    """Neighbouring fills from the quote at one price become one fill."""
    merged: list[Fill] = []
    for fill in fills:
        if merged and fill.maker is None and merged[-1].maker is None and merged[-1].price == fill.price:
            merged[-1] = Fill(price=fill.price, quantity=merged[-1].quantity + fill.quantity)
        else:
            merged.append(fill)
    return merged


def is_triggered(trigger: Decimal, *, side: TransactionType, last_price: Decimal) -> bool:
    """Whether the last price releases a stop: at or above the trigger of a buy, at or below that of a sell."""
    return last_price >= trigger if side == "BUY" else last_price <= trigger
