"""What became of each order of a mass cancel, by what is stored of it."""

from __future__ import annotations

from uuid import UUID

import pytest

from app.broker.orders import Variety
from app.broker.outcomes import ChildOrder
from app.orders.state.mass_cancels import (
    FINAL,
    MassCancel,
    Outcome,
    mass_cancel_document,
    outcome_of_orders,
    outcome_of_placement,
)
from app.orders.state.model import KnownOrder, OrderState, Task, TaskStatus
from tests.order_requests import order
from tests.unit.orders.builders import NOW, known, task

A = "900001"
B = "900002"


def shown(order_id: str, state: OrderState, *, filled: int = 0, stale: bool = False) -> KnownOrder:
    return known(order_id=order_id, state=state, filled_quantity=filled, document={"stale": True} if stale else {})


@pytest.mark.parametrize(
    ("status", "finished", "outcome"),
    [
        (TaskStatus.PENDING, False, Outcome.CANCELLING),
        (TaskStatus.HELD, False, Outcome.CANCELLING),
        (TaskStatus.RETRYING, False, Outcome.CANCELLING),
        (TaskStatus.RUNNING, False, Outcome.IN_DOUBT),
        (TaskStatus.IN_DOUBT, False, Outcome.IN_DOUBT),
        (TaskStatus.FAILED, True, Outcome.NOT_PLACED),
        (TaskStatus.EXPIRED, True, Outcome.NOT_PLACED),
        (TaskStatus.CANCELLED, True, Outcome.NOT_PLACED),
        (TaskStatus.DEAD_LETTER, True, Outcome.NEEDS_ATTENTION),
    ],
)
def test_a_placement_without_an_order(status: TaskStatus, finished: bool, outcome: Outcome) -> None:
    """Only a known end is final; a placement that may have been sent never counts as not placed."""
    placement = task(status=status, finished_at=NOW if finished else None)
    assert outcome_of_placement(placement, []) is outcome
    assert (outcome in FINAL) is finished


@pytest.mark.parametrize(
    ("orders", "outcome"),
    [
        ([], Outcome.CANCELLING),
        ([shown(A, OrderState.OPEN)], Outcome.CANCELLING),
        ([shown(A, OrderState.PARTIALLY_FILLED, filled=4)], Outcome.CANCELLING),
        ([shown(A, OrderState.CANCELLED)], Outcome.CANCELLED),
        ([shown(A, OrderState.CANCELLED, filled=4)], Outcome.CANCELLED),
        ([shown(A, OrderState.COMPLETED, filled=10)], Outcome.FILLED),
        ([shown(A, OrderState.REJECTED)], Outcome.NOT_PLACED),
        ([shown(A, OrderState.OPEN, stale=True)], Outcome.NEEDS_ATTENTION),
    ],
)
def test_a_placement_with_an_order(orders: list[KnownOrder], outcome: Outcome) -> None:
    """An accepted order that the book has not shown yet is not taken for cancelled."""
    assert outcome_of_placement(task(status=TaskStatus.COMPLETED, order_id=A), orders) is outcome


def test_a_slice_that_the_book_has_not_shown_keeps_the_placement_open() -> None:
    """The first slice is cancelled; the second one may be live."""
    placement = task(status=TaskStatus.COMPLETED, order_id=A, children=(ChildOrder(order_id=A), ChildOrder(order_id=B)))
    first = shown(A, OrderState.CANCELLED)
    assert outcome_of_placement(placement, [first]) is Outcome.CANCELLING
    assert outcome_of_placement(placement, [first, shown(B, OrderState.OPEN)]) is Outcome.CANCELLING
    assert outcome_of_placement(placement, [first, shown(B, OrderState.CANCELLED)]) is Outcome.CANCELLED


def test_slices_that_fill_together_are_filled() -> None:
    """Their quantities add up to that of the request."""
    slices = [shown(A, OrderState.COMPLETED, filled=6), shown(B, OrderState.COMPLETED, filled=4)]
    assert outcome_of_orders(slices, quantity=10) is Outcome.FILLED
    assert outcome_of_orders(slices, quantity=11) is Outcome.CANCELLED


def test_the_next_leg_of_an_iceberg_may_follow_one_that_has_filled() -> None:
    """A leg that is cancelled is the last one."""
    iceberg = order(quantity=20, variety=Variety.ICEBERG, iceberg_legs=2, iceberg_quantity=10)
    placement = task(iceberg, status=TaskStatus.COMPLETED, order_id=A)
    first = shown(A, OrderState.COMPLETED, filled=10)
    assert outcome_of_placement(placement, [first]) is Outcome.CANCELLING
    assert outcome_of_placement(placement, [first, shown(B, OrderState.CANCELLED)]) is Outcome.CANCELLED
    assert outcome_of_placement(placement, [first, shown(B, OrderState.COMPLETED, filled=10)]) is Outcome.FILLED


@pytest.mark.parametrize(
    ("statuses", "status"),
    [
        ([], "completed"),
        ([TaskStatus.CANCELLED], "completed"),
        ([TaskStatus.CANCELLED, TaskStatus.DEAD_LETTER], "needs_attention"),
        ([TaskStatus.DEAD_LETTER, TaskStatus.IN_DOUBT], "running"),
    ],
)
def test_a_mass_cancel_is_not_complete_while_an_order_of_it_may_be_live(
    statuses: list[TaskStatus], status: str
) -> None:
    """An operator may find the order of a dead letter, and then it is cancelled still."""
    placements: list[tuple[Task, list[KnownOrder]]] = [(task(status=one, finished_at=NOW), []) for one in statuses]
    ids = [placement.task_id for placement, _ in placements]
    cancel = MassCancel(mass_cancel_id=UUID(int=1), account_id="primary", task_ids=ids, orders=[], created_at=NOW)
    assert mass_cancel_document(cancel, placements, [])["status"] == status
