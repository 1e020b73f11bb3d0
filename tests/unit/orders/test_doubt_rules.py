"""What one read of the order book proves."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.broker.orders import BrokerOrder, Operation, OrderType, TransactionType, Variety
from app.broker.outcomes import Sent
from app.broker.rows import Rows
from app.orders.reconciliation import anomaly_rules, book_gaps, doubt_rules
from app.orders.reconciliation.doubt_rules import examine_command, examine_placement
from app.orders.sending.outcome_rules import THROTTLE_COOL_DOWN_S, THROTTLED
from app.orders.state.engine_settings import CLEAN_READS_NEEDED
from app.orders.state.lifecycle import Event
from app.orders.state.model import NOT_FOUND_AT_BROKER, KnownOrder, OrderState, Task, TaskError, TaskStatus
from app.orders.state.order_state import moves_forward, state_of
from app.orders.state.removal_rules import CANCEL_SHOWS_WITHIN_S
from tests.order_requests import order
from tests.unit.orders.builders import NOW, TAG_BASE, command, known, row, seconds, task

WINDOW_S = 120.0


def checked_history(doubt: Task, book: list[BrokerOrder], *, clean: bool = True) -> doubt_rules.Finding:
    return examine_placement(doubt, book, clean=clean, now=NOW, window_s=WINDOW_S)


def test_the_tag_identifies_the_order() -> None:
    """A row with our tag and our fields is the order, whichever of the two tag fields carries it."""
    assert checked_history(task(), [row()]).event is Event.FOUND
    assert checked_history(task(), [row(tag=None, tags=("mktp", TAG_BASE + "1"))]).event is Event.FOUND


def test_a_row_that_only_looks_alike_is_never_the_order() -> None:
    """Same everything but the tag: not adopted, but named in an alarm."""
    twin = row(tag=None)
    assert checked_history(task(), [twin]).event is None
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
def test_our_tag_on_another_order_needs_an_operator(change: dict[str, Any]) -> None:
    """Neither adopted nor ignored: the fields and the time must fit too."""
    finding = checked_history(task(), [row(**change)])
    assert finding.event is Event.MISMATCH
    assert finding.reason


def test_two_orders_under_one_attempt_are_a_case_for_an_operator() -> None:
    """Unless the broker was asked to slice the order."""
    pair = [row(), row(order_id="8")]
    assert checked_history(task(), pair).event is Event.MISMATCH
    sliced = order(autoslice=True)
    assert (
        checked_history(task(sliced), [row(sliced, quantity=4), row(sliced, quantity=6, order_id="8")]).event
        is Event.FOUND
    )


@pytest.mark.parametrize(("asked", "booked"), [(OrderType.MARKET, "LIMIT"), (OrderType.SL_M, "SL")])
def test_market_protection_books_another_type_and_that_is_the_same_order(asked: OrderType, booked: str) -> None:
    """The broker turns protected market orders into limit orders."""
    wanted = order(order_type=asked, price=None, trigger_price=Decimal(1) if asked is OrderType.SL_M else None)
    assert checked_history(task(wanted), [row(wanted, order_type=booked)]).event is Event.FOUND


@given(reads=st.integers(0, 10), age_s=st.floats(0, 1000), clean=st.booleans())
def test_absence_takes_enough_clean_reads_and_enough_time(reads: int, age_s: float, clean: bool) -> None:
    """Neither time alone nor reads alone, and a read that is not clean never."""
    doubt = task(clean_reads=reads, last_sent_at=NOW - seconds(age_s))
    absent = checked_history(doubt, [], clean=clean).event is Event.ABSENT
    assert absent == (clean and reads + 1 >= CLEAN_READS_NEEDED and seconds(age_s) >= seconds(WINDOW_S))


def test_an_earlier_attempts_tag_still_finds_the_order() -> None:
    """The first attempt was proven absent too early: its row still belongs to the task."""
    assert checked_history(task(attempts=2), [row(tag=TAG_BASE + "1")]).event is Event.FOUND


def test_a_throttled_order_goes_once_more_after_a_clean_absence() -> None:
    """And only while it is fresh; without a clean read, or too early for the book to show it, nothing happens."""
    throttled = task(last_error=TaskError(code=THROTTLED, message="x"))
    early = replace(throttled, last_sent_at=NOW - seconds(THROTTLE_COOL_DOWN_S - 0.1))
    assert checked_history(early, []).event is None
    assert checked_history(throttled, [], clean=False).event is None
    assert checked_history(throttled, []).event is Event.RESEND
    assert checked_history(replace(throttled, attempts=2), []).event is Event.REFUSED
    assert checked_history(replace(throttled, send_by=NOW), []).event is Event.REFUSED


@pytest.mark.parametrize(
    ("event", "sent", "code"),
    [
        (Event.FOUND, Sent.YES, None),
        (Event.MISMATCH, Sent.UNKNOWN, "BOOK_MISMATCH"),
        (Event.RESEND, Sent.NO, None),
        (Event.REFUSED, Sent.NO, "BROKER_THROTTLED"),
        (Event.ABSENT, Sent.UNKNOWN, NOT_FOUND_AT_BROKER),
    ],
)
def test_each_finding_has_one_verdict(event: Event, sent: Sent, code: str | None) -> None:
    """What a client reads of it, and whether it may be repeated."""
    verdict = doubt_rules.placement_verdict(doubt_rules.Finding(event=event, rows=(row(),), reason="because"))
    assert (verdict.event, verdict.sent) == (event, sent)
    assert (verdict.error.code if verdict.error else None) == code
    assert verdict.order_id == ("7" if event is Event.FOUND else None)


def test_the_orders_of_a_sliced_placement_are_named_as_the_answer_would_have() -> None:
    """Each under its id; the second leg of a cover order is none of them, and a single order has no children."""
    slices = (row(order_id="7"), row(order_id="8"), row(order_id="9", parent_order_id="7"))
    found = doubt_rules.Finding(event=Event.FOUND, rows=slices)
    verdict = doubt_rules.placement_verdict(found)
    assert (verdict.order_id, [child.order_id for child in verdict.children]) == ("7", ["7", "8"])
    single = replace(found, rows=slices[:1])
    assert doubt_rules.placement_verdict(single).children == ()
    missed = TaskError(code="PARTLY_PLACED", message="not all")
    verdict = doubt_rules.placement_verdict(replace(single, error=missed))
    assert ([child.order_id for child in verdict.children], verdict.error) == (["7"], missed)


def test_a_task_that_was_never_sent_has_an_order_all_the_same() -> None:
    """A restored database has forgotten the send: its row is found, and an absence proves nothing."""
    forgotten = task(last_sent_at=None, clean_reads=CLEAN_READS_NEEDED)
    assert checked_history(forgotten, [row()]).event is Event.FOUND
    assert checked_history(forgotten, []).event is None


def test_a_clean_read_is_complete_and_began_after_the_doubt() -> None:
    """Of a task in doubt, whose send is of this book."""
    doubt = task()
    later = doubt.updated_at + seconds(0.001)
    assert doubt_rules.is_clean_for(doubt, complete=True, started_at=later)
    assert not doubt_rules.is_clean_for(doubt, complete=False, started_at=later)
    assert not doubt_rules.is_clean_for(doubt, complete=True, started_at=doubt.updated_at)
    assert not doubt_rules.is_clean_for(replace(doubt, status=TaskStatus.RUNNING), complete=True, started_at=later)
    assert not doubt_rules.is_clean_for(replace(doubt, last_sent_at=None), complete=True, started_at=later)
    assert not doubt_rules.is_clean_for(doubt, complete=True, started_at=later + seconds(86_400))


@pytest.mark.parametrize(
    ("known_at", "seen_at", "forward"), [(2, 1, False), (1, 1, True), (1, 2, True), (None, 1, True), (1, None, True)]
)
def test_a_row_is_older_by_the_exchanges_stamp(known_at: int | None, seen_at: int | None, forward: bool) -> None:
    """Only where both have one, and only while nothing else has changed."""
    stamp = None if known_at is None else NOW + seconds(known_at)
    before = known(document={"exchange_update_timestamp": stamp})
    seen = row(exchange_update_timestamp=None if seen_at is None else NOW + seconds(seen_at))
    assert moves_forward(before, seen) is forward


def test_a_book_that_lacks_a_known_order_proves_nothing() -> None:
    """The broker's book never shrinks within a day."""
    assert book_gaps.missing_from(Rows(good=[row()]), {"7": None}) == {}
    assert book_gaps.missing_from(Rows(good=[row()]), {"7": None, "8": None}) == {"8": None}


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
    seen = row(status=status, filled_quantity=has)
    back_to_pending = state_of(seen) is OrderState.PENDING and before is not OrderState.PENDING
    back_to_unfilled = before is OrderState.PARTIALLY_FILLED and state_of(seen) in {
        OrderState.PENDING,
        OrderState.OPEN,
        OrderState.TRIGGER_PENDING,
    }
    forward = not before.is_terminal and has >= had and not back_to_pending and not back_to_unfilled
    assert moves_forward(known(state=before, filled_quantity=had), seen) is forward


LATER = NOW + seconds(200)
"""The in-doubt window is over."""


def examined(
    task_: Task, order_: KnownOrder | None, *, read_again: bool = True, now: datetime = NOW
) -> doubt_rules.Finding:
    return examine_command(task_, order_, read_again=read_again, now=now, window_s=WINDOW_S)


def modification() -> Task:
    """Of the price to 1401, in doubt; its order did not show that when it was accepted."""
    return command(Operation.MODIFY, shown_before=False)


def test_a_cancel_is_done_when_the_order_is_gone_and_failed_when_it_filled() -> None:
    """The order's row decides about its cancel."""
    cancel = command(Operation.CANCEL)
    assert examined(cancel, known(state=OrderState.CANCELLED)).event is Event.FOUND
    filled = examined(cancel, known(state=OrderState.COMPLETED, filled_quantity=10))
    assert filled.event is Event.REFUSED
    assert "10 filled" in filled.reason
    assert examined(cancel, known()).event is Event.RESEND
    just_sent = replace(cancel, last_sent_at=NOW - seconds(CANCEL_SHOWS_WITHIN_S - 0.001))
    assert examined(just_sent, known()).event is None
    assert examined(replace(cancel, last_sent_at=NOW - seconds(CANCEL_SHOWS_WITHIN_S)), known()).event is Event.RESEND
    assert examined(replace(cancel, status=TaskStatus.RUNNING), known()).event is None
    assert examined(cancel, known(status="CANCEL PENDING")).event is None
    assert examined(cancel, None).event is None


@pytest.mark.parametrize("operation", [Operation.CANCEL, Operation.MODIFY])
def test_a_command_whose_order_the_book_never_shows_ends_within_the_window(operation: Operation) -> None:
    """It can have made no second order, so it holds up nothing for longer; only a doubt ends so."""
    doubtful = command(operation)
    assert examined(doubtful, None).event is None
    assert examined(doubtful, None, now=LATER).event is Event.ABSENT
    assert examined(replace(doubtful, status=TaskStatus.PENDING), None, now=LATER).event is None


def test_a_modify_is_done_when_the_row_shows_it_and_never_repeated() -> None:
    """In doubt it waits for the row; a finished order refuses it; after the window it is not confirmed."""
    modify = modification()
    shown = known(document={"price": Decimal(1401)})
    assert examined(modify, shown).event is Event.FOUND
    assert examined(modify, known()).event is None
    assert examined(modify, known(), now=LATER).event is Event.ABSENT
    assert examined(modify, known(state=OrderState.CANCELLED)).event is Event.REFUSED
    assert examined(replace(modify, status=TaskStatus.PENDING), shown).event is None


def test_a_row_from_before_the_doubt_proves_no_modification() -> None:
    """Another modification, or a stale book, may have shown the same terms earlier."""
    shown = known(document={"price": Decimal(1401)})
    assert examined(modification(), shown, read_again=False).event is None
    assert examined(modification(), shown, read_again=False, now=LATER).event is None
    assert examined(modification(), shown, read_again=False, now=LATER + seconds(WINDOW_S)).event is Event.ABSENT


@pytest.mark.parametrize("shown_before", [True, None])
def test_a_modify_to_what_the_order_showed_already_is_proven_by_no_row(shown_before: bool | None) -> None:
    """Back to an earlier price, or LIMIT to MARKET, which the book shows as LIMIT: it may never have arrived."""
    modify = replace(modification(), shown_before=shown_before)
    shown = known(document={"price": Decimal(1401)})
    assert examined(modify, shown).event is None
    assert examined(modify, shown, now=LATER).event is Event.ABSENT


@pytest.mark.parametrize(
    ("changes", "row_", "event"),
    [
        ({"order_type": "MARKET", "market_protection": "-1"}, {"order_type": "LIMIT"}, Event.FOUND),
        ({"order_type": "MARKET", "market_protection": "-1"}, {"order_type": "SL"}, None),
        ({"quantity": "12"}, {"quantity": 12}, Event.FOUND),
        ({"quantity": "12"}, {"quantity": 10}, None),
        ({"validity": "IOC"}, {"validity": "IOC"}, Event.FOUND),
        ({"validity": "IOC"}, {"validity": "DAY"}, None),
        ({"trigger_price": "1390"}, {"trigger_price": Decimal("1390.00")}, Event.FOUND),
        ({"trigger_price": "1390"}, {}, None),
        ({"disclosed_quantity": "5"}, {"disclosed_quantity": 5}, Event.FOUND),
        ({"disclosed_quantity": "5"}, {"disclosed_quantity": 0}, None),
        ({"price": "1401", "quantity": "12"}, {"price": Decimal(1401), "quantity": 10}, None),
    ],
)
def test_each_term_of_a_modification_is_compared(
    changes: dict[str, str], row_: dict[str, object], event: Event | None
) -> None:
    """All of them must show; the book never shows the market protection."""
    numbers = {name: int(text) if name.endswith("quantity") else text for name, text in changes.items()}
    modify = replace(modification(), request={**modification().request, "changes": numbers})
    assert examined(modify, known(document=row_)).event is event


def test_a_modify_that_is_being_sent_waits_for_its_answer() -> None:
    """An order that ended meanwhile may have ended by this very modification."""
    running = replace(modification(), status=TaskStatus.RUNNING)
    filled = known(state=OrderState.COMPLETED, filled_quantity=10, document={"price": Decimal(1401)})
    assert examined(running, filled).event is None
    assert examined(replace(running, status=TaskStatus.IN_DOUBT), filled).event is Event.FOUND


def test_orders_with_our_tag_and_no_task_are_orphans() -> None:
    """Our two letters in front, twenty characters, and no task: an operator must see it."""
    lost = row(tag="SVZZZZZZZZZZZZZZZZZ1", order_id="8")
    rows = [row(), lost, row(tag="XX")]
    found = anomaly_rules.unknown_tags(rows, deployment="SV", known_tag_bases=[TAG_BASE])
    assert found == [(lost, lost.tag)]


def test_slices_of_an_iceberg_share_one_tag() -> None:
    """Each leg is an order row of its own."""
    iceberg = order(variety=Variety.ICEBERG, iceberg_legs=2, iceberg_quantity=5)
    rows = [row(iceberg, quantity=5), row(iceberg, quantity=5, order_id="8")]
    assert checked_history(task(iceberg), rows).event is Event.FOUND
    assert (
        checked_history(task(iceberg), [row(iceberg, transaction_type=str(TransactionType.SELL))]).event
        is Event.MISMATCH
    )


def test_a_send_that_the_database_has_forgotten_may_have_been_at_any_time() -> None:
    """It knows of no attempt: its doubt began when that was noticed. A repeated request may have been stored again
    after the loss, so that its order is older than the task."""
    forgotten = task(attempts=0, created_at=NOW - seconds(600), last_sent_at=NOW)
    assert checked_history(forgotten, [row(order_timestamp=NOW - seconds(500))]).event is Event.FOUND
    assert checked_history(forgotten, [row(order_timestamp=NOW - seconds(700))]).event is Event.FOUND
    sent = task(attempts=1, created_at=NOW - seconds(600), last_sent_at=NOW)
    assert checked_history(sent, [row(order_timestamp=NOW - seconds(500))]).event is Event.MISMATCH


@pytest.mark.parametrize(
    ("status", "sent", "said"),
    [
        (TaskStatus.PENDING, Sent.NO, Sent.NO),
        (TaskStatus.HELD, Sent.NO, Sent.NO),
        (TaskStatus.RETRYING, Sent.UNKNOWN, Sent.UNKNOWN),
        (TaskStatus.RUNNING, Sent.UNKNOWN, Sent.YES),
        (TaskStatus.IN_DOUBT, Sent.UNKNOWN, Sent.YES),
    ],
)
def test_a_cancel_that_was_not_sent_is_not_called_so(status: TaskStatus, sent: Sent, said: Sent) -> None:
    """Its order was cancelled by another application while it waited."""
    cancel = command(Operation.CANCEL, status=status, sent=sent)
    verdict = doubt_rules.command_verdict(doubt_rules.Finding(event=Event.FOUND), cancel)
    assert (verdict.event, verdict.sent) == (Event.FOUND, said)
