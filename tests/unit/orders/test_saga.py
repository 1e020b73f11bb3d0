"""What a batch does next, from the state of its legs."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from decimal import Decimal

import pytest

from app.broker.orders import TransactionType, Variety
from app.broker.outcomes import ChildOrder
from app.orders.batches.legs import Leg, LegStatus, Residual, is_finished, leg_status, residuals
from app.orders.batches.saga import Decision, SquareOff, Withdraw, decide
from app.orders.state.model import BatchStatus, KnownOrder, OrderState, TaskStatus
from tests.order_requests import order
from tests.unit.orders.builders import NOW, batch, leg, leg_order, seconds

DOUBT_TIMEOUT = seconds(15)
S = TaskStatus
OPEN, FILLED, CANCELLED, REJECTED, PARTLY = (
    OrderState.OPEN,
    OrderState.COMPLETED,
    OrderState.CANCELLED,
    OrderState.REJECTED,
    OrderState.PARTIALLY_FILLED,
)


def decided(legs: list[Leg], **changes: object) -> Decision:
    return decide(batch(**changes), legs, now=NOW, doubt_timeout=DOUBT_TIMEOUT)


@pytest.mark.parametrize(
    ("status", "orders", "where"),
    [
        (S.PENDING, [], LegStatus.WAITING),
        (S.HELD, [], LegStatus.WAITING),
        (S.RUNNING, [], LegStatus.WAITING),
        (S.RETRYING, [], LegStatus.WAITING),
        (S.IN_DOUBT, [], LegStatus.DOUBTFUL),
        (S.FAILED, [], LegStatus.FAILED),
        (S.EXPIRED, [], LegStatus.FAILED),
        (S.CANCELLED, [], LegStatus.FAILED),
        (S.DEAD_LETTER, [], LegStatus.LOST),
        (S.COMPLETED, [], LegStatus.WAITING),  # accepted, and not yet shown by the book
        (S.COMPLETED, [leg_order(OrderState.PENDING)], LegStatus.WAITING),  # 200 only means queued
        (S.COMPLETED, [leg_order(OPEN)], LegStatus.CONFIRMED),
        (S.COMPLETED, [leg_order(OPEN, stale=True)], LegStatus.LOST),
        (S.COMPLETED, [leg_order(OrderState.TRIGGER_PENDING)], LegStatus.CONFIRMED),
        (S.COMPLETED, [leg_order(PARTLY, filled=3)], LegStatus.CONFIRMED),
        (S.COMPLETED, [leg_order(FILLED, filled=10)], LegStatus.CONFIRMED),
        (S.COMPLETED, [leg_order(REJECTED)], LegStatus.FAILED),
        (S.COMPLETED, [leg_order(CANCELLED)], LegStatus.FAILED),
        (S.COMPLETED, [leg_order(CANCELLED, filled=3)], LegStatus.CONFIRMED),
    ],
)
def test_the_status_of_a_leg_follows_its_task_and_its_orders(
    status: TaskStatus, orders: list[KnownOrder], where: LegStatus
) -> None:
    """Accepted by the broker is not confirmed: the book must show it past the checks."""
    assert leg_status(leg(0, status, *orders)) is where


def test_all_legs_confirmed_is_completed() -> None:
    """Resting or filled, it makes no difference."""
    decision = decided([leg(0, S.COMPLETED, leg_order(OPEN)), leg(1, S.COMPLETED, leg_order(FILLED, filled=10))])
    assert (decision.status, decision.actions) == (BatchStatus.COMPLETED, ())


def test_a_failed_leg_stops_and_takes_back_the_others() -> None:
    """Unsent legs and live ones are unwanted, finished ones are left for the report."""
    legs = [
        leg(0, S.COMPLETED, leg_order(FILLED, filled=10)),
        leg(1, S.COMPLETED, leg_order(OPEN, order_id="8")),
        leg(2, S.FAILED),
        leg(3, S.PENDING),
    ]
    decision = decided(legs)
    assert decision.status is BatchStatus.COMPENSATING
    assert decision.unwanted == (legs[1].task.task_id, legs[3].task.task_id)
    assert decision.error is not None
    assert "leg 2" in decision.error


def test_a_doubt_pauses_and_then_rolls_back() -> None:
    """Fifteen seconds; after them the leg in doubt is part of what is taken back."""
    doubtful = leg(0, S.IN_DOUBT, last_sent_at=NOW - seconds(14))
    waiting = leg(1, S.PENDING)
    assert decided([doubtful, waiting]).status is BatchStatus.RUNNING
    assert decided([doubtful, waiting]).again_at == NOW + seconds(1)
    too_long = leg(0, S.IN_DOUBT, last_sent_at=NOW - seconds(15))
    decision = decided([too_long, waiting])
    assert decision.status is BatchStatus.COMPENSATING
    assert decision.unwanted == (too_long.task.task_id, waiting.task.task_id)


def test_only_a_doubt_grows_too_old() -> None:
    """A leg that rests since a minute, and one that is being sent for as long, take nothing back."""
    long_ago = NOW - seconds(60)
    resting = leg(0, S.COMPLETED, leg_order(OPEN), last_sent_at=long_ago)
    assert decided([resting, leg(1, S.PENDING)]).status is BatchStatus.RUNNING
    assert decided([leg(0, S.RUNNING, last_sent_at=long_ago), leg(1, S.PENDING)]).status is BatchStatus.RUNNING


def test_a_doubt_is_waited_for_before_anything_is_called_rolled_back() -> None:
    """As long as a leg may exist, the batch is compensating and nothing else."""
    legs = [leg(0, S.FAILED), leg(1, S.IN_DOUBT)]
    assert decided(legs, status=BatchStatus.COMPENSATING).status is BatchStatus.COMPENSATING


def test_rolled_back_is_said_only_when_all_is_at_rest_and_nothing_filled() -> None:
    """One filled share makes it rolled_back_with_fills."""
    clean = [leg(0, S.FAILED), leg(1, S.COMPLETED, leg_order(CANCELLED)), leg(2, S.CANCELLED)]
    assert decided(clean, status=BatchStatus.COMPENSATING).status is BatchStatus.ROLLED_BACK
    filled = [leg(0, S.FAILED), leg(1, S.COMPLETED, leg_order(CANCELLED, filled=1))]
    assert decided(filled, status=BatchStatus.COMPENSATING).status is BatchStatus.ROLLED_BACK_WITH_FILLS


def test_an_accepted_order_that_the_book_has_not_shown_is_unwanted_too() -> None:
    """Its id is known; waiting for the book would leave it live for longer."""
    legs = [leg(0, S.FAILED), leg(1, S.COMPLETED, order_id="55")]
    assert decided(legs).unwanted == (legs[1].task.task_id,)


def test_a_leg_that_is_unwanted_already_stays_so_without_being_asked_again() -> None:
    """The first wish counts, with its reason; the batch waits for the leg's end."""
    wished = leg(1, S.COMPLETED, leg_order(OPEN), unwanted_since=NOW, unwanted_why="withdrawal")
    decision = decided([leg(0, S.FAILED), wished], status=BatchStatus.COMPENSATING)
    assert (decision.status, decision.unwanted) == (BatchStatus.COMPENSATING, ())


def test_a_leg_that_only_an_operator_can_decide_needs_attention() -> None:
    """A dead letter never ends as rolled back."""
    legs = [leg(0, S.DEAD_LETTER), leg(1, S.COMPLETED, leg_order(CANCELLED))]
    assert decided(legs, status=BatchStatus.COMPENSATING).status is BatchStatus.NEEDS_ATTENTION
    assert decided(legs, rollback_on_failure=False).status is BatchStatus.NEEDS_ATTENTION


def test_without_rollback_a_lost_leg_is_reported_when_the_others_have_their_answers() -> None:
    """A batch is not finished while one of its legs may still be sent."""
    lost = leg(0, S.DEAD_LETTER)
    assert decided([lost, leg(1, S.PENDING)], rollback_on_failure=False).status is BatchStatus.RUNNING
    ended = [lost, leg(1, S.COMPLETED, leg_order(OPEN))]
    assert decided(ended, rollback_on_failure=False).status is BatchStatus.NEEDS_ATTENTION


def test_a_leg_whose_end_will_not_be_seen_is_not_cancelled_for_ever() -> None:
    """The book of its day is gone: it cannot be cancelled any more, and an operator must see it."""
    legs = [leg(0, S.COMPLETED, leg_order(OPEN, stale=True)), leg(1, S.FAILED)]
    decision = decided(legs)
    assert (decision.status, decision.actions) == (BatchStatus.NEEDS_ATTENTION, ())
    assert decision.unwanted == (legs[0].task.task_id,)  # should it show after all


@pytest.mark.parametrize("back", [leg(1, S.DEAD_LETTER), leg(1, S.COMPLETED, leg_order(PARTLY, filled=1, stale=True))])
def test_a_square_off_that_only_an_operator_can_decide_needs_attention(back: Leg) -> None:
    """It is neither waited for without end nor counted as done."""
    filled = leg(1, S.COMPLETED, leg_order(CANCELLED, filled=4), exits=(back,))
    decision = decided([leg(0, S.FAILED), filled], status=BatchStatus.COMPENSATING, on_filled="square_off")
    assert decision.status is BatchStatus.NEEDS_ATTENTION


def test_the_deadline_ends_the_placing_of_legs_and_not_the_saga() -> None:
    """With rollback live legs are taken back; without it unsent legs are withdrawn and the rest is waited for."""
    late = NOW - seconds(1)
    legs = [leg(0, S.COMPLETED, leg_order(OPEN)), leg(1, S.PENDING)]
    assert decided(legs, deadline_at=late).status is BatchStatus.COMPENSATING
    decision = decided(legs, deadline_at=late, rollback_on_failure=False)
    assert decision.actions == (Withdraw(task_id=legs[1].task.task_id),)
    assert decision.status is BatchStatus.RUNNING


def test_square_off_waits_until_all_is_at_rest_and_happens_once() -> None:
    """First every leg ends, then each fill is taken back by one order, then that order is waited for."""
    filled = leg(1, S.COMPLETED, leg_order(CANCELLED, filled=4))
    options = {"status": BatchStatus.COMPENSATING, "on_filled": "square_off"}
    assert decided([leg(0, S.IN_DOUBT), filled], **options).actions == ()
    decision = decided([leg(0, S.FAILED), filled], **options)
    assert (decision.status, decision.actions) == (BatchStatus.COMPENSATING, (SquareOff(leg=1, quantity=4),))
    working = replace(filled, exits=(leg(1, S.RUNNING),))
    assert decided([leg(0, S.FAILED), working], **options).status is BatchStatus.COMPENSATING
    done = replace(filled, exits=(leg(1, S.COMPLETED, leg_order(FILLED, filled=4)),))
    assert decided([leg(0, S.FAILED), done], **options).status is BatchStatus.ROLLED_BACK_WITH_FILLS


def test_slices_that_the_book_has_not_shown_are_part_of_their_leg() -> None:
    """Three were confirmed, one is shown: it is not confirmed, not at rest, and the other two are cancelled too."""
    children = tuple(ChildOrder(order_id=order_id) for order_id in "789")
    sliced = leg(1, S.COMPLETED, leg_order(OPEN), order_id="7", children=children)
    assert leg_status(sliced) is LegStatus.WAITING
    ended = replace(sliced, orders=(leg_order(CANCELLED),))
    decision = decided([leg(0, S.FAILED), ended], status=BatchStatus.COMPENSATING)
    assert decision.status is BatchStatus.COMPENSATING
    assert decision.unwanted == (ended.task.task_id,)


def test_a_leg_that_was_taken_in_part_only_has_failed() -> None:
    """One slice was refused: what was asked for does not stand, and the rest is taken back."""
    children = (
        ChildOrder(order_id="7"),
        ChildOrder(error_type="MarginException", message="Insufficient funds"),
    )
    decision = decided([leg(0, S.COMPLETED, leg_order(OPEN), order_id="7", children=children)])
    assert decision.status is BatchStatus.COMPENSATING
    assert decision.error == "leg 0 was taken in part only: Insufficient funds"
    all_refused = leg(0, S.COMPLETED, order_id="1", children=children[1:])
    assert decided([all_refused], status=BatchStatus.COMPENSATING).status is BatchStatus.ROLLED_BACK


def test_the_next_slice_of_an_iceberg_is_waited_for() -> None:
    """The first five filled, the book does not show the next five yet: nothing is at rest."""
    iceberg = order(variety=Variety.ICEBERG, iceberg_legs=2, iceberg_quantity=5)
    first = leg(1, S.COMPLETED, leg_order(FILLED, filled=5, quantity=5), request=iceberg)
    assert decided([leg(0, S.FAILED), first], status=BatchStatus.COMPENSATING).status is BatchStatus.COMPENSATING
    both = replace(first, orders=(*first.orders, leg_order(CANCELLED, order_id="8", quantity=5)))
    decision = decided([leg(0, S.FAILED), both], status=BatchStatus.COMPENSATING)
    assert decision.status is BatchStatus.ROLLED_BACK_WITH_FILLS


def test_residuals_net_by_instrument_and_product_and_are_exact() -> None:
    """Bought 10 at 1500 and 5 at 1503, sold 3: 12 are left, at the average of what was bought."""
    sell = order(transaction_type=TransactionType.SELL)
    legs = [
        leg(0, S.COMPLETED, leg_order(FILLED, filled=10)),
        leg(1, S.COMPLETED, leg_order(FILLED, filled=5, price="1503")),
        leg(2, S.COMPLETED, leg_order(FILLED, filled=3, price="1510"), request=sell),
    ]
    assert residuals(legs) == [
        Residual(exchange="NSE", tradingsymbol="INFY", product="MIS", quantity=12, average_price=Decimal(1501))
    ]
    assert residuals([leg(0, S.COMPLETED, leg_order(OPEN))]) == []


def test_a_squared_off_fill_leaves_no_residual() -> None:
    """What was bought and sold again is gone from the report."""
    sell = order(transaction_type=TransactionType.SELL)
    back = leg(0, S.COMPLETED, leg_order(FILLED, filled=10, price="1499"), request=sell)
    assert residuals([leg(0, S.COMPLETED, leg_order(FILLED, filled=10), exits=(back,))]) == []


def legs_in_every_state(number: int) -> list[Leg]:
    """A leg in each state that makes a difference."""

    def shown(state: OrderState, *, filled: int = 0, stale: bool = False, **changes: object) -> Leg:
        return leg(number, S.COMPLETED, leg_order(state, filled=filled, stale=stale), **changes)

    return [
        *(leg(number, status) for status in S if status is not S.COMPLETED),
        leg(number, S.COMPLETED, order_id="7"),  # confirmed, and not yet shown by the book
        shown(OPEN),
        shown(PARTLY, filled=3),
        shown(FILLED, filled=10),
        shown(CANCELLED),
        shown(CANCELLED, filled=3),
        shown(REJECTED),
        shown(OPEN, stale=True),
        shown(OPEN, unwanted_since=NOW),
        leg(number, S.RUNNING, unwanted_since=NOW),
    ]


@dataclass(frozen=True, slots=True)
class Decided:
    """A decision, with what it was made from."""

    legs: list[Leg]
    before: BatchStatus
    rollback: bool
    decision: Decision


def every_decision() -> Iterator[Decided]:
    """Of every batch of up to three legs in all states."""
    by_number = [legs_in_every_state(number) for number in range(3)]
    for count in (1, 2, 3):
        for states in itertools.combinations_with_replacement(range(len(by_number[0])), count):
            legs = [by_number[number][state] for number, state in enumerate(states)]
            for status, rollback in itertools.product((BatchStatus.RUNNING, BatchStatus.COMPENSATING), (True, False)):
                decision = decided(legs, status=status, rollback_on_failure=rollback)
                yield Decided(legs, status, rollback, decision)


def test_no_decision_ever_lies() -> None:
    """completed: all stand. rolled_back: all at rest, nothing filled. with fills: all at rest, something filled."""
    reached = Counter[BatchStatus]()
    for one in every_decision():
        status = one.decision.status
        reached[status] += 1
        filled = any(leg.filled_quantity for leg in one.legs)
        at_rest = all(is_finished(leg) for leg in one.legs)
        if status is BatchStatus.COMPLETED:
            assert all(leg_status(leg) is LegStatus.CONFIRMED for leg in one.legs)
        if status is BatchStatus.ROLLED_BACK:
            assert (at_rest, filled) == (True, False)
        if status is BatchStatus.ROLLED_BACK_WITH_FILLS:
            assert (at_rest, filled) == (True, True)
        if status is BatchStatus.NEEDS_ATTENTION:
            assert any(leg.is_lost for leg in one.legs)
        if not status.is_open:
            assert one.decision.actions == ()
    assert min(reached[status] for status in BatchStatus) > 20


def test_a_rollback_wants_nothing_that_is_live_or_may_become_so() -> None:
    """Each leg is called unwanted once, also a lost one; without a rollback none is."""
    asked = 0
    for one in every_decision():
        taken_back = one.before is BatchStatus.COMPENSATING or (
            one.rollback and one.decision.status not in {BatchStatus.RUNNING, BatchStatus.COMPLETED}
        )
        live = [leg.task for leg in one.legs if leg.is_lost or not is_finished(leg)]
        wanted = tuple(task.task_id for task in live if taken_back and task.unwanted_since is None)
        assert one.decision.unwanted == wanted
        asked += len(wanted)
    assert asked > 100


def test_a_leg_whose_outcome_is_lost_takes_the_others_back_at_once() -> None:
    """Not only when the deadline is over: the live ones would stand alone until then."""
    lost, live = leg(0, S.DEAD_LETTER), leg(1, S.COMPLETED, leg_order(OPEN, order_id="8"))
    decision = decided([lost, live])
    assert decision.status is BatchStatus.COMPENSATING
    assert live.task.task_id in decision.unwanted


def test_an_iceberg_that_has_filled_completely_has_no_slice_to_come() -> None:
    """Five and five of ten: the leg is at rest, and the batch says what has filled."""
    iceberg = order(variety=Variety.ICEBERG, iceberg_legs=2, iceberg_quantity=5)
    slices = [leg_order(FILLED, filled=5, quantity=5), leg_order(FILLED, filled=5, order_id="8", quantity=5)]
    assert is_finished(leg(1, S.COMPLETED, *slices, request=iceberg))
    assert not is_finished(leg(1, S.COMPLETED, slices[0], request=iceberg))
    whole = leg(1, S.COMPLETED, *slices, request=iceberg)
    decision = decided([leg(0, S.FAILED), whole], status=BatchStatus.COMPENSATING)
    assert decision.status is BatchStatus.ROLLED_BACK_WITH_FILLS


def test_the_deadline_counts_from_its_own_moment() -> None:
    """At it the batch is late, a moment before it is not."""
    legs = [leg(0, S.COMPLETED, leg_order(OPEN)), leg(1, S.PENDING)]
    assert decided(legs, deadline_at=NOW).status is BatchStatus.COMPENSATING
    assert decided(legs, deadline_at=NOW + seconds(0.001)).status is BatchStatus.RUNNING
    unsent = (Withdraw(task_id=legs[1].task.task_id),)
    assert decided(legs, deadline_at=NOW, rollback_on_failure=False).actions == unsent
    assert decided(legs, deadline_at=NOW + seconds(0.001), rollback_on_failure=False).actions == ()
