"""The lifecycle of a task: every status times everything that can happen."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.orders.state.lifecycle import TRANSITIONS, Event, next_status
from app.orders.state.model import FINISHED, UNSENT, TaskStatus

S = TaskStatus

LEADS_TO: dict[TaskStatus, dict[Event, TaskStatus]] = {
    S.PENDING: {
        Event.CLAIM: S.RUNNING,
        Event.HOLD: S.HELD,
        Event.EXPIRE: S.EXPIRED,
        Event.WITHDRAW: S.CANCELLED,
        Event.DOUBT: S.IN_DOUBT,
        Event.FOUND: S.COMPLETED,
        Event.REFUSED: S.FAILED,
        Event.MISMATCH: S.DEAD_LETTER,
        Event.FORGOTTEN: S.IN_DOUBT,
    },
    S.HELD: {
        Event.RELEASE: S.PENDING,
        Event.EXPIRE: S.EXPIRED,
        Event.WITHDRAW: S.CANCELLED,
        Event.DOUBT: S.IN_DOUBT,
        Event.FOUND: S.COMPLETED,
        Event.REFUSED: S.FAILED,
        Event.MISMATCH: S.DEAD_LETTER,
        Event.FORGOTTEN: S.IN_DOUBT,
    },
    S.RETRYING: {
        Event.CLAIM: S.RUNNING,
        Event.HOLD: S.HELD,
        Event.EXPIRE: S.EXPIRED,
        Event.WITHDRAW: S.CANCELLED,
        Event.DOUBT: S.IN_DOUBT,
        Event.FOUND: S.COMPLETED,
        Event.REFUSED: S.FAILED,
        Event.MISMATCH: S.DEAD_LETTER,
        Event.FORGOTTEN: S.IN_DOUBT,
    },
    S.RUNNING: {
        Event.ACCEPTED: S.COMPLETED,
        Event.REFUSED: S.FAILED,
        Event.NOT_SENT: S.RETRYING,
        Event.GAVE_UP: S.EXPIRED,
        Event.HOLD: S.HELD,
        Event.DOUBT: S.IN_DOUBT,
        Event.FOUND: S.COMPLETED,
        Event.RESEND: S.RETRYING,
        Event.RETURNED: S.PENDING,
        Event.MISMATCH: S.DEAD_LETTER,
    },
    S.IN_DOUBT: {
        Event.ACCEPTED: S.COMPLETED,
        Event.FOUND: S.COMPLETED,
        Event.REFUSED: S.FAILED,
        Event.ABSENT: S.FAILED,
        Event.RESEND: S.RETRYING,
        Event.RETURNED: S.PENDING,
        Event.MISMATCH: S.DEAD_LETTER,
        Event.DAY_OVER: S.DEAD_LETTER,
        Event.NEVER_SHOWN: S.EXPIRED,
        Event.NOT_CONTINUED: S.CANCELLED,
        Event.OPERATOR_PLACED: S.COMPLETED,
        Event.OPERATOR_NOT_PLACED: S.FAILED,
    },
    S.FAILED: {Event.LATE: S.COMPLETED},
    S.DEAD_LETTER: {Event.OPERATOR_PLACED: S.COMPLETED, Event.OPERATOR_NOT_PLACED: S.FAILED},
    S.COMPLETED: {},
    S.EXPIRED: {Event.LATE: S.COMPLETED},
    S.CANCELLED: {Event.LATE: S.COMPLETED},
}
"""Written out a second time, by hand: the table in the code must say the same, and nothing beside it."""


@pytest.mark.parametrize("status", list(TaskStatus))
@pytest.mark.parametrize("event", list(Event))
def test_each_status_and_event_leads_where_it_must_or_nowhere(status: TaskStatus, event: Event) -> None:
    """180 pairs, each one decided."""
    assert next_status(status, event) == LEADS_TO[status].get(event)


def test_no_byte_leaves_without_a_claim() -> None:
    """Only a claim makes a task running."""
    assert {event for (_, event), status in TRANSITIONS.items() if status is S.RUNNING} == {Event.CLAIM}


def test_only_unsent_tasks_can_be_claimed_withdrawn_or_expire() -> None:
    """Nothing that may have reached the broker is taken back by ourselves."""
    claimable = {S.PENDING, S.RETRYING}
    assert {status for (status, cause) in TRANSITIONS if cause is Event.CLAIM} == claimable, (
        "a held one is released first"
    )
    for event in (Event.WITHDRAW, Event.EXPIRE):
        assert {status for (status, cause) in TRANSITIONS if cause is event} == UNSENT


def test_a_doubt_is_only_repeated_on_proof() -> None:
    """Reconciliation grants `resend` on a clean absence; `returned` is a refusal of the address, come late."""
    back = {event for (status, event), after in TRANSITIONS.items() if status is S.IN_DOUBT and after in UNSENT}
    assert back == {Event.RESEND, Event.RETURNED}


@given(st.lists(st.sampled_from(list(Event)), max_size=30))
def test_an_end_is_left_only_by_a_late_arrival_or_an_operator(events: list[Event]) -> None:
    """Whatever arrives in whatever order, completed is for ever; expired and cancelled unless the book shows it."""
    status = S.PENDING
    for event in events:
        after = next_status(status, event)
        if after is None:
            continue
        if status in FINISHED:
            assert event in {Event.LATE, Event.OPERATOR_PLACED, Event.OPERATOR_NOT_PLACED}
            assert status is not S.COMPLETED
        status = after
