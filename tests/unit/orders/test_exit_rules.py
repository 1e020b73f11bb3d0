"""At which price an exit goes, how often it moves, and when another one follows."""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.broker.orders import TransactionType
from app.broker.outcomes import Sent
from app.orders.batches.batch_documents import batch_document
from app.orders.batches.exit_rules import (
    LEAST_GAP_S,
    ExitStatus,
    LiveExit,
    Move,
    Reference,
    Step,
    Wait,
    band_percent,
    exit_price,
    next_step,
    progress,
)
from app.orders.batches.legs import Leg, LegStatus, leg_status
from app.orders.batches.saga import SquareOff, decide
from app.orders.state.model import BatchStatus, KnownOrder, OrderState, TaskError, TaskStatus
from tests.order_requests import order
from tests.unit.orders.builders import NOW, batch, leg, leg_order, seconds

SELL, BUY = TransactionType.SELL, TransactionType.BUY
S = TaskStatus


def reference(last_price: str = "1500", **changes: Any) -> Reference:
    fields: dict[str, Any] = {"age_s": 1.0, "tick_size": Decimal("0.05"), "is_option": False, **changes}
    return Reference(last_price=Decimal(last_price), **fields)


def live(**changes: Any) -> LiveExit:
    """A sale at 1492.50 that has rested for a minute of its five."""
    fields: dict[str, Any] = {
        "transaction_type": SELL,
        "price": Decimal("1492.50"),
        "is_open": True,
        "is_moving": False,
        "spent": 0,
        "last_move_at": None,
        "began_at": NOW - seconds(60),
        "exit_by": NOW + seconds(240),
        "is_unwanted": False,
    }
    return LiveExit(**{**fields, **changes})


FALLEN = reference("1480")
DOWN = Move(price=Decimal("1472.60"))


@pytest.mark.parametrize(
    ("changes", "market", "budget", "expected"),
    [
        ({}, FALLEN, 1, DOWN),
        ({"transaction_type": BUY, "price": Decimal("1507.50")}, reference("1520"), 1, Move(price=Decimal("1527.60"))),
        ({}, reference(), 1, Wait),  # the same market: no modification is spent
        ({}, reference("1520"), 1, Wait),  # the market has come back: the price is good already
        ({}, FALLEN, 0, Wait),
        ({"is_moving": True}, FALLEN, 1, Wait),
        ({"is_open": False}, FALLEN, 1, Wait),
        ({"price": Decimal(0)}, FALLEN, 1, Wait),
        ({"is_unwanted": True}, FALLEN, 1, Wait),
        ({"spent": 23, "began_at": NOW - seconds(290), "exit_by": NOW + seconds(10)}, FALLEN, 1, DOWN),
        ({"spent": 24, "began_at": NOW - seconds(299), "exit_by": NOW + seconds(1)}, FALLEN, 1, Wait),
        ({"spent": 10, "last_move_at": NOW - seconds(5)}, FALLEN, 1, DOWN),  # the eleventh is due after 58 s
        ({"spent": 11, "last_move_at": NOW - seconds(5)}, FALLEN, 1, Wait),  # the twelfth after 69 s
        ({"last_move_at": NOW - seconds(0.9)}, FALLEN, 1, Wait),
        ({}, None, 1, Wait),
        ({}, reference("1480", age_s=5.1), 1, Wait),
        ({}, reference("1480", age_s=5.0), 1, DOWN),
        ({}, reference("0"), 1, Wait),
        ({"exit_by": NOW}, FALLEN, 1, Wait),
        ({"exit_by": NOW - seconds(1)}, FALLEN, 1, Wait),
        ({"exit_by": NOW, "is_unwanted": True}, FALLEN, 1, Wait),
    ],
)
def test_what_becomes_of_a_live_exit(
    changes: dict[str, Any], market: Reference | None, budget: int, expected: Step | type[Step]
) -> None:
    """It follows the market down, never up, and only when nothing of it is unknown."""
    step = next_step(live(**changes), market, now=NOW, budget=budget)
    assert (step if isinstance(expected, Move) else type(step)) == expected


def test_only_a_missing_price_asks_for_one() -> None:
    """The broker answers one quote a second: none is asked for an exit that would not move anyway."""
    asks = [
        next_step(live(**changes), None, now=NOW, budget=1)
        for changes in ({}, {"is_moving": True}, {"spent": 24}, {"is_unwanted": True}, {"last_move_at": NOW})
    ]
    assert [isinstance(step, Wait) and step.needs_price for step in asks] == [True, False, False, False, False]


@pytest.mark.parametrize(
    ("price", "option", "percent"),
    [
        ("9.95", False, "2"), ("99.95", False, "2"), ("100", False, "1"), ("499.95", False, "1"), ("500", False, "0.5"),
        ("9.95", True, "5"), ("10", True, "3"), ("100", True, "2"), ("500", True, "1"),
    ],
)  # fmt: skip
def test_the_band_is_that_of_the_market_protection(price: str, option: bool, percent: str) -> None:
    """Kite's own table."""
    assert band_percent(Decimal(price), is_option=option) == Decimal(percent)


prices = st.decimals(min_value=Decimal("0.05"), max_value=Decimal(100_000), places=2)


@given(last=prices, low=prices, high=prices, side=st.sampled_from([SELL, BUY]), option=st.booleans())
def test_a_price_is_inside_protection_and_circuit_and_on_a_tick(
    last: Decimal,
    low: Decimal,
    high: Decimal,
    side: TransactionType,
    option: bool,
) -> None:
    """Whatever the quote says; where the last price itself is outside of the circuit, the circuit counts."""
    tick = Decimal("0.05")
    lower, upper = (one - one % tick + tick for one in sorted((low, high)))
    market = reference(str(last), lower_circuit=lower, upper_circuit=upper, is_option=option)
    price = exit_price(side, market)
    assert lower <= price <= upper
    assert price % tick == 0
    band = last * band_percent(last, is_option=option) / 100
    if lower <= last - band and last + band <= upper:
        assert last - band <= price <= last + band or band < tick


@given(
    exit_s=st.floats(min_value=1.0, max_value=900.0),
    looks=st.lists(st.floats(min_value=0.01, max_value=30.0), max_size=400),
)
def test_no_course_of_the_market_spends_more_than_24_modifications(exit_s: float, looks: list[float]) -> None:
    """It falls at each look, so each look would move; the first ones come fast, and some are left for later."""
    began, now = NOW, NOW
    one = live(began_at=began, exit_by=began + seconds(exit_s), price=Decimal(10_000))
    moments: list[datetime] = []
    last = Decimal(9_000)
    for pause in looks:
        now += seconds(pause)
        last -= 10
        step = next_step(one, reference(str(last)), now=now, budget=100)
        if isinstance(step, Move):
            assert now < one.exit_by
            moments.append(now)
            one = replace(one, price=step.price, spent=one.spent + 1, last_move_at=now)
    assert len(moments) <= 24
    assert all(later - earlier >= timedelta(seconds=LEAST_GAP_S) for earlier, later in itertools.pairwise(moments))
    early = [moment for moment in moments if moment - began < seconds(exit_s / 4)]
    assert len(early) <= 12


def closing(status: TaskStatus, *orders: KnownOrder, exits: tuple[Leg, ...] = (), **changes: Any) -> Leg:
    """A leg that closes ten INFY by a sale."""
    sale = order(transaction_type=SELL)
    fields: dict[str, Any] = {"exit_by": NOW + seconds(240), "created_at": NOW - seconds(60), **changes}
    return leg(0, status, *orders, request=sale, exits=exits, **fields)


def following(status: TaskStatus, *orders: KnownOrder, **changes: Any) -> Leg:
    return replace(closing(status, *orders, **changes), exits=())


CANCELLED, FILLED, OPEN = OrderState.CANCELLED, OrderState.COMPLETED, OrderState.OPEN
ENDED = leg_order(CANCELLED, filled=4)
NOTHING = TaskError(code="NOTHING_TO_REDUCE", message="gone")


@pytest.mark.parametrize(
    ("one", "status", "left"),
    [
        (closing(S.PENDING), ExitStatus.WORKING, 10),
        (closing(S.IN_DOUBT), ExitStatus.WORKING, 10),
        (closing(S.COMPLETED), ExitStatus.WORKING, 10),  # accepted, not shown yet
        (closing(S.COMPLETED, leg_order(OPEN)), ExitStatus.WORKING, 10),
        (closing(S.COMPLETED, leg_order(FILLED, filled=10)), ExitStatus.FLAT, 0),
        (closing(S.COMPLETED, ENDED), ExitStatus.NEEDED, 6),
        (closing(S.EXPIRED, sent=Sent.NO), ExitStatus.NEEDED, 10),
        (closing(S.FAILED, sent=Sent.NO), ExitStatus.NEEDED, 10),
        (closing(S.FAILED, sent=Sent.UNKNOWN), ExitStatus.GIVEN_UP, 10),  # it may still appear
        (closing(S.FAILED, sent=Sent.NO, last_error=NOTHING), ExitStatus.GIVEN_UP, 10),
        (closing(S.CANCELLED, sent=Sent.NO), ExitStatus.GIVEN_UP, 10),
        (closing(S.COMPLETED, ENDED, unwanted_since=NOW, unwanted_why="withdrawal"), ExitStatus.GIVEN_UP, 6),
        (closing(S.COMPLETED, ENDED, unwanted_since=NOW, unwanted_why="mass_cancel"), ExitStatus.GIVEN_UP, 6),
        (closing(S.COMPLETED, ENDED, unwanted_since=NOW, unwanted_why="halt"), ExitStatus.NEEDED, 6),
        (closing(S.COMPLETED, ENDED, exit_by=NOW), ExitStatus.GIVEN_UP, 6),
        (closing(S.COMPLETED, leg_order(OPEN), exit_by=NOW), ExitStatus.WORKING, 10),  # its cancel is waited for
        (closing(S.DEAD_LETTER), ExitStatus.LOST, 10),
        (closing(S.COMPLETED, leg_order(OPEN, stale=True)), ExitStatus.LOST, 10),
        (closing(S.COMPLETED, ENDED, exits=(following(S.PENDING),)), ExitStatus.WORKING, 6),
        (
            closing(S.COMPLETED, ENDED, exits=(following(S.COMPLETED, leg_order(FILLED, filled=6)),)),
            ExitStatus.FLAT,
            0,
        ),
    ],
)
def test_how_far_the_closing_of_a_position_has_come(one: Leg, status: ExitStatus, left: int) -> None:
    """Another exit follows only when nothing of the earlier ones can still fill."""
    end = progress(one, now=NOW)
    assert (end.status, end.left) == (status, left)


def test_exits_follow_one_another_ever_more_slowly() -> None:
    """One second after the first, two after the second, and never later than the deadline."""
    ended = following(S.FAILED, sent=Sent.NO, created_at=NOW)
    first = closing(S.FAILED, sent=Sent.NO, created_at=NOW)
    assert progress(first, now=NOW).at == NOW + seconds(1)
    assert progress(replace(first, exits=(ended,)), now=NOW).at == NOW + seconds(2)
    assert progress(replace(first, exits=(ended,) * 8), now=NOW).at == NOW + seconds(30)
    late = following(S.FAILED, sent=Sent.NO, created_at=NOW, exit_by=NOW + seconds(3))
    assert progress(replace(first, exits=(*(ended,) * 8, late)), now=NOW).at == NOW + seconds(3)


def test_what_is_not_proven_or_out_of_time_is_exposed() -> None:
    """What a client has taken back, or closes by its own orders, is not: no alarm is raised for it."""
    exposed = [
        closing(S.FAILED, sent=Sent.UNKNOWN),
        closing(S.COMPLETED, ENDED, exit_by=NOW),
        closing(S.CANCELLED, sent=Sent.NO),
        closing(S.FAILED, sent=Sent.NO, last_error=NOTHING),
    ]
    assert [progress(one, now=NOW).is_exposed for one in exposed] == [True, True, False, False]


def test_a_batch_of_exits_is_completed_only_when_all_are_flat() -> None:
    """Accepted and open is not enough; what is given up fails the batch, and is its residual."""
    options: dict[str, Any] = {"rollback_on_failure": False}

    def decided(one: Leg) -> BatchStatus:
        return decide(batch(**options), [one], now=NOW, doubt_timeout=seconds(15)).status

    assert decided(closing(S.COMPLETED, leg_order(OPEN))) is BatchStatus.RUNNING
    assert decided(closing(S.COMPLETED, leg_order(FILLED, filled=10))) is BatchStatus.COMPLETED
    given_up = closing(S.COMPLETED, ENDED, exit_by=NOW)
    assert decided(given_up) is BatchStatus.PARTIALLY_COMPLETED
    assert decided(closing(S.DEAD_LETTER)) is BatchStatus.NEEDS_ATTENTION
    document = batch_document(batch(status=BatchStatus.PARTIALLY_COMPLETED, total_orders=1, **options), [given_up])
    assert (document["failed"], document["orders"][0]["filled_quantity"]) == (1, 4)
    assert [(row["quantity"], row["average_price"]) for row in document["residual"]] == [(6, None)]
    assert leg_status(given_up) is LegStatus.WAITING  # only its batch knows that it is over


def test_the_deadline_of_a_batch_withdraws_no_exit() -> None:
    """An exit has a deadline of its own."""
    late = batch(rollback_on_failure=False, deadline_at=NOW - seconds(1))
    decision = decide(late, [closing(S.PENDING)], now=NOW, doubt_timeout=seconds(15))
    assert (decision.status, decision.actions) == (BatchStatus.RUNNING, ())


def test_a_rollback_waits_for_its_exits_and_places_the_next_one() -> None:
    """What the first has left; not before its pause is over; not after the deadline."""
    options: dict[str, Any] = {"status": BatchStatus.COMPENSATING, "on_filled": "square_off"}
    back = replace(following(S.COMPLETED, ENDED), task=replace(following(S.COMPLETED).task, purpose="square_off"))
    filled = leg(1, S.COMPLETED, leg_order(CANCELLED, filled=10), exits=(back,))
    legs = [leg(0, S.FAILED), filled]
    decision = decide(batch(**options), legs, now=NOW, doubt_timeout=seconds(15))
    assert (decision.status, decision.actions) == (BatchStatus.COMPENSATING, (SquareOff(leg=1, quantity=6),))
    early = NOW - seconds(59.5)
    decision = decide(batch(**options), legs, now=early, doubt_timeout=seconds(15))
    assert (decision.status, decision.actions, decision.again_at) == (
        BatchStatus.COMPENSATING,
        (),
        NOW - seconds(59),
    )
    late = NOW + seconds(240)
    assert decide(batch(**options), legs, now=late, doubt_timeout=seconds(15)).status is (
        BatchStatus.ROLLED_BACK_WITH_FILLS
    )
