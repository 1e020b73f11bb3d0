"""Whether rows are all the orders of a placement: by quantities, sides, and what the broker said of slices."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.broker.orders import BrokerOrder, OrderRequest, Variety
from app.broker.outcomes import ChildOrder, Sent
from app.orders.state.completeness import (
    SLICES_MISSING,
    Accounted,
    accounted,
    at_rest,
    state_of_all,
    surplus,
    untaken,
)
from app.orders.state.documents import unplaced_document
from app.orders.state.model import OrderState, TaskError, TaskStatus
from tests.order_requests import order
from tests.unit.orders.builders import known, row, task

PART, SO_FAR, ALL = Accounted.PART, Accounted.SO_FAR, Accounted.ALL
SLICED = order(autoslice=True)
ICEBERG = order(variety=Variety.ICEBERG, iceberg_legs=2, iceberg_quantity=5)
COVER = order(variety=Variety.CO)
SEEN = (ChildOrder(order_id="1"), ChildOrder(order_id="2"))
REFUSED = (ChildOrder(order_id="1"), ChildOrder(error_type="MarginException", message="no funds"))


def one(order_id: str, quantity: int, *, filled: int = 0, status: str = "OPEN", **more: Any) -> BrokerOrder:
    return row(order_id=order_id, quantity=quantity, filled_quantity=filled, status=status, **more)


def modified(order_id: str, quantity: int) -> BrokerOrder:
    return one(order_id, quantity, raw={"modified": True})


def stop(quantity: int, *, status: str = "TRIGGER PENDING", filled: int = 0) -> BrokerOrder:
    return one("2", quantity, status=status, filled=filled, transaction_type="SELL", parent_order_id="1")


@pytest.mark.parametrize(
    ("request_", "answer", "rows", "expected"),
    [
        (order(), {}, [], PART),
        (order(), {}, [one("1", 10)], ALL),
        (order(), {"order_id": "1"}, [one("1", 10)], ALL),
        (order(), {"order_id": "1"}, [modified("1", 12)], ALL),
        (order(), {"order_id": "9"}, [one("1", 10)], PART),  # what was confirmed is not there
        (SLICED, {}, [one("1", 4)], PART),
        (SLICED, {}, [one("1", 4), one("2", 4)], PART),
        (SLICED, {}, [one("1", 4), one("2", 6)], ALL),
        (SLICED, {"order_id": "9"}, [one("1", 10)], ALL),  # below the limit: the group is this order
        (SLICED, {"order_id": "9", "children": SEEN}, [one("1", 4)], PART),
        (SLICED, {"order_id": "9", "children": SEEN}, [one("1", 4), modified("2", 3)], ALL),
        (SLICED, {"order_id": "9", "children": SEEN}, [modified("1", 10)], PART),
        (SLICED, {"order_id": "9", "children": REFUSED}, [one("1", 4)], ALL),
        (ICEBERG, {}, [one("1", 5)], SO_FAR),
        (ICEBERG, {}, [one("1", 5, filled=5, status="COMPLETE")], SO_FAR),
        (ICEBERG, {}, [one("1", 5, filled=2, status="CANCELLED")], ALL),  # a leg that ends early is the last one
        (ICEBERG, {}, [one("1", 5, filled=5, status="COMPLETE"), one("2", 5)], ALL),
        (COVER, {}, [one("1", 10)], SO_FAR),
        (COVER, {}, [one("1", 10, filled=10, status="COMPLETE")], SO_FAR),  # its stop is to come
        (COVER, {}, [one("1", 10, filled=10, status="COMPLETE"), stop(10)], ALL),
        (COVER, {}, [one("1", 10, filled=4, status="CANCELLED")], SO_FAR),
        (COVER, {}, [one("1", 10, filled=4, status="CANCELLED"), stop(4)], ALL),
        (COVER, {}, [one("1", 10, status="CANCELLED")], ALL),  # without a fill there is no stop
        (COVER, {}, [stop(10)], PART),
    ],
)
def test_rows_account_for_a_placement(
    request_: OrderRequest, answer: dict[str, Any], rows: list[BrokerOrder], expected: Accounted
) -> None:
    """One order, slices, legs of an iceberg, an entry with its stop."""
    assert accounted(task(request_, **answer), rows) is expected


@given(sizes=st.lists(st.integers(1, 5), min_size=1, max_size=6), shown=st.integers(0, 6))
def test_slices_are_all_there_when_their_quantity_is(sizes: list[int], shown: int) -> None:
    """Whatever the broker cuts, and in whatever number."""
    rows = [one(str(number), size) for number, size in enumerate(sizes)][:shown]
    wanted = order(autoslice=True, quantity=sum(sizes))
    assert (accounted(task(wanted), rows) is ALL) == (shown >= len(sizes))


@pytest.mark.parametrize(
    ("request_", "rows", "fits"),
    [
        (order(), [one("1", 10)], True),
        (order(), [one("1", 9)], False),
        (order(), [modified("1", 9)], True),
        (order(), [one("1", 5), one("2", 5)], False),
        (SLICED, [one("1", 4)], True),
        (SLICED, [one("1", 4), one("2", 7)], False),
        (SLICED, [one("1", 4), modified("2", 7)], True),
        (COVER, [one("1", 10), stop(10)], True),
        (COVER, [one("1", 11), stop(10)], False),
    ],
)
def test_more_than_was_asked_for_is_not_of_the_placement(
    request_: OrderRequest, rows: list[BrokerOrder], fits: bool
) -> None:
    """Less may still come, more never."""
    assert (surplus(task(request_), rows) == "") is fits


def test_a_part_has_its_reason() -> None:
    """The broker's words about a slice, or what the book lacks; nothing for what was taken whole."""
    assert untaken(task(SLICED, children=REFUSED)) == "no funds"
    missing = TaskError(code=SLICES_MISSING, message="4 of 10")
    assert untaken(task(SLICED, children=SEEN, last_error=missing)) == "4 of 10"
    assert untaken(task(SLICED, children=SEEN)) == ""


def test_a_placement_is_at_rest_when_nothing_of_it_lives_or_can() -> None:
    """Not while a slice is missing, and never while an operator has to decide."""
    ended = known(order_id="1", state=OrderState.CANCELLED, document={"quantity": 4})
    live = known(order_id="2", state=OrderState.OPEN, document={"quantity": 6})
    done = task(SLICED, status=TaskStatus.COMPLETED)
    assert not at_rest(done, [ended])
    assert not at_rest(done, [ended, live])
    assert at_rest(done, [ended, known(order_id="2", state=OrderState.COMPLETED, document={"quantity": 6})])
    assert at_rest(task(status=TaskStatus.FAILED), [])
    assert not at_rest(task(status=TaskStatus.DEAD_LETTER), [])


def test_slices_together_are_as_far_as_the_last_of_them() -> None:
    """A missing one counts as pending."""
    filled = known(order_id="1", state=OrderState.COMPLETED, filled_quantity=4, document={"quantity": 4})
    live = known(order_id="2", state=OrderState.OPEN, document={"quantity": 6})
    done = task(SLICED, status=TaskStatus.COMPLETED)
    assert state_of_all(done, []) is OrderState.PENDING
    assert state_of_all(done, [filled]) is OrderState.PARTIALLY_FILLED
    assert state_of_all(done, [live]) is OrderState.OPEN
    assert state_of_all(done, [filled, live]) is OrderState.PARTIALLY_FILLED


@pytest.mark.parametrize(
    ("status", "sent", "state"),
    [
        (TaskStatus.FAILED, Sent.YES, OrderState.REJECTED),
        (TaskStatus.FAILED, Sent.NO, OrderState.CANCELLED),
        (TaskStatus.FAILED, Sent.UNKNOWN, OrderState.CANCELLED),
        (TaskStatus.EXPIRED, Sent.NO, OrderState.CANCELLED),
        (TaskStatus.CANCELLED, Sent.NO, OrderState.CANCELLED),
        (TaskStatus.IN_DOUBT, Sent.UNKNOWN, OrderState.PENDING),
        (TaskStatus.DEAD_LETTER, Sent.UNKNOWN, OrderState.PENDING),
    ],
)
def test_only_what_the_broker_has_refused_is_called_rejected(status: TaskStatus, sent: Sent, state: OrderState) -> None:
    """A placement that was withdrawn, or expired, was never seen by the broker."""
    placement = task(status=status, sent=sent)
    assert state_of_all(placement, []) is state
    assert unplaced_document(placement)["state"] == state
