"""Which positions a filter matches, and the orders that close them."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from app.broker.orders import Exchange, OrderType, TransactionType
from app.orders.entry.validation import check_fields
from app.orders.risk.exits import PositionFilter, exit_order, matching, not_closable
from app.orders.risk.positions import Reducible

NET = {
    ("NSE", "INFY", "MIS"): 10,
    ("NSE", "INFY", "CNC"): 3,
    ("NSE", "SBIN", "MIS"): -5,
    ("NFO", "NIFTY26DECFUT", "NRML"): 75,
    ("NSE", "TCS", "MIS"): 0,
}


def wanted(**fields: str) -> PositionFilter:
    return PositionFilter(account_id="primary", **fields)


def test_every_field_that_is_given_must_match() -> None:
    """What is closed already never matches."""
    assert len(matching(NET, wanted())) == 4
    assert matching(NET, wanted(exchange="NFO")) == {("NFO", "NIFTY26DECFUT", "NRML"): 75}
    assert len(matching(NET, wanted(tradingsymbol="INFY"))) == 2
    assert matching(NET, wanted(tradingsymbol="INFY", product="CNC")) == {("NSE", "INFY", "CNC"): 3}
    assert matching(NET, wanted(exchange="BSE", tradingsymbol="INFY")) == {}


def test_a_position_that_orders_do_not_know_is_named() -> None:
    """Neither an exchange nor a product is invented for it."""
    keys = [("NSE", "INFY", "MIS"), ("NCDEX", "GUAR", "NRML"), ("NSE", "TCS", "BO")]
    assert not_closable(keys) == ["NCDEX:GUAR (NRML)", "NSE:TCS (BO)"]


@given(held=st.integers(-1000, 1000).filter(bool))
def test_an_exit_only_reduces_its_position_and_closes_all_of_it(held: int) -> None:
    """Long is sold, short is bought; the market order has the protection that is compulsory."""
    position = ("NSE", "INFY", "MIS")
    order = exit_order(position, held)
    assert order.transaction_type is (TransactionType.SELL if held > 0 else TransactionType.BUY)
    assert (order.quantity, order.order_type, order.market_protection) == (abs(held), OrderType.MARKET, Decimal(-1))
    assert Reducible({position: held}).only_reduces(order)
    assert check_fields(order, instrument=None) == []


def test_large_orders_of_derivatives_are_cut_by_the_broker() -> None:
    """The exchange freezes what is too large; elsewhere nothing is cut."""
    assert exit_order(("NFO", "NIFTY26DECFUT", "NRML"), 75).autoslice
    assert not exit_order(("NSE", "INFY", "MIS"), 10).autoslice
    assert exit_order(("NFO", "NIFTY26DECFUT", "NRML"), -75).exchange is Exchange.NFO
