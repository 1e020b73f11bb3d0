"""The checks of what a run looked like from outside: for each, what passes and what must not pass."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from chaos.checker import check
from chaos.history import Batch, History, LedgerOrder, Task
from chaos.observations import HealthSample, Observations, Recovery, TimedAnswer, WallCheck
from tests.unit.chaos.test_checker import BASE, GOOD, NOW, ORDER, TASK

LATER = NOW + timedelta(seconds=0.5)
"""After the only order of a good run."""

RECOVERY = Recovery(account_id="a", replica="r", after="an outage", began_at=LATER, seconds=3.0)
ANSWER = TimedAnswer(request="POST /orders", replica="r", wait_s=4.0, seconds=8.9)
WALL = WallCheck(account_id="a", broken="the login of b was dead", before_s=0.2, during_s=0.3)


def numbers(history: History) -> set[str]:
    return {violation.check for violation in check(history)}


def seen(**observed: Any) -> History:
    return replace(GOOD, observed=replace(Observations(), **observed))


def samples(*reasons: tuple[str, ...], replica: str = "r") -> list[HealthSample]:
    """One each second."""
    return [
        HealthSample(at=NOW + timedelta(seconds=second), replica=replica, account_id="a", reasons=found)
        for second, found in enumerate(reasons)
    ]


def test_a_good_run_passes() -> None:
    """Everything is seen, and all of it is as it must be."""
    assert numbers(seen(recoveries=[RECOVERY], answers=[ANSWER], walls=[WALL], health=samples((), ()))) == set()


@pytest.mark.parametrize("seconds", [None, 15.1])
def test_c11_an_account_whose_orders_do_not_go_again(seconds: float | None) -> None:
    """Too late, or never."""
    found = seen(recoveries=[replace(RECOVERY, seconds=seconds)], health=samples(*[("no_sender",)] * 20))
    assert numbers(found) == {"C11"}


def test_c12_a_slow_recovery_that_health_did_not_mention() -> None:
    """Eight seconds without an order: the replica that said so is right, the other one is not, a silent one is left."""
    slow = replace(RECOVERY, seconds=8.0)
    good = samples(*[("database_stalled",)] * 4, *[()] * 5)
    bad = samples(*[()] * 9, replica="other")
    assert numbers(seen(recoveries=[slow], health=good)) == set()
    assert numbers(seen(recoveries=[slow], health=good + bad)) == {"C12"}
    assert numbers(seen(recoveries=[slow], health=good + bad[:2])) == set()
    went = replace(ORDER, accepted_at=NOW + timedelta(seconds=3))
    assert numbers(replace(seen(recoveries=[slow], health=good + bad), ledger=(went,))) == set()


def expired(**changes: Any) -> History:
    task = Task(
        task_id="t9",
        account_id="a",
        tag_base="QB" + BASE[2:],
        status="expired",
        sent="no",
        error_code="EXPIRED",
        created_at=LATER,
        finished_at=NOW + timedelta(seconds=6),
    )
    return replace(GOOD, tasks=(TASK, replace(task, **changes)))


def test_c12_an_order_that_expired_while_health_said_that_it_would_go() -> None:
    """Unsent within its freshness: health must have had a reason meanwhile, and after it is too late."""
    well = Observations(health=samples(*[()] * 7, ("no_sender",)))
    ill = Observations(health=samples((), (), ("no_sender",), *[()] * 5))
    assert numbers(replace(expired(), observed=well)) == {"C12"}
    assert numbers(replace(expired(), observed=ill)) == set()
    assert numbers(replace(expired(error_code="STALE_PRICE"), observed=well)) == set()
    went = replace(ORDER, accepted_at=NOW + timedelta(seconds=3))
    assert numbers(replace(expired(), ledger=(went,), observed=well)) == set()


def test_c13_a_live_order_of_a_task_that_was_called_over() -> None:
    """Also where another check says so: these are the words that a client acts by."""
    live = replace(GOOD, tasks=(replace(TASK, status="expired", sent="no"),), ledger=(replace(ORDER, state="OPEN"),))
    assert "C13" in numbers(live)


def rolled_back(status: str, *orders: LedgerOrder) -> History:
    return replace(
        GOOD, tasks=(replace(TASK, batch_id="b1"),), batches=(Batch(batch_id="b1", status=status),), ledger=orders
    )


@pytest.mark.parametrize("reported", [{"INFY": 4}, {}, {"INFY": 10, "TCS": 1}])
def test_c13_a_residual_that_is_not_what_is_held(reported: dict[str, int]) -> None:
    """Bought ten, sold three of them: seven are left."""
    bought = replace(ORDER, tradingsymbol="INFY")
    sold = replace(ORDER, order_id="o2", tradingsymbol="INFY", transaction_type="SELL", filled_quantity=3)
    history = rolled_back("rolled_back_with_fills", bought, sold)
    assert "C13" in numbers(replace(history, observed=Observations(residuals={"b1": reported})))
    assert "C13" not in numbers(replace(history, observed=Observations(residuals={"b1": {"INFY": 7}})))


def test_c13_a_short_position_that_is_left() -> None:
    """More was sold than bought: a residual below zero counts like one above."""
    sold = replace(ORDER, tradingsymbol="INFY", transaction_type="SELL", filled_quantity=4)
    history = rolled_back("rolled_back_with_fills", sold)
    assert "C13" in numbers(replace(history, observed=Observations(residuals={"b1": {}})))
    assert "C13" not in numbers(replace(history, observed=Observations(residuals={"b1": {"INFY": -4}})))


def test_c14_an_account_that_another_one_slowed_down() -> None:
    """More than half as long again."""
    assert numbers(seen(walls=[replace(WALL, during_s=0.34)])) == {"C14"}


def test_c15_an_answer_that_took_longer_than_it_may() -> None:
    """Five seconds beyond the wait, and one for the machine."""
    assert numbers(seen(answers=[replace(ANSWER, seconds=10.1)])) == {"C15"}
