"""What a loss of the database may not cost, and how long a lost answer may be a doubt."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from chaos.history import History, LedgerOrder, Peaks, Task
from chaos.loss_checks import check_after_loss
from chaos.lost_answers import Doubts, report

NOON = datetime(2026, 1, 5, 6, 30, tzinfo=UTC)
TAG = "A" * 19


def order(order_id: str, *, attempt: int = 1) -> LedgerOrder:
    return LedgerOrder(order_id=order_id, account_id="primary", tag=f"{TAG}{attempt}", accepted_at=NOON)


def broken(history: History) -> set[str]:
    peaks = [Peaks(account_id="primary", per_second=1, per_minute=1)]
    return {violation.check for violation in check_after_loss(replace(history, peaks=peaks))}


def test_a_key_of_which_answers_named_two_orders_is_a_violation() -> None:
    """Whichever of them the service knows now."""
    named = {("k1", 0): frozenset({"1", "2"}), ("k2", 0): frozenset({"3"})}
    assert "C2" in broken(History(named_orders=named))
    assert "C2" not in broken(History(named_orders={("k2", 0): frozenset({"3"}), ("k2", 1): frozenset({"4"})}))


@pytest.mark.parametrize(
    ("ledger", "tasks", "check"),
    [
        ([order("1"), order("2")], [Task(task_id="t", account_id="primary", tag_base=TAG, order_id="1")], "C1"),
        ([order("1"), order("2", attempt=2)], [Task(task_id="t", account_id="primary", tag_base=TAG)], "C2"),
        ([order("1")], [], "C4"),
        ([order("1")], [Task(task_id="t", account_id="primary", tag_base=TAG, status="expired", sent="no")], "C3"),
        ([], [Task(task_id="t", account_id="primary", tag_base=TAG, status="in_doubt")], "C3"),
    ],
)
def test_what_the_database_forgot_is_known_again(ledger: list[LedgerOrder], tasks: list[Task], check: str) -> None:
    """An order twice, one without a task, one that was called unsent, a doubt without an end."""
    assert check in broken(History(ledger=ledger, tasks=tasks))


def test_new_numbers_of_the_event_log_are_no_violation() -> None:
    """It begins a new epoch after a loss, and answers from before name resources that are gone."""
    assert not check_after_loss(History())


@pytest.mark.parametrize(
    ("doubts", "is_good"),
    [
        (Doubts(filled=[0.1, 0.2, 0.9], resting=[1.4], open=0), True),
        (Doubts(filled=[0.1, 0.4, 0.9], resting=[1.4], open=0), False),
        (Doubts(filled=[0.1, 0.2, 1.1], resting=[1.4], open=0), False),
        (Doubts(filled=[0.1, 0.2, 0.9], resting=[1.6], open=0), False),
        (Doubts(filled=[0.1, 0.2, 0.9], resting=[1.4], open=1), False),
        (Doubts(filled=[], resting=[1.4], open=0), False),
    ],
)
def test_doubts_have_bounds(doubts: Doubts, *, is_good: bool) -> None:
    """Half of those of filled orders within 0.3 s; 95 of 100 within a second, of resting orders within 1.5 s."""
    assert report(doubts)[1] is is_good
