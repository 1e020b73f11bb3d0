"""Each rule about last words finds what it is for, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from app.errors import Unavailable
from app.orders.entry.not_accepted import NotAccepted
from app.orders.entry.outcome_wait import Answer
from app.orders.entry.withdrawal import Withdrawn
from chaos.history import History, LedgerOrder
from tests.interleavings.checks import Facts, violations_of
from tests.interleavings.scheduler import Ending, Run

BASE = "SV" + "A" * 17
TASK_ID = "01890a5d-ac96-774b-bcce-b302099a8057"
TASK: dict[str, Any] = {
    "task_id": TASK_ID,
    "operation": "place",
    "status": "completed",
    "sent": "yes",
    "tag_base": BASE,
    "batch_id": None,
    "purpose": "client",
    "target_order_id": None,
    "replaces": None,
    "attempts": 1,
    "created_at": 100.0,
    "last_sent_at": 101.0,
    "request": {},
}
LIVE = LedgerOrder(
    order_id="1", account_id="x", tag=f"{BASE}1", accepted_at=datetime(2026, 1, 1, tzinfo=UTC), state="OPEN"
)
IN_LEDGER = {"order_id": "1", "price": Decimal(1400), "request": {"transaction_type": "BUY", "price": "1400"}}


def facts(answers: Mapping[str, Ending], **changes: Any) -> Facts:
    """A live order of one task, and these answers by operation."""
    rows = {"tasks": [TASK], "keys": [], "events": [], "killed_at": None, "resumed_at": None, **changes.pop("rows", {})}
    found = Facts(
        account_id="x",
        run=Run(),
        answers={str(number): one for number, one in enumerate(answers.items())},
        items={},
        history=History(ledger=[LIVE]),
        ledger=[IN_LEDGER],
        rows=rows,
    )
    return replace(found, **changes)


def broken_by(found: Facts) -> set[str]:
    """Of ``checks`` alone: the rules of the chaos checker have tests of their own."""
    return {violation.rule for violation in violations_of(found) if not violation.rule.startswith("C")}


def said(value: Any = None, error: BaseException | None = None, *, at: float = 200.0) -> Ending:
    return Ending(value=value, error=error, ended_at=at)


def withdrawn(status: str = "cancelled", *, over: bool = True) -> Withdrawn:
    return Withdrawn(document={"task_id": TASK_ID, "status": status}, over=over)


def answer(**document: Any) -> Answer:
    return Answer(kind="task", resource_id=UUID(TASK_ID), document={"task_id": TASK_ID, **document}, final=True)


def test_an_operation_may_refuse_and_may_find_the_database_away() -> None:
    """Any other error is a violation, and so is a deadlock."""
    assert broken_by(facts({"saga": said(error=Unavailable("away"))})) == set()
    assert broken_by(facts({"saga": said(error=LookupError("lost"))})) == {"errors"}
    assert broken_by(facts({}, run=Run(deadlocks=1))) == {"deadlocks"}


@pytest.mark.parametrize("over", [True, False])
def test_what_was_withdrawn_is_not_live(over: bool) -> None:
    """Neither after "over" nor after "not over yet"; another task's order is none of it."""
    answers = {"withdraw": said(withdrawn(over=over))}
    assert broken_by(facts(answers)) == {"withdrawn"}
    ended = History(ledger=[replace(LIVE, state="CANCELLED")])
    assert broken_by(facts(answers, history=ended)) == set()
    foreign = History(ledger=[replace(LIVE, tag="elsewhere")])
    assert broken_by(facts(answers, history=foreign)) == set()
    assert broken_by(facts({"withdraw": said(error=Unavailable("away"))})) == set()


def test_nothing_accepted_before_a_kill_is_live() -> None:
    """What was accepted after it, or let go again by an operator, may be."""
    answers = {"kill": said()}
    assert broken_by(facts(answers, rows={"killed_at": 150.0})) == {"killed"}
    assert broken_by(facts(answers, rows={"killed_at": 99.0})) == set()
    assert broken_by(facts(answers, rows={"killed_at": 100.5, "resumed_at": 100.7})) == set()
    assert broken_by(facts(answers, rows={"killed_at": 150.0, "resumed_at": 160.0})) == {"killed"}
    assert broken_by(facts({"kill": said(error=Unavailable("away"))}, rows={"killed_at": 150.0})) == set()


def test_what_was_called_not_sent_is_nowhere() -> None:
    """Neither stored under the key nor at the exchange."""
    refused = {"accept": said(error=NotAccepted("away"))}
    assert broken_by(facts(refused)) == set()
    assert broken_by(facts(refused, rows={"keys": [{"resource_id": TASK_ID}]})) == {"not_sent"}
    assert broken_by(facts({"accept": said(answer(sent="no"))})) == {"not_sent"}
    assert broken_by(facts({"accept": said(answer(sent="yes"))})) == set()


def test_no_order_is_cancelled_for_a_withdrawn_replacement() -> None:
    """A cancel that left before the answer was right at that time."""
    place = {**TASK, "status": "cancelled", "sent": "no", "replaces": "9", "attempts": 0}
    cancel = {**TASK, "task_id": "other", "operation": "cancel", "purpose": "replace", "tag_base": None}
    rows = {"tasks": [place, {**cancel, "target_order_id": "9", "last_sent_at": 201.0}]}
    answers, ledger = {"withdraw": said(withdrawn())}, History()
    assert broken_by(facts(answers, rows=rows, history=ledger)) == {"replaced"}
    rows = {"tasks": [place, {**cancel, "target_order_id": "9", "last_sent_at": 199.0}]}
    assert broken_by(facts(answers, rows=rows, history=ledger)) == set()


@pytest.mark.parametrize(("filled", "broken"), [(0, set()), (4, {"filled_unseen"})])
def test_nothing_takes_the_place_of_an_order_that_has_filled(filled: int, broken: set[str]) -> None:
    """Every version that a client has seen is one without a fill."""
    old = replace(LIVE, order_id="9", tag="elsewhere", state="CANCELLED", filled_quantity=filled)
    rows, ledger = {"tasks": [{**TASK, "replaces": "9"}]}, [IN_LEDGER, {**IN_LEDGER, "order_id": "9"}]
    assert broken_by(facts({}, history=History(ledger=[LIVE, old]), ledger=ledger, rows=rows)) == broken


def test_no_more_is_sold_than_was_bought() -> None:
    """By what has filled."""
    bought, sold = replace(LIVE, state="COMPLETE", filled_quantity=4), replace(LIVE, order_id="2", filled_quantity=8)
    sale = {**IN_LEDGER, "order_id": "2", "request": {"transaction_type": "SELL", "price": "1400"}}
    found = facts({}, history=History(ledger=[bought, sold]), ledger=[IN_LEDGER, sale])
    assert broken_by(found) == {"bought_back"}
    even = facts({}, history=History(ledger=[bought, replace(sold, filled_quantity=4)]), ledger=[IN_LEDGER, sale])
    assert broken_by(even) == set()


@pytest.mark.parametrize(("left", "broken"), [(4, set()), (0, {"residual"}), (-4, {"residual"})])
def test_a_batch_says_what_is_left_of_its_fills(left: int, broken: set[str]) -> None:
    """Four were bought and none sold."""
    event = {"type": "batch_rolled_back", "data": {"batch_id": "b", "residual": [{"quantity": left}]}}
    filled = History(ledger=[replace(LIVE, state="COMPLETE", filled_quantity=4)])
    rows = {"tasks": [{**TASK, "batch_id": "b"}], "events": [event]}
    assert broken_by(facts({}, history=filled, rows=rows)) == broken


@pytest.mark.parametrize(
    ("status", "sent", "price", "broken"),
    [
        ("completed", "yes", 1400, True),
        ("completed", "yes", 1390, False),
        ("failed", "no", 1390, True),
        ("failed", "no", 1400, False),
        ("failed", "unknown", 1390, False),
        ("failed", "unknown", 1400, False),
    ],
)
def test_an_order_has_the_price_that_its_modifications_say(status: str, sent: str, price: int, broken: bool) -> None:
    """Completed: the new one; not sent: the old one; unknown: either."""
    modify = {
        **TASK,
        "task_id": "other",
        "operation": "modify",
        "status": status,
        "sent": sent,
        "target_order_id": "1",
        "request": {"changes": {"price": "1390"}},
    }
    found = facts({}, rows={"tasks": [TASK, modify]}, ledger=[{**IN_LEDGER, "price": Decimal(price)}])
    assert broken_by(found) == ({"modified"} if broken else set())


def test_one_key_stands_for_one_task() -> None:
    """Whatever was answered to which caller."""
    other = replace(answer(), resource_id=UUID(int=1))
    assert broken_by(facts({"accept": said(answer(sent="yes"))})) == set()
    two = replace(facts({}), answers={"a": ("accept", said(answer())), "b": ("accept", said(other))})
    assert broken_by(two) == {"one_task_per_key"}
