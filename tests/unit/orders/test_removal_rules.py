"""When an unwanted order is cancelled again."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.orders.state.removal_rules import CANCEL_SHOWS_WITHIN_S, LONGEST_PAUSE_S, UnwantedOrder
from tests.unit.orders.builders import NOW, seconds


def unwanted(**changes: Any) -> UnwantedOrder:
    """An order that has been unwanted for a minute, without a cancel."""
    fields: dict[str, Any] = {
        "account_id": "primary",
        "order_id": "7",
        "instrument": "NSE:INFY",
        "transaction_type": "BUY",
        "variety": "regular",
        "purpose": "unwanted",
        "since": NOW - seconds(60),
        "cancel_by": None,
        "being_cancelled": False,
        "cancels": 0,
        "last_cancel_at": None,
        "now": NOW,
    }
    return UnwantedOrder(**{**fields, **changes})


@pytest.mark.parametrize(
    ("order", "in_s", "in_a_hurry"),
    [
        (unwanted(), -60, -60),
        (unwanted(cancels=1, last_cancel_at=NOW), 1, 1),  # until then the book may not show it
        (unwanted(cancels=2, last_cancel_at=NOW), 2, 1),
        (unwanted(cancels=4, last_cancel_at=NOW), 8, 1),
        (unwanted(cancels=90, last_cancel_at=NOW), 30, 1),
    ],
)
def test_an_order_is_cancelled_again_after_a_pause(order: UnwantedOrder, in_s: int, in_a_hurry: int) -> None:
    """An operator does not wait for the pauses that refusals make."""
    assert order.cancel_at(hurry=False) == NOW + seconds(in_s)
    assert order.cancel_at(hurry=True) == NOW + seconds(in_a_hurry)


def test_an_order_has_one_cancel_at_a_time() -> None:
    """However long ago the last one ended."""
    waiting = unwanted(being_cancelled=True, cancels=1, last_cancel_at=NOW - seconds(60))
    assert [waiting.cancel_at(hurry=hurry) for hurry in (False, True)] == [None, None]


@given(cancels=st.integers(1, 10_000))
def test_pauses_grow_and_are_bounded(cancels: int) -> None:
    """However often the broker refuses, the order is cancelled on and on, and never in a hurry."""
    counts = (cancels, cancels + 1)
    first, next_one = (unwanted(cancels=one, last_cancel_at=NOW).cancel_at(hurry=False) for one in counts)
    assert first is not None
    assert next_one is not None
    assert NOW + seconds(CANCEL_SHOWS_WITHIN_S) <= first <= next_one <= NOW + seconds(LONGEST_PAUSE_S)
