"""The checker itself: for every check, histories that pass and histories that must not pass."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from chaos.checker import check
from chaos.history import (
    Acknowledgement,
    Attempt,
    Batch,
    Event,
    Fill,
    Halt,
    History,
    Key,
    KnownOrder,
    LedgerOrder,
    Peaks,
    Seen,
    Task,
)

NOW = datetime(2026, 1, 5, 5, 0, tzinfo=UTC)
BASE = "QA" + "7" * 17

ORDER = LedgerOrder(order_id="o1", account_id="a", tag=BASE + "1", accepted_at=NOW, filled_quantity=10)
TASK = Task(task_id="t1", account_id="a", tag_base=BASE, order_id="o1")
KNOWN = KnownOrder(order_id="o1", account_id="a", task_id="t1", filled_quantity=10)
FILLS = (Fill(order_id="o1", trade_id="f1", quantity=4), Fill(order_id="o1", trade_id="f2", quantity=6))
EVENTS = (
    Event(account_id="a", seq=1, order_id="o1", state="open"),
    Event(account_id="a", seq=2, order_id="o1", state="partially_filled", filled_quantity=4),
    Event(account_id="a", seq=3, order_id="o1", state="completed", filled_quantity=10),
)
FIRST, SECOND = hashlib.sha256(b"one").digest(), hashlib.sha256(hashlib.sha256(b"one").digest() + b"two").digest()
CHAINED = (replace(EVENTS[0], content="one", hash=FIRST), replace(EVENTS[1], content="two", hash=SECOND))
SEEN = Seen(subscriber="s1", account_id="a", start=1, events=((2, "x"), (3, "y"), (3, "y")), complete=True)
GOOD = History(
    ledger=(ORDER,),
    tasks=(TASK,),
    attempts=(Attempt(task_id="t1", attempt=1, outcome="Accepted"),),
    orders=(KNOWN,),
    fills=FILLS,
    events=EVENTS,
    batches=(Batch(batch_id="b1", status="completed"),),
    keys=(Key(idem_key="k", resource_id="t1"),),
    acknowledged=(Acknowledgement(idem_key="k", resource_id="t1"),),
    seen=(SEEN,),
    halts=(Halt(scope="*", began_at=NOW - timedelta(seconds=5), ended_at=NOW + timedelta(seconds=9)),),
    peaks=(Peaks(account_id="a", per_second=10, per_minute=400),),
)
REDUCE_ONLY = Halt(
    scope="a", began_at=NOW - timedelta(seconds=9), ended_at=NOW + timedelta(hours=1), reductions_pass=True
)
REDUCTIONS = replace(GOOD, tasks=(replace(TASK, reduces=True),))
TWIN = replace(ORDER, order_id="o2")
TWIN_KNOWN = replace(KNOWN, order_id="o2")
TWIN_FILL = Fill(order_id="o2", trade_id="f3", quantity=10)
TWIN_EVENT = Event(account_id="a", seq=4, order_id="o2", state="completed", filled_quantity=10)

REPLACED = replace(
    GOOD,
    ledger=(
        replace(ORDER, ended_at=NOW, state="CANCELLED", filled_quantity=4),
        LedgerOrder(order_id="o2", account_id="a", tag="QA" + "8" * 17 + "1", accepted_at=NOW, filled_quantity=10),
    ),
    tasks=(
        TASK,
        Task(task_id="t2", account_id="a", tag_base="QA" + "8" * 17, order_id="o2", replaces="o1", replaces_filled=4),
    ),
    orders=(replace(KNOWN, state="cancelled", filled_quantity=4), replace(TWIN_KNOWN, task_id="t2")),
    fills=(FILLS[0], TWIN_FILL),
    events=(*EVENTS[:2], replace(EVENTS[2], state="cancelled", filled_quantity=4), TWIN_EVENT),
    seen=(),
)


def replaced_by(**changes: Any) -> History:
    """The same with the old order changed at the exchange."""
    return replace(REPLACED, ledger=(replace(REPLACED.ledger[0], **changes), REPLACED.ledger[1]))


PASS: dict[str, History] = {
    "an order that replaces another": REPLACED,
    "a whole run": GOOD,
    "a reduction in reduce_only mode": replace(REDUCTIONS, halts=(REDUCE_ONLY,)),
    "events with their hashes": replace(GOOD, events=(*CHAINED, EVENTS[2])),
    "slices of one request": replace(
        GOOD,
        ledger=(ORDER, TWIN),
        tasks=(replace(TASK, most_orders=2),),
        orders=(KNOWN, TWIN_KNOWN),
        fills=(*FILLS, TWIN_FILL),
        events=(*EVENTS, TWIN_EVENT),
        seen=(),
    ),
    "a second attempt after proof": replace(
        GOOD,
        ledger=(replace(ORDER, tag=BASE + "2"),),
        attempts=(Attempt(task_id="t1", attempt=1, outcome="not_sent"), Attempt(task_id="t1", attempt=2)),
    ),
    "an order that was refused": replace(
        GOOD,
        ledger=(), orders=(), fills=(), events=(), seen=(),
        tasks=(replace(TASK, status="failed", order_id=None, error_code="BROKER_REFUSED"),),
    ),
    "an order without a task, with an alarm": replace(
        GOOD,
        ledger=(ORDER, replace(TWIN, tag="QA" + "9" * 18)),
        orders=(KNOWN, TWIN_KNOWN),
        fills=(*FILLS, TWIN_FILL),
        events=(*EVENTS, TWIN_EVENT),
        seen=(),
        orphans=frozenset({"o2"}),
    ),
    "an order that is still open": replace(
        GOOD,
        ledger=(replace(ORDER, state="OPEN", filled_quantity=0),),
        orders=(replace(KNOWN, state="open", filled_quantity=0),),
        fills=(),
        events=EVENTS[:1],
        seen=(),
    ),
    "an order that was given up and placed late": replace(
        GOOD,
        events=(
            *EVENTS,
            Event(account_id="a", seq=4, type="order_in_doubt", task_id="t1"),
            Event(account_id="a", seq=5, type="order_failed", task_id="t1"),
            Event(account_id="a", seq=6, type="order_placed", task_id="t1"),
        ),
        seen=(),
    ),
    "a batch that was rolled back": replace(
        GOOD,
        ledger=(replace(ORDER, state="CANCELLED", filled_quantity=0),),
        tasks=(replace(TASK, batch_id="b1"),),
        orders=(replace(KNOWN, state="cancelled", filled_quantity=0),),
        fills=(),
        events=(EVENTS[0], Event(account_id="a", seq=2, order_id="o1", state="cancelled")),
        seen=(),
        batches=(Batch(batch_id="b1", status="rolled_back"),),
    ),
    "denied and not stored": replace(GOOD, denied=("another",)),
    "a subscriber that left early": replace(GOOD, seen=(replace(SEEN, events=((2, "x"),), complete=False),)),
    "a repeated cancel": replace(
        GOOD,
        tasks=(TASK, Task(task_id="c1", account_id="a", operation="cancel")),
        attempts=(Attempt(task_id="c1", attempt=1, outcome="InDoubt"), Attempt(task_id="c1", attempt=2)),
    ),
}  # fmt: skip

FAIL: dict[str, tuple[str, History]] = {
    "two orders under one tag": ("C1", replace(GOOD, ledger=(ORDER, TWIN))),
    "more slices than requested": (
        "C1",
        replace(GOOD, ledger=(ORDER, TWIN, replace(ORDER, order_id="o3")), tasks=(replace(TASK, most_orders=2),)),
    ),
    "one order under each of two attempts": ("C2", replace(GOOD, ledger=(ORDER, replace(TWIN, tag=BASE + "2")))),
    "sent again after a doubt": (
        "C2",
        replace(
            GOOD,
            attempts=(Attempt(task_id="t1", attempt=1, outcome="InDoubt"), Attempt(task_id="t1", attempt=2)),
        ),
    ),
    "an order beside the one that it replaces": ("C2", replaced_by(ended_at=NOW + timedelta(seconds=1))),
    "two orders that replace one": (
        "C2",
        replace(
            REPLACED,
            ledger=(*REPLACED.ledger, replace(REPLACED.ledger[1], order_id="o3", tag="QA" + "9" * 17 + "1")),
            tasks=(*REPLACED.tasks, replace(REPLACED.tasks[1], task_id="t3", tag_base="QA" + "9" * 17, order_id="o3")),
        ),
    ),
    "an order that replaces a live one": ("C2", replaced_by(ended_at=None, state="OPEN")),
    "an order that replaces one with more fills": ("C2", replaced_by(filled_quantity=6)),
    "sent again although the first outcome is unknown": (
        "C2",
        replace(GOOD, attempts=(Attempt(task_id="t1", attempt=1), Attempt(task_id="t1", attempt=2))),
    ),
    "an unfinished task": ("C3", replace(GOOD, tasks=(replace(TASK, status="in_doubt"),))),
    "an unfinished batch": ("C3", replace(GOOD, batches=(Batch(batch_id="b1", status="compensating"),))),
    "given up, but at the exchange": (
        "C3",
        replace(GOOD, tasks=(replace(TASK, status="failed", error_code="NOT_FOUND_AT_BROKER"),)),
    ),
    "completed, but not at the exchange": ("C3", replace(GOOD, tasks=(replace(TASK, order_id="o9"),))),
    "not sent, but at the exchange": ("C3", replace(GOOD, tasks=(replace(TASK, sent="no"),))),
    "withdrawn and live": (
        "C3",
        replace(GOOD, tasks=(replace(TASK, unwanted=True),), ledger=(replace(ORDER, state="OPEN", filled_quantity=0),)),
    ),
    "a withdrawal that was acknowledged and lost": ("C3", replace(GOOD, withdrawn=frozenset({"t1"}))),
    "acknowledged and lost": ("C3", replace(GOOD, acknowledged=(Acknowledgement(idem_key="k", resource_id="t9"),))),
    "an unclear answer": ("C3", replace(GOOD, unclear_answers=("POST /orders at replica-1: Internal error",))),
    "one key, two resources": (
        "C3",
        replace(
            GOOD,
            tasks=(TASK, replace(TASK, task_id="t2")),
            acknowledged=(Acknowledgement(idem_key="k", resource_id="t2"),),
        ),
    ),
    "rolled back, with a fill": (
        "C3",
        replace(
            GOOD, tasks=(replace(TASK, batch_id="b1"),), batches=(Batch(batch_id="b1", status="rolled_back"),)
        ),
    ),
    "denied, but stored": ("C3", replace(GOOD, denied=("k",))),
    "an order that the exchange does not have": ("C5", replace(GOOD, orders=(KNOWN, replace(KNOWN, order_id="o9")))),
    "an earlier state again": (
        "C6",
        replace(GOOD, events=(EVENTS[0], replace(EVENTS[1], state="pending"), EVENTS[2])),
    ),
    "partially filled and open again": (
        "C6",
        replace(
            GOOD,
            events=(
                *EVENTS[:2],
                replace(EVENTS[2], state="open", filled_quantity=4),
                replace(EVENTS[2], seq=4),
            ),
        ),
    ),
    "placed, then in doubt": (
        "C6",
        replace(
            GOOD,
            events=(
                *EVENTS,
                Event(account_id="a", seq=4, type="order_placed", task_id="t1"),
                Event(account_id="a", seq=5, type="order_in_doubt", task_id="t1"),
            ),
        ),
    ),
    "failed twice, without any order": (
        "C6",
        replace(
            GOOD,
            events=(
                *EVENTS,
                Event(account_id="a", seq=4, type="order_failed", task_id="t9"),
                Event(account_id="a", seq=5, type="order_failed", task_id="t9"),
            ),
        ),
    ),
    "no events at all": ("C6", replace(GOOD, events=(), seen=())),
    "a final state without an event": ("C6", replace(GOOD, events=EVENTS[:2], seen=())),
    "orders that were not counted": ("C8", replace(GOOD, peaks=())),
    "an order without a task": ("C4", replace(GOOD, ledger=(ORDER, replace(TWIN, tag="QA" + "9" * 18)))),
    "an order without any tag": ("C4", replace(GOOD, ledger=(ORDER, replace(TWIN, tag="")))),
    "a fill that is not stored": ("C5", replace(GOOD, fills=FILLS[:1])),
    "a fill that is stored twice": ("C5", replace(GOOD, fills=(*FILLS, TWIN_FILL, replace(TWIN_FILL, order_id="o1")))),
    "an order that is not stored": ("C5", replace(GOOD, orders=())),
    "another state than the exchange's": ("C5", replace(GOOD, orders=(replace(KNOWN, state="cancelled"),))),
    "a final state that the exchange does not have": ("C5", replace(GOOD, ledger=(replace(ORDER, state="OPEN"),))),
    "a gap in the events": ("C6", replace(GOOD, events=(EVENTS[0], EVENTS[2]))),
    "a number that is used twice": ("C6", replace(GOOD, events=(*EVENTS, EVENTS[2]))),
    "an event that was changed": (
        "C6",
        replace(GOOD, events=(CHAINED[0], replace(CHAINED[1], content="2"), EVENTS[2])),
    ),
    "an event without its hash": (
        "C6",
        replace(GOOD, events=(CHAINED[0], replace(CHAINED[1], hash=b""), EVENTS[2])),
    ),
    "a filled quantity that decreases": (
        "C6",
        replace(GOOD, events=(*EVENTS[:2], replace(EVENTS[2], state="open", filled_quantity=3))),
    ),
    "a state after the final one": (
        "C6",
        replace(GOOD, events=(*EVENTS, Event(account_id="a", seq=4, order_id="o1", state="open", filled_quantity=10))),
    ),
    "an event that was not seen": ("C7", replace(GOOD, seen=(replace(SEEN, events=((3, "y"),)),))),
    "the last event was not seen": ("C7", replace(GOOD, seen=(replace(SEEN, events=((2, "x"),)),))),
    "two events under one number": (
        "C7",
        replace(GOOD, seen=(SEEN, replace(SEEN, subscriber="s2", events=((2, "x"), (3, "z"))))),
    ),
    "eleven in a second": ("C8", replace(GOOD, peaks=(Peaks(account_id="a", per_second=11, per_minute=11),))),
    "too many in a minute": ("C8", replace(GOOD, peaks=(Peaks(account_id="a", per_second=10, per_minute=401),))),
    "an order under a halt": (
        "C9",
        replace(GOOD, halts=(Halt(scope="a", began_at=NOW - timedelta(seconds=9), ended_at=NOW + timedelta(hours=1)),)),
    ),
    "an order under reduce_only": ("C9", replace(GOOD, halts=(REDUCE_ONLY,))),
    "a reduction under a halt": (
        "C9", replace(REDUCTIONS, halts=(replace(REDUCE_ONLY, reductions_pass=False),)),
    ),
    "a secret in a log": ("C10", replace(GOOD, leaks=("replica-1.out:17",))),
}  # fmt: skip


@pytest.mark.parametrize("name", PASS)
def test_a_good_history_has_no_violation(name: str) -> None:
    """No check finds a violation in a history that is allowed."""
    assert [str(violation) for violation in check(PASS[name])] == []


@pytest.mark.parametrize("name", FAIL)
def test_a_bad_history_is_reported(name: str) -> None:
    """The check named in the table finds it, and describes it in one line."""
    expected, history = FAIL[name]
    found = check(history)
    assert expected in {violation.check for violation in found}
    assert all(violation.text and "\n" not in violation.text for violation in found)


def test_every_check_has_a_history_with_its_violation() -> None:
    """Each of the ten checks is tested with a violation."""
    assert {expected for expected, _ in FAIL.values()} == {f"C{number}" for number in range(1, 11)}
