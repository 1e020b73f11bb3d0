"""What one read of the order book proves."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.broker.orders import BrokerOrder, OrderType, TransactionType, Variety
from app.orders.reconciliation import anomaly_rules, doubt_rules, read_schedule
from app.orders.reconciliation.doubt_rules import CLEAN_READS_NEEDED, examine_command, examine_placement
from app.orders.sending.outcome_rules import THROTTLE_COOL_DOWN_S, THROTTLED
from app.orders.state.lifecycle import Event
from app.orders.state.model import KnownOrder, Operation, OrderState, Task, TaskError, TaskStatus
from app.orders.state.order_state import moves_forward, state_of
from tests.desk import order
from tests.unit.orders.builders import NOW, TAG_BASE, command, known, row, seconds, task

WINDOW_S = 120.0


def judged(doubt: Task, book: list[BrokerOrder], *, clean: bool = True) -> doubt_rules.Finding:
    return examine_placement(doubt, book, clean=clean, now=NOW, window_s=WINDOW_S)


def test_the_tag_identifies_the_order() -> None:
    """A row with our tag and our fields is the order, whichever of the two tag fields carries it."""
    assert judged(task(), [row()]).event is Event.FOUND
    assert judged(task(), [row(tag=None, tags=("mktp", TAG_BASE + "1"))]).event is Event.FOUND


def test_a_row_that_only_looks_alike_is_never_the_order() -> None:
    """Same everything but the tag: not adopted, but named to a person."""
    twin = row(tag=None)
    assert judged(task(), [twin]).event is None
    assert anomaly_rules.look_alikes(task(), [twin, row(tag="OTHER")]) == [twin]


@pytest.mark.parametrize(
    "change",
    [
        {"exchange": "BSE"},
        {"tradingsymbol": "TCS"},
        {"transaction_type": "SELL"},
        {"product": "CNC"},
        {"variety": "amo"},
        {"order_type": "SL"},
        {"quantity": 11},
        {"order_timestamp": NOW - seconds(60)},
    ],
)
def test_our_tag_on_another_order_is_a_case_for_a_person(change: dict[str, Any]) -> None:
    """Neither adopted nor ignored: the fields and the time must fit too."""
    finding = judged(task(), [row(**change)])
    assert finding.event is Event.MISMATCH
    assert finding.reason


def test_two_orders_under_one_attempt_are_a_case_for_a_person() -> None:
    """Unless the broker was asked to slice the order."""
    pair = [row(), row(order_id="8")]
    assert judged(task(), pair).event is Event.MISMATCH
    sliced = order(autoslice=True)
    assert judged(task(sliced), [row(sliced, quantity=4), row(sliced, quantity=6, order_id="8")]).event is Event.FOUND


@pytest.mark.parametrize(("asked", "booked"), [(OrderType.MARKET, "LIMIT"), (OrderType.SL_M, "SL")])
def test_market_protection_books_another_type_and_that_is_the_same_order(asked: OrderType, booked: str) -> None:
    """The broker turns protected market orders into limit orders."""
    wanted = order(order_type=asked, price=None, trigger_price=Decimal(1) if asked is OrderType.SL_M else None)
    assert judged(task(wanted), [row(wanted, order_type=booked)]).event is Event.FOUND


@given(reads=st.integers(0, 10), age_s=st.floats(0, 1000), clean=st.booleans())
def test_absence_takes_enough_clean_reads_and_enough_time(reads: int, age_s: float, clean: bool) -> None:
    """Neither time alone nor reads alone, and a read that is not clean never."""
    doubt = task(clean_reads=reads, last_sent_at=NOW - seconds(age_s))
    absent = judged(doubt, [], clean=clean).event is Event.ABSENT
    assert absent == (clean and reads + 1 >= CLEAN_READS_NEEDED and seconds(age_s) >= seconds(WINDOW_S))


def test_an_earlier_attempts_tag_still_finds_the_order() -> None:
    """The first attempt was proven absent too early: its row is still ours."""
    assert judged(task(attempts=2), [row(tag=TAG_BASE + "1")]).event is Event.FOUND


def test_a_throttled_order_goes_once_more_after_a_clean_absence() -> None:
    """And only while it is fresh; without a clean read, or too early for the book to show it, nothing happens."""
    throttled = task(last_error=TaskError(code=THROTTLED, message="x"))
    early = replace(throttled, last_sent_at=NOW - seconds(THROTTLE_COOL_DOWN_S - 0.1))
    assert judged(early, []).event is None
    assert judged(throttled, [], clean=False).event is None
    assert judged(throttled, []).event is Event.RESEND
    assert judged(replace(throttled, attempts=2), []).event is Event.REFUSED
    assert judged(replace(throttled, send_by=NOW), []).event is Event.REFUSED


def test_a_book_that_lacks_a_known_order_proves_nothing() -> None:
    """The broker's book never shrinks within a day."""
    assert doubt_rules.shows_all_known([row()], {"7"})
    assert not doubt_rules.shows_all_known([row()], {"7", "8"})


@pytest.mark.parametrize(
    ("status", "filled", "state"),
    [
        ("PUT ORDER REQ RECEIVED", 0, OrderState.PENDING),
        ("VALIDATION PENDING", 0, OrderState.PENDING),
        ("OPEN PENDING", 0, OrderState.PENDING),
        ("a status of next year", 0, OrderState.PENDING),
        ("OPEN", 0, OrderState.OPEN),
        ("OPEN", 3, OrderState.PARTIALLY_FILLED),
        ("MODIFY PENDING", 0, OrderState.OPEN),
        ("CANCEL PENDING", 0, OrderState.OPEN),
        ("TRIGGER PENDING", 0, OrderState.TRIGGER_PENDING),
        ("AMO REQ RECEIVED", 0, OrderState.OPEN),
        ("COMPLETE", 10, OrderState.COMPLETED),
        ("CANCELLED", 3, OrderState.CANCELLED),
        ("CANCELLED AMO", 0, OrderState.CANCELLED),
        ("REJECTED", 0, OrderState.REJECTED),
    ],
)
def test_kites_statuses_become_seven_states(status: str, filled: int, state: OrderState) -> None:
    """An unknown status is pending: never an end."""
    assert state_of(row(status=status, filled_quantity=filled)) is state


@given(
    before=st.sampled_from(list(OrderState)),
    had=st.integers(0, 10),
    status=st.sampled_from(["OPEN PENDING", "OPEN", "COMPLETE", "CANCELLED", "REJECTED"]),
    has=st.integers(0, 10),
)
def test_an_order_never_moves_backwards(before: OrderState, had: int, status: str, has: int) -> None:
    """Ends are final and fills never fall, in whatever order reads arrive."""
    if moves_forward(known(state=before, filled_quantity=had), row(status=status, filled_quantity=has)):
        assert not before.is_terminal
        assert has >= had


def test_a_cancel_is_done_when_the_order_is_gone_and_failed_when_it_filled() -> None:
    """The order's row is the judge of its cancel."""
    cancel = command(Operation.CANCEL)

    def judge(order_: KnownOrder | None) -> doubt_rules.Finding:
        return examine_command(cancel, order_, clean=True, now=NOW, window_s=WINDOW_S)

    assert judge(known(state=OrderState.CANCELLED)).event is Event.FOUND
    filled = judge(known(state=OrderState.COMPLETED, filled_quantity=10))
    assert filled.event is Event.REFUSED
    assert "10 filled" in filled.reason
    assert judge(known()).event is Event.RESEND
    assert judge(known(status="CANCEL PENDING")).event is None
    assert judge(None).event is None


def test_a_modify_is_done_when_the_row_shows_it_and_never_repeated() -> None:
    """In doubt it waits for the row; a finished order refuses it; after the window it is not confirmed."""
    modify = command(Operation.MODIFY)
    shown = known(document={"price": Decimal(1401), "quantity": 10})
    assert examine_command(modify, shown, clean=True, now=NOW, window_s=WINDOW_S).event is Event.FOUND
    assert examine_command(modify, known(), clean=True, now=NOW, window_s=WINDOW_S).event is None
    assert examine_command(modify, known(), clean=True, now=NOW + seconds(200), window_s=WINDOW_S).event is Event.ABSENT
    ended = known(state=OrderState.CANCELLED)
    assert examine_command(modify, ended, clean=True, now=NOW, window_s=WINDOW_S).event is Event.REFUSED
    stale = examine_command(modify, known(), clean=False, now=NOW + seconds(200), window_s=WINDOW_S)
    assert stale.event is None
    fresh = replace(modify, status=TaskStatus.PENDING)
    assert examine_command(fresh, shown, clean=True, now=NOW, window_s=WINDOW_S).event is None


def test_a_modify_to_the_market_is_done_though_the_book_shows_a_limit() -> None:
    """Market protection makes a limit order of it, and the book does not repeat the protection."""
    modify = command(Operation.MODIFY)
    request = {**modify.request, "changes": {"order_type": "MARKET", "market_protection": "-1"}}
    modify = replace(modify, request=request)
    shown = known(document={"order_type": "LIMIT", "price": Decimal(1410)})
    assert examine_command(modify, shown, clean=True, now=NOW, window_s=WINDOW_S).event is Event.FOUND
    other = known(document={"order_type": "SL", "price": Decimal(1410)})
    assert examine_command(modify, other, clean=True, now=NOW, window_s=WINDOW_S).event is None


def test_a_modify_that_is_being_sent_waits_for_its_answer() -> None:
    """An order that ended meanwhile may have ended by this very modification."""
    running = command(Operation.MODIFY, status=TaskStatus.RUNNING)
    filled = known(state=OrderState.COMPLETED, filled_quantity=10, document={"price": Decimal(1401), "quantity": 10})
    assert examine_command(running, filled, clean=True, now=NOW, window_s=WINDOW_S).event is None
    doubtful = replace(running, status=TaskStatus.IN_DOUBT)
    assert examine_command(doubtful, filled, clean=True, now=NOW, window_s=WINDOW_S).event is Event.FOUND


def test_looks_become_rarer_but_never_stop() -> None:
    """0.3 s after the send at first, every half minute in the end."""
    gaps = []
    for age in (0.0, 0.5, 1.5, 3.0, 100.0, 100_000.0):
        due = read_schedule.next_check(task(last_sent_at=NOW - seconds(age)), now=NOW)
        gaps.append((due - NOW).total_seconds())
    assert gaps[0] == pytest.approx(0.3)
    assert all(0 < gap <= 30.0 for gap in gaps)


def test_orders_of_ours_without_a_task_are_orphans() -> None:
    """Our two letters in front, twenty characters, and no task: somebody must look."""
    lost = row(tag="SVZZZZZZZZZZZZZZZZZ1", order_id="8")
    assert anomaly_rules.orphans([row(), lost, row(tag="XX")], deployment="SV", known_tag_bases=[TAG_BASE]) == [lost]


def test_slices_of_an_iceberg_share_one_tag() -> None:
    """Each leg is an order row of its own."""
    iceberg = order(variety=Variety.ICEBERG, iceberg_legs=2, iceberg_quantity=5)
    rows = [row(iceberg, quantity=5), row(iceberg, quantity=5, order_id="8")]
    assert judged(task(iceberg), rows).event is Event.FOUND
    assert judged(task(iceberg), [row(iceberg, transaction_type=str(TransactionType.SELL))]).event is Event.MISMATCH


@pytest.mark.parametrize(
    ("database_ahead_s", "broker_offset_s", "behind_s"),
    [(0.0, None, 0.0), (0.0, -7.0, 7.0), (2.0, -7.0, 9.0), (7.0, 7.0, 0.0), (0.0, 7.0, 0.0), (3.0, None, 3.0)],
)
def test_how_far_the_brokers_clock_is_behind(
    database_ahead_s: float, broker_offset_s: float | None, behind_s: float
) -> None:
    """Two offsets against our own clock; a broker that is ahead needs no tolerance."""
    assert doubt_rules.broker_behind_s(database_ahead_s, broker_offset_s) == behind_s
