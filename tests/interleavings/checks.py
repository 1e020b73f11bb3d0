"""What must be true of an account at rest, from its rows, the exchange's ledger, and what the operations answered.

The rules of the chaos checker (C1 to C6), and those about last words: nothing that was called withdrawn, cancelled,
rolled back or not sent is live, and nothing is live that was accepted before a kill.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from psycopg import AsyncConnection

from app.errors import ServiceError
from app.orders.entry.outcome_wait import Answer
from app.orders.entry.withdrawal import Withdrawn
from chaos import checker
from chaos.event_checks import events_in_order
from chaos.history import History, LedgerOrder
from tests.interleavings.account_history import read_history
from tests.interleavings.environment import Environment
from tests.interleavings.scheduler import Ending, Run
from tests.interleavings.subjects import Item, Subject

ENDED = frozenset({"COMPLETE", "CANCELLED", "CANCELLED AMO", "REJECTED"})
_CHAOS_CHECKS = {
    "C1": checker.one_order_per_tag,
    "C2": checker.one_order_per_intent,
    "C3": checker.all_ended,
    "C4": checker.no_order_without_intent,
    "C5": checker.same_as_the_exchange,
    "C6": events_in_order,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """``rule`` is a short name of what was broken; ``text`` has the ids."""

    rule: str
    text: str

    def __str__(self) -> str:
        return f"{self.rule}: {self.text}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """An account at rest, after a run."""

    account_id: str
    run: Run
    answers: Mapping[str, tuple[str, Ending]]  # by side: the operation's name, and how it ended
    items: Mapping[Subject, Item]
    history: History
    ledger: Sequence[Mapping[str, Any]]
    rows: Mapping[str, Any]  # of the tables, as JSON

    def of(self, operation: str) -> list[Ending]:
        """How the operation of this name ended, on each side that ran it."""
        return [ending for name, ending in self.answers.values() if name == operation]

    def live(self) -> list[LedgerOrder]:
        return [order for order in self.history.ledger if order.state not in ENDED]

    def tasks(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.rows["tasks"]
        return found

    def task_of(self, order: LedgerOrder) -> dict[str, Any] | None:
        """The placement whose tag the order carries."""
        places = (task for task in self.tasks() if task["tag_base"])
        return next((task for task in places if order.tag.startswith(task["tag_base"])), None)


async def read_facts(
    environment: Environment,
    *,
    account_id: str,
    ledger_before: int,
    run: Run,
    operations: Mapping[str, str],
    items: Mapping[Subject, Item],
) -> Facts:
    control: AsyncConnection[Any] = environment.control
    ledger = environment.ledger(after=ledger_before)
    history, rows = await read_history(control, account_id, ledger)
    return Facts(
        account_id=account_id,
        run=run,
        answers={side: (name, run.endings[side]) for side, name in operations.items()},
        items=items,
        history=history,
        ledger=ledger,
        rows=rows,
    )


def violations_of(facts: Facts) -> list[Violation]:
    """Everything that is not as it must be."""
    found = [Violation(rule=name, text=text) for name, check in _CHAOS_CHECKS.items() for text in check(facts.history)]
    for rule in _OWN_CHECKS:
        found += [Violation(rule=rule.__name__.lstrip("_"), text=text) for text in rule(facts)]
    return found


def _errors(facts: Facts) -> Iterator[str]:
    """An operation may refuse or find the database away; anything else is a fault of its own."""
    for name, ending in facts.answers.values():
        if ending.error is not None and not isinstance(ending.error, ServiceError):
            yield f"{name} raised {ending.error!r}"


def _deadlocks(facts: Facts) -> Iterator[str]:
    if facts.run.deadlocks:
        yield f"{facts.run.deadlocks} deadlocks"


def _withdrawn(facts: Facts) -> Iterator[str]:
    """Whatever the answer to a withdrawal said, nothing of the placement is live at the end."""
    for ending in facts.of("withdraw"):
        if not isinstance(ending.value, Withdrawn):
            continue
        task_id = ending.value.document["task_id"]
        said = f"{ending.value.document['status']}, {'over' if ending.value.over else 'not over yet'}"
        for order in facts.live():
            task = facts.task_of(order)
            if task is not None and task["task_id"] == task_id:
                yield f"task {task_id} was withdrawn ({said}), and order {order.order_id} is {order.state}"


def _killed(facts: Facts) -> Iterator[str]:
    """A kill that cancels open orders leaves none of those that were accepted before it."""
    for ending in facts.of("kill"):
        if ending.error is not None:
            continue
        killed_at, resumed_at = facts.rows["killed_at"], facts.rows["resumed_at"] or 0.0
        for order in facts.live():
            task = facts.task_of(order)
            if task is None or task["created_at"] > killed_at:
                continue
            if killed_at < resumed_at < task["last_sent_at"]:
                continue  # an operator has let it go again
            yield f"order {order.order_id} of task {task['task_id']} is {order.state} after a kill"


def _not_sent(facts: Facts) -> Iterator[str]:
    """Who reads ``sent: no`` may send it again: nothing of it is stored or at the exchange."""
    for ending in facts.of("accept"):
        if getattr(ending.error, "sent", None) == "no" and Subject.PENDING not in facts.items:
            for key in facts.rows["keys"]:
                yield f"accept said {ending.error!r}, and its key stands for {key['resource_id']}"
    at_exchange = {task["task_id"] for order in facts.history.ledger if (task := facts.task_of(order)) is not None}
    for name, ending in facts.answers.values():
        document = ending.value.document if isinstance(ending.value, Answer) and ending.value.final else {}
        if document.get("sent") == "no" and document["task_id"] in at_exchange:
            yield f"{name} said finally that {document['task_id']} was not sent"


def _replaced(facts: Facts) -> Iterator[str]:
    """Once its replacement was withdrawn, an order is not cancelled for its sake any more."""
    withdrawn_at = {
        ending.value.document["task_id"]: ending.ended_at
        for ending in facts.of("withdraw")
        if isinstance(ending.value, Withdrawn)
    }
    for task in facts.tasks():
        answered_at = withdrawn_at.get(task["task_id"])
        if task["replaces"] is None or answered_at is None or task["attempts"]:
            continue
        for cancel in facts.tasks():
            if cancel["purpose"] != "replace" or cancel["target_order_id"] != task["replaces"]:
                continue
            if cancel["last_sent_at"] is not None and cancel["last_sent_at"] > answered_at:
                yield f"order {task['replaces']} was cancelled after its replacement {task['task_id']} was withdrawn"


def _filled_unseen(facts: Facts) -> Iterator[str]:
    """No order takes the place of one that filled after its client had seen it without a fill."""
    filled = {order.order_id: order.filled_quantity for order in facts.history.ledger}
    for order in facts.history.ledger:
        task = facts.task_of(order)
        if task is not None and filled.get(task["replaces"], 0):
            what = f"{task['replaces']}, of which {filled[task['replaces']]} had filled"
            yield f"order {order.order_id} took the place of {what}"


def _bought_back(facts: Facts) -> Iterator[str]:
    """What closes a batch's fills sells no more than was bought."""
    sides = {str(row["order_id"]): row["request"]["transaction_type"] for row in facts.ledger}
    bought = sum(order.filled_quantity for order in facts.history.ledger if sides[order.order_id] == "BUY")
    sold = sum(order.filled_quantity for order in facts.history.ledger if sides[order.order_id] == "SELL")
    if sold > bought:
        yield f"{sold} sold, {bought} bought"


def _residual(facts: Facts) -> Iterator[str]:
    """What a batch says to be left of its fills is what the exchange has filled."""
    batch_of = {task["task_id"]: task["batch_id"] for task in facts.tasks()}
    last = {event["data"]["batch_id"]: event for event in facts.rows["events"] if event["type"] == "batch_rolled_back"}
    for batch_id, event in last.items():
        left = sum(int(residual["quantity"]) for residual in event["data"]["residual"])
        filled = 0
        for row, order in zip(facts.ledger, facts.history.ledger, strict=True):
            task = facts.task_of(order)
            if task is not None and batch_of[task["task_id"]] == batch_id:
                filled += order.filled_quantity * (1 if row["request"]["transaction_type"] == "BUY" else -1)
        if left != filled:
            yield f"batch {batch_id} says that {left} are left, the exchange has filled {filled}"


def _modified(facts: Facts) -> Iterator[str]:
    """An order has the price of a modification that was called completed, and of none that was called not sent."""
    for order in facts.ledger:
        modifications = [
            task
            for task in facts.tasks()
            if task["operation"] == "modify" and task["target_order_id"] == order["order_id"]
        ]
        if not modifications:
            continue
        completed = {_price(task["request"]["changes"]) for task in modifications if task["status"] == "completed"}
        unknown = {_price(task["request"]["changes"]) for task in modifications if task["sent"] == "unknown"}
        allowed = (completed or {_price(order["request"])}) | unknown
        if order["price"] not in allowed:
            yield f"order {order['order_id']} has the price {order['price']}, its modifications allow {allowed}"


def _price(fields: Mapping[str, Any]) -> Decimal:
    return Decimal(str(fields["price"]))


def _one_task_per_key(facts: Facts) -> Iterator[str]:
    """All answers under one key name one task."""
    ids = {ending.value.resource_id for ending in facts.of("accept") if isinstance(ending.value, Answer)}
    if Subject.PENDING in facts.items and ids:
        ids.add(facts.items[Subject.PENDING].task_id)
    if len(ids) > 1:
        yield f"one key stands for {', '.join(sorted(map(str, ids)))}"


_OWN_CHECKS = (
    _errors,
    _deadlocks,
    _withdrawn,
    _killed,
    _not_sent,
    _replaced,
    _filled_unseen,
    _bought_back,
    _residual,
    _modified,
    _one_task_per_key,
)
