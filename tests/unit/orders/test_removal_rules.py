"""When an unwanted order is cancelled again."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.orders.state.new_tasks import OrderTarget
from app.orders.state.removal_rules import CANCEL_SHOWS_WITHIN_S, LONGEST_PAUSE_S, UnwantedOrder, is_due, pause_s
from tests.unit.orders.builders import NOW, seconds

TARGET = OrderTarget(
    account_id="primary", order_id="7", instrument="NSE:INFY", transaction_type="BUY", variety="regular"
)


def unwanted(**changes: Any) -> UnwantedOrder:
    """An order that has been unwanted for a minute, without a cancel."""
    fields: dict[str, Any] = {
        "target": TARGET,
        "purpose": "unwanted",
        "since": NOW - seconds(60),
        "cancel_by": None,
        "being_cancelled": False,
        "cancels": 0,
        "last_cancel_at": None,
    }
    return UnwantedOrder(**{**fields, **changes})


def refused(times: int, *, s_ago: float) -> UnwantedOrder:
    return unwanted(cancels=times, last_cancel_at=NOW - seconds(s_ago))


@pytest.mark.parametrize(
    ("order", "due", "in_a_hurry"),
    [
        (unwanted(), True, True),
        (unwanted(being_cancelled=True), False, False),
        (refused(1, s_ago=0.9), False, False),  # the book may not show it yet
        (refused(1, s_ago=1), True, True),
        (refused(3, s_ago=3.9), False, True),
        (refused(3, s_ago=4), True, True),
        (refused(90, s_ago=29), False, True),
        (refused(90, s_ago=30), True, True),
        (unwanted(cancel_by=NOW), False, False),  # nothing could follow it any more
        (unwanted(cancel_by=NOW + seconds(1)), True, True),
    ],
)
def test_an_order_is_cancelled_again_after_a_pause(order: UnwantedOrder, due: bool, in_a_hurry: bool) -> None:
    """One cancel at a time; an operator does not wait for the pauses that refusals make."""
    assert is_due(order, now=NOW, hurry=False) is due
    assert is_due(order, now=NOW, hurry=True) is in_a_hurry


@given(cancels=st.integers(1, 10_000))
def test_pauses_grow_and_are_bounded(cancels: int) -> None:
    """However often the broker refuses, the order is cancelled on and on, and never in a hurry."""
    assert CANCEL_SHOWS_WITHIN_S <= pause_s(cancels) <= pause_s(cancels + 1) <= LONGEST_PAUSE_S
