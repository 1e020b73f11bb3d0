"""What a modification can change of an order, and whether an order shows a modification already. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from app.broker.orders import OrderChanges, OrderRequest, OrderType

BOOKED_AS = {
    OrderType.MARKET: {"MARKET", "LIMIT"},  # market protection makes it a limit order at the edge of the price band
    OrderType.SL_M: {"SL-M", "SL"},
    OrderType.LIMIT: {"LIMIT"},
    OrderType.SL: {"SL", "LIMIT"},  # once triggered the book shows it as a limit order
}
"""For each order type in a request, the types under which the book may show the order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderTerms:
    """As the book shows them or, before it shows the order, as the placement asked for them. Prices in rupees."""

    quantity: int
    order_type: str
    validity: str
    price: Decimal = Decimal(0)  # 0: it has none
    trigger_price: Decimal = Decimal(0)  # 0: it has none
    disclosed_quantity: int = 0  # 0: all of it
    validity_ttl: int = 0  # minutes; 0: it has none

    @classmethod
    def of_request(cls, request: OrderRequest) -> OrderTerms:
        """The terms that a placement asked for."""
        return cls(
            quantity=request.quantity,
            order_type=str(request.order_type),
            validity=str(request.validity),
            price=request.price or Decimal(0),
            trigger_price=request.trigger_price or Decimal(0),
            disclosed_quantity=request.disclosed_quantity or 0,
            validity_ttl=request.validity_ttl or 0,
        )

    @classmethod
    def of_document(cls, document: Mapping[str, Any]) -> OrderTerms:
        """The terms in the stored row of an order."""
        return cls(
            quantity=int(document["quantity"]),
            order_type=str(document["order_type"]),
            validity=str(document["validity"]),
            price=Decimal(document.get("price") or 0),
            trigger_price=Decimal(document.get("trigger_price") or 0),
            disclosed_quantity=_count(document.get("disclosed_quantity")),
            validity_ttl=_count(document.get("validity_ttl")),
        )

    def show(self, changes: OrderChanges) -> bool:
        """Whether the order is as a modification wants it, ``market_protection`` aside, which no book shows."""
        wanted = (
            changes.order_type is None or self.order_type in BOOKED_AS[changes.order_type],
            changes.quantity in {None, self.quantity},
            changes.price in {None, self.price},
            changes.trigger_price in {None, self.trigger_price},
            changes.validity in {None, self.validity},
            changes.validity_ttl in {None, self.validity_ttl},
            changes.disclosed_quantity in {None, self.disclosed_quantity},
        )
        return all(wanted)


def _count(value: object) -> int:
    """A number of the broker's row as it came; one that cannot be read counts as none."""
    try:
        return int(Decimal(str(value or 0)))
    except (InvalidOperation, ValueError, OverflowError):
        return 0
