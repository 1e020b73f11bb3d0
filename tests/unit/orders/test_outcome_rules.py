"""What one answer from the wire means for its task."""

from __future__ import annotations

from typing import Any

import pytest

from app.broker.orders import Operation
from app.broker.outcomes import (
    Accepted,
    ChildOrder,
    InDoubt,
    NotSent,
    Refused,
    SendOutcome,
    Sent,
    SessionRejected,
    Throttled,
)
from app.orders.sending.outcome_rules import ATTEMPTS_NOT_SENT, confirmed_ids, verdict_of
from app.orders.state.lifecycle import Event
from app.orders.state.model import Task, TaskStatus
from tests.unit.orders.builders import NOW, command, seconds, task

BUSY = "Order cannot be cancelled as it is being processed. Try later."


def running(**changes: Any) -> Task:
    return task(**{"status": TaskStatus.RUNNING, **changes})


@pytest.mark.parametrize(
    ("outcome", "event", "sent"),
    [
        (Accepted(order_id="7"), Event.ACCEPTED, Sent.YES),
        (Refused(error_type="MarginException", message="no funds", http_status=400), Event.REFUSED, Sent.YES),
        (NotSent(reason="refused"), Event.NOT_SENT, Sent.NO),
        (SessionRejected(message="token"), Event.HOLD, Sent.NO),
        (Throttled(message="too many"), Event.DOUBT, Sent.UNKNOWN),
        (InDoubt(reason="timeout"), Event.DOUBT, Sent.UNKNOWN),
    ],
)
def test_each_outcome_has_one_meaning_for_an_order(outcome: SendOutcome, event: Event, sent: Sent) -> None:
    """Only a proven "not sent" goes back to the queue."""
    verdict = verdict_of(running(), outcome, now=NOW)
    assert (verdict.event, verdict.sent) == (event, sent)


def test_an_order_that_was_not_sent_goes_again_twice_at_most() -> None:
    """Three attempts in all; the third one that cannot leave ends the task, and it says that nothing was sent."""
    events = [
        verdict_of(running(attempts=n), NotSent(reason="x"), now=NOW).event for n in range(1, ATTEMPTS_NOT_SENT + 1)
    ]
    assert events == [Event.NOT_SENT, Event.NOT_SENT, Event.GAVE_UP]


def test_a_cancel_that_cannot_leave_is_tried_until_its_time_is_over() -> None:
    """An order that must go may live: no number of attempts ends its cancel, and they become rarer."""
    waits = []
    for attempts in range(1, 7):
        verdict = verdict_of(command(Operation.CANCEL, attempts=attempts), NotSent(reason="x"), now=NOW)
        assert (verdict.event, verdict.sent) == (Event.NOT_SENT, Sent.NO)
        assert verdict.not_before is not None
        waits.append(verdict.not_before - NOW)
    assert waits == [seconds(value) for value in (0.3, 0.6, 1.2, 2.4, 5.0, 5.0)]
    over = command(Operation.CANCEL, attempts=1, send_by=NOW + seconds(0.3))
    assert verdict_of(over, NotSent(reason="x"), now=NOW).event is Event.GAVE_UP


def test_an_order_that_cannot_leave_waits_between_its_attempts() -> None:
    """50 ms before the second, 200 ms before the third."""
    found = [verdict_of(running(attempts=n), NotSent(reason="x"), now=NOW).not_before for n in (1, 2)]
    assert found == [NOW + seconds(0.05), NOW + seconds(0.2)]
    modify = command(Operation.MODIFY, attempts=1)
    assert verdict_of(modify, NotSent(reason="x"), now=NOW).not_before == NOW + seconds(0.05)


def test_a_throttled_order_is_looked_up_after_the_broker_counts_anew() -> None:
    """And any other doubt a moment after the send."""
    assert verdict_of(running(), Throttled(message="x"), now=NOW).next_check_at == NOW + seconds(1.2)
    assert verdict_of(running(), InDoubt(reason="x"), now=NOW).next_check_at == NOW + seconds(0.3)


def test_an_order_is_not_sent_again_after_its_freshness() -> None:
    """A retry that would come too late is no retry."""
    verdict = verdict_of(running(send_by=NOW), NotSent(reason="x"), now=NOW)
    assert (verdict.event, verdict.sent) == (Event.GAVE_UP, Sent.NO)


def test_a_busy_cancel_is_repeated_and_a_busy_modify_is_not() -> None:
    """'Being processed' proves that this request did nothing; repeating a cancel is harmless, a modify is not."""
    busy = Refused(error_type="InputException", message=BUSY, http_status=400, being_processed=True)
    cancel = command(Operation.CANCEL, status=TaskStatus.RUNNING)
    modify = command(Operation.MODIFY, status=TaskStatus.RUNNING)
    assert verdict_of(cancel, busy, now=NOW).event is Event.RESEND
    assert verdict_of(modify, busy, now=NOW).event is Event.REFUSED


def test_cancels_are_repeated_ever_more_slowly_and_not_for_ever() -> None:
    """0.3, 0.6, 1.2, 2.4, 5 s and so on, until the task's time is over."""
    busy = Refused(error_type="InputException", message=BUSY, http_status=400, being_processed=True)
    waits = []
    for attempts in range(1, 7):
        not_before = verdict_of(command(Operation.CANCEL, attempts=attempts), busy, now=NOW).not_before
        assert not_before is not None
        waits.append(not_before - NOW)
    assert waits == [seconds(value) for value in (0.3, 0.6, 1.2, 2.4, 5.0, 5.0)]
    assert verdict_of(command(Operation.CANCEL, send_by=NOW), busy, now=NOW).event is Event.REFUSED


def test_an_answer_confirms_the_ids_of_a_placement_only() -> None:
    """Its own and those of its slices; a refused slice has none, and a cancel's answer names the order it is for."""
    slices = (ChildOrder(order_id="8"), ChildOrder(error_type="MarginException", message="no funds"))
    accepted = Accepted(order_id="7", children=slices)
    assert confirmed_ids(running(), accepted) == ["7", "8"]
    assert confirmed_ids(command(Operation.CANCEL), accepted) == []
    assert confirmed_ids(running(), InDoubt(reason="timeout")) == []


def test_the_brokers_words_are_kept() -> None:
    """A refusal carries the broker's type, message and status."""
    verdict = verdict_of(running(), Refused(error_type="MarginException", message="no funds", http_status=400), now=NOW)
    assert verdict.error is not None
    assert verdict.error.to_json()["broker"] == {
        "error_type": "MarginException",
        "message": "no funds",
        "http_status": 400,
    }
