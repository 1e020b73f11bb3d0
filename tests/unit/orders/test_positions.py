"""What only makes a position smaller, and that no unit of it is given out twice."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from app.broker.orders import TransactionType
from app.orders.risk.positions import Reducible, net_positions, side_of
from tests.order_requests import order

BUY, SELL = TransactionType.BUY, TransactionType.SELL
INFY = ("NSE", "INFY", "MIS")


@given(side=st.sampled_from([BUY, SELL]), wanted=st.integers(1, 100), held=st.integers(-100, 100))
def test_a_reduction_never_reverses_a_position(side: TransactionType, wanted: int, held: int) -> None:
    """Whatever is held and wanted, what is left has the same sign or is nothing."""
    quantity = Reducible({INFY: held}).free_for(order(transaction_type=side, quantity=wanted))
    left = held + (quantity if side is BUY else -quantity)
    assert 0 <= quantity <= wanted
    assert left == 0 or (left > 0) == (held > 0)
    assert abs(left) <= abs(held)


@given(held=st.integers(-50, 50), promised=st.integers(0, 60), wanted=st.lists(st.integers(1, 30), max_size=5))
def test_each_unit_is_given_out_once(held: int, promised: int, wanted: list[int]) -> None:
    """All that is given, with what was promised before, is never more than what is held."""
    side = SELL if held > 0 else BUY
    reducible = Reducible({INFY: held}, {side_of(order(transaction_type=side)): promised})
    given_out = 0
    for quantity in wanted:
        request = order(transaction_type=side, quantity=quantity)
        free = reducible.free_for(request)
        reducible.reserve(request, free)
        given_out += free
    assert given_out == min(sum(wanted), max(0, abs(held) - promised))


def test_a_promise_to_one_position_is_not_taken_from_another() -> None:
    """Product and side make the key, not the instrument alone."""
    sold = order(transaction_type=SELL, quantity=10)
    reducible = Reducible({INFY: 10, ("NSE", "INFY", "CNC"): 10}, {side_of(sold): 10})
    assert reducible.free_for(sold) == 0
    assert reducible.free_for(order(transaction_type=SELL, quantity=10, product="CNC")) == 10


def test_positions_are_distinguished_by_exchange_symbol_and_product() -> None:
    """As the broker's answer lists them."""
    row = {"exchange": "NSE", "tradingsymbol": "INFY", "product": "MIS", "quantity": -4}
    assert net_positions({"net": [row], "day": []}) == {INFY: -4}
