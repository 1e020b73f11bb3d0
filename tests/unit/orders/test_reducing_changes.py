"""Which modifications pass reduce-only mode."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from app.broker.orders import OrderChanges, OrderType, TransactionType, Validity
from app.orders.risk.reducing_changes import lowers_or_tightens
from app.orders.state.order_terms import OrderTerms

SELL, BUY = TransactionType.SELL, TransactionType.BUY
STOP = OrderTerms(quantity=10, order_type="SL", validity="DAY", price=Decimal(1480), trigger_price=Decimal(1485))
LIMIT = OrderTerms(quantity=10, order_type="LIMIT", validity="DAY", price=Decimal(1550))
UP, DOWN = {"trigger_price": Decimal(1490)}, {"trigger_price": Decimal(1470)}


@pytest.mark.parametrize(
    ("changes", "terms", "side", "passes"),
    [
        ({"quantity": 9}, LIMIT, SELL, True),
        ({"quantity": 10}, LIMIT, SELL, False),
        ({"quantity": 11}, LIMIT, SELL, False),
        (UP, STOP, SELL, True),
        (DOWN, STOP, SELL, False),
        (DOWN, STOP, BUY, True),
        (UP, STOP, BUY, False),
        ({"trigger_price": Decimal(1485)}, STOP, SELL, False),
        ({**UP, "price": Decimal(1488)}, STOP, SELL, True),
        ({**UP, "quantity": 9}, STOP, SELL, True),
        ({**UP, "quantity": 11}, STOP, SELL, False),
        ({**DOWN, "quantity": 9}, STOP, SELL, False),
        (UP, LIMIT, SELL, False),
        ({"price": Decimal(1540)}, LIMIT, SELL, False),
        ({"price": Decimal(1483)}, STOP, SELL, False),
        ({"price": Decimal(1540), "quantity": 9}, LIMIT, SELL, False),
        ({"order_type": OrderType.LIMIT, "quantity": 9}, STOP, SELL, False),
        ({"validity": Validity.IOC, "quantity": 9}, LIMIT, SELL, False),
    ],
)
def test_only_what_lowers_or_tightens_passes(
    changes: dict[str, Any],
    terms: OrderTerms,
    side: TransactionType,
    passes: bool,
) -> None:
    """Nothing else may go along with it."""
    assert lowers_or_tightens(OrderChanges(**changes), terms, side) is passes
