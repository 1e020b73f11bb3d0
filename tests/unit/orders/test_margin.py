"""Which legs of a batch go first."""

from __future__ import annotations

from decimal import Decimal

from app.broker.orders import Exchange, Product, TransactionType
from app.orders.entry.margin import by_segment, margin_waves
from tests.order_requests import order

BUY, SELL = TransactionType.BUY, TransactionType.SELL
INFY = ("NSE", "INFY", "MIS")


def test_reductions_go_first_then_purchases_then_sales() -> None:
    """Held 10: selling 10 releases margin; buying may hedge; selling more needs margin."""
    legs = [
        order(transaction_type=SELL, tradingsymbol="TCS"),
        order(tradingsymbol="SBIN"),
        order(transaction_type=SELL),
    ]
    assert margin_waves(legs, {INFY: 10}) == [2, 1, 0]


def test_a_position_is_only_released_once() -> None:
    """Two legs that each would close the same position: the second one opens a new one."""
    legs = [order(transaction_type=SELL), order(transaction_type=SELL)]
    assert margin_waves(legs, {INFY: 10}) == [0, 2]
    assert margin_waves(legs, {INFY: 20}) == [0, 0]


def test_a_leg_that_would_reverse_the_position_does_not_count_as_a_release() -> None:
    """Selling 10 of 4 held leaves a short position of 6."""
    assert margin_waves([order(transaction_type=SELL)], {INFY: 4}) == [2]


def test_commodities_have_a_pot_of_their_own() -> None:
    """Each pot is asked for its own legs."""
    gold = order(exchange=Exchange.MCX, tradingsymbol="GOLD26AUGFUT", product=Product.NRML, price=Decimal(90000))
    groups = by_segment([order(), gold, order()])
    assert {name: len(group) for name, group in groups.items()} == {"equity": 2, "commodity": 1}
