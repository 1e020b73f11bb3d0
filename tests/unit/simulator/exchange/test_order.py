"""An order's statuses and quantities."""

from datetime import timedelta
from decimal import Decimal

import pytest

from simulator.exchange.orders.order import Order, Trade
from simulator.exchange.orders.request import OrderRequest
from simulator.exchange.orders.status import TERMINAL, TRANSITIONS
from simulator.market.market import Market
from tests.unit.simulator.exchange.environment import START

REQUEST = OrderRequest(
    variety="regular",
    exchange="NSE",
    tradingsymbol="INFY",
    transaction_type="BUY",
    quantity=10,
    product="MIS",
    order_type="LIMIT",
    price=Decimal(1500),
)


@pytest.fixture(scope="module")
def market() -> Market:
    return Market(seed=1, now=START, ticks_per_second=0)


@pytest.fixture
def order(market: Market) -> Order:
    instrument = market.find("NSE", "INFY")
    assert instrument is not None
    return Order("1", "SIM001", instrument, REQUEST, START, "guid")


def trade(order: Order, quantity: int, price: str = "1500") -> Trade:
    return Trade("1", order.order_id, "2", order.instrument, "MIS", "BUY", quantity, Decimal(price), START)


def walk(order: Order, *statuses: str) -> None:
    for status in statuses:
        order.move(status, at=START)


def test_the_table_has_every_status_that_may_follow() -> None:
    """Every following status is a key of the table, and final statuses have none."""
    assert {follower for followers in TRANSITIONS.values() for follower in followers} <= set(TRANSITIONS)
    assert {status for status, followers in TRANSITIONS.items() if not followers} == TERMINAL


def test_a_transition_that_is_not_in_the_table_is_refused(order: Order) -> None:
    """Here from PUT ORDER REQ RECEIVED to COMPLETE."""
    with pytest.raises(ValueError, match="PUT ORDER REQ RECEIVED may not become COMPLETE"):
        order.move("COMPLETE", at=START)


def test_a_complete_order_has_nothing_pending(order: Order) -> None:
    """Filled is the quantity, pending and cancelled are 0."""
    walk(order, "VALIDATION PENDING", "OPEN PENDING", "OPEN")
    order.fill(trade(order, 4))
    assert (order.status, order.pending_quantity) == ("OPEN", 6)
    order.fill(trade(order, 6, "1501"))
    assert (order.status, order.filled_quantity, order.pending_quantity, order.cancelled_quantity) == (
        "COMPLETE",
        10,
        0,
        0,
    )
    assert order.average_price == Decimal("1500.6")


def test_the_unfilled_quantity_of_a_cancelled_order_is_pending_and_cancelled(order: Order) -> None:
    """Kite counts it twice; only filled_quantity is reliable."""
    walk(order, "VALIDATION PENDING", "OPEN PENDING", "OPEN")
    order.fill(trade(order, 4))
    walk(order, "CANCEL PENDING", "CANCELLED")
    assert (order.filled_quantity, order.pending_quantity, order.cancelled_quantity) == (4, 6, 6)


def test_a_rejected_order_has_all_quantities_zero_but_its_own(order: Order) -> None:
    """It has no exchange order id when it never reached the exchange."""
    walk(order, "VALIDATION PENDING")
    order.reject("RMS: no", at=START)
    assert (order.filled_quantity, order.pending_quantity, order.cancelled_quantity) == (0, 0, 0)
    assert order.request.quantity == 10
    assert (order.exchange_order_id, order.status_message) == (None, "RMS: no")


def test_an_order_cannot_be_filled_beyond_its_quantity(order: Order) -> None:
    """A fill of 0 is refused too."""
    walk(order, "VALIDATION PENDING", "OPEN PENDING", "OPEN")
    for quantity in (0, 11):
        with pytest.raises(ValueError, match="cannot fill"):
            order.fill(trade(order, quantity))


def test_a_modification_passes_through_its_three_statuses(order: Order) -> None:
    """MODIFY VALIDATION PENDING, MODIFY PENDING, MODIFIED, then OPEN again; order_timestamp changes."""
    walk(order, "VALIDATION PENDING", "OPEN PENDING", "OPEN")
    later = START + timedelta(seconds=5)
    order.amend(REQUEST, at=later, becomes="OPEN")
    assert [row.status for row in order.history[-4:]] == [
        "MODIFY VALIDATION PENDING",
        "MODIFY PENDING",
        "MODIFIED",
        "OPEN",
    ]
    assert (order.modified, order.order_timestamp) == (True, later)


def test_a_refused_modification_leaves_the_order_live_with_the_reason(order: Order) -> None:
    """Its values do not change; status_message has the reason."""
    walk(order, "VALIDATION PENDING", "OPEN PENDING", "OPEN")
    order.refuse_amendment("order variety cannot be modified", at=START)
    assert (order.status, order.request, order.status_message) == (
        "OPEN",
        REQUEST,
        "order variety cannot be modified",
    )
