"""Orders to place, with everything filled in, so that a test names only what it is about."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from app.broker.orders import Exchange, OrderRequest, OrderType, Product, TransactionType


def order(**changes: Any) -> OrderRequest:
    """A LIMIT order for ten INFY far below the market, so that it rests; any field can be given."""
    fields: dict[str, Any] = {
        "exchange": Exchange.NSE,
        "tradingsymbol": "INFY",
        "transaction_type": TransactionType.BUY,
        "quantity": 10,
        "product": Product.MIS,
        "order_type": OrderType.LIMIT,
        "price": Decimal(1400),
    }
    return OrderRequest(**{**fields, **changes})
