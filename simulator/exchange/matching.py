"""Which fills an order gets from the simulated crowd. Pure: levels in, fills out.

An order that arrives takes the other side's prices, best first. An order that was resting is met at its own limit. What
is not taken waits until the quote changes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from simulator.exchange.orders import TransactionType
from simulator.market.quote import DepthLevel

Stance = Literal["arriving", "resting"]


@dataclass(frozen=True, slots=True)
class Fill:
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
) -> list[Fill]:
    """Fills for `quantity` against `levels` (best first), of which `taken` from the top are gone already."""
    fills: list[Fill] = []
    for level in levels:
        gone = min(taken, level.quantity)
        taken -= gone
        available = min(level.quantity - gone, quantity)
        if available <= 0:
            continue
        if not is_within(level.price, limit=limit, side=side):
            break
        fills.append(Fill(price=level.price if stance == "arriving" else limit, quantity=available))
        quantity -= available
    return merge(fills)


def is_within(price: Decimal, *, limit: Decimal, side: TransactionType) -> bool:
    return price <= limit if side == "BUY" else price >= limit


def merge(fills: Sequence[Fill]) -> list[Fill]:
    """Neighbours at one price become one fill."""
    merged: list[Fill] = []
    for fill in fills:
        if merged and merged[-1].price == fill.price:
            merged[-1] = Fill(price=fill.price, quantity=merged[-1].quantity + fill.quantity)
        else:
            merged.append(fill)
    return merged


def is_triggered(trigger: Decimal, *, side: TransactionType, last_price: Decimal) -> bool:
    """A stop to buy wakes at or above its trigger, a stop to sell at or below."""
    return last_price >= trigger if side == "BUY" else last_price <= trigger
