"""The judge: from the rows that a run has left to the list of what must never happen. Pure.

C1  at most one order of the exchange per attempt's tag (or the slices of one request)
C2  at most one order per intent, over all its attempts, and none beside the one whose place it takes
C3  whatever was accepted is at an end, and the end is the truth
C4  no order of the exchange without an intent (or an alarm that says so)
C5  states and fills here are those of the exchange
C6  events are numbered without a gap, follow one another by their hashes, and never go backwards
C7  every subscriber saw every event behind its start, the same one under the same number
C8  the broker's rate limits held
C9  nothing was sent under a halt
C10 no secret in a log
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

from chaos.event_checks import events_in_order, nothing_missed
from chaos.history import (
    ENDED_STATES,
    PROVEN_WITHOUT_EFFECT,
    UNFINISHED,
    History,
    LedgerOrder,
    Task,
)

TAG_BASE = 19
HALT_GRACE = timedelta(seconds=8)
"""An order that was claimed before the halt may still be on its way for as long as a send may take."""

MOST_PER_SECOND, MOST_PER_MINUTE = 10, 400
_STATES = {"COMPLETE": "completed", "CANCELLED": "cancelled", "CANCELLED AMO": "cancelled", "REJECTED": "rejected"}
_NEVER_SENT = frozenset({"cancelled", "expired"})
_OPEN_BATCHES = frozenset({"running", "compensating"})


@dataclass(frozen=True, slots=True)
class Violation:
    """``check`` is C1 to C10; ``text`` one sentence with the ids in it."""

    check: str
    text: str

    def __str__(self) -> str:
        return f"{self.check}: {self.text}"


def check(history: History) -> list[Violation]:
    """Every violation, in the order of the checks."""
    checks = (one_order_per_tag, one_order_per_intent, all_ended, no_order_without_intent, same_as_the_exchange,
              events_in_order, nothing_missed, limits_held, halts_held, no_leaks)  # fmt: skip
    return [Violation(f"C{number}", text) for number, rule in enumerate(checks, start=1) for text in rule(history)]


def _places(history: History) -> dict[str, Task]:
    """Place tasks by tag base."""
    return {task.tag_base: task for task in history.tasks if task.tag_base}


def _by_task(history: History) -> dict[str, list[LedgerOrder]]:
    places = _places(history)
    found: dict[str, list[LedgerOrder]] = defaultdict(list)
    for order in history.ledger:
        task = places.get(order.tag[:TAG_BASE])
        if task is not None:
            found[task.task_id].append(order)
    return found


def one_order_per_tag(history: History) -> Iterator[str]:
    """C1."""
    places = _places(history)
    for tag, count in Counter(order.tag for order in history.ledger if order.tag).items():
        task = places.get(tag[:TAG_BASE])
        most = 1 if task is None else task.most_orders
        if count > most:
            yield f"tag {tag} is on {count} orders of the exchange, at most {most} may carry it"


def one_order_per_intent(history: History) -> Iterator[str]:
    """C2: also that a second attempt left only after proof that the first had no effect, and a replacement only
    after the order whose place it takes."""
    tasks = {task.task_id: task for task in history.tasks}
    for task_id, orders in _by_task(history).items():
        if len(orders) > tasks[task_id].most_orders:
            yield f"task {task_id} has {len(orders)} orders at the exchange: {_ids(orders)}"
    attempts = defaultdict(list)
    for attempt in history.attempts:
        attempts[attempt.task_id].append(attempt)
    for task_id, made in attempts.items():
        if task_id not in tasks or tasks[task_id].operation != "place":
            continue
        for attempt in sorted(made, key=lambda one: one.attempt)[:-1]:
            if attempt.outcome not in PROVEN_WITHOUT_EFFECT:
                yield f"task {task_id} was sent again after attempt {attempt.attempt} ended as {attempt.outcome}"

    yield from _beside_the_replaced(history)


def _beside_the_replaced(history: History) -> Iterator[str]:
    ledger = {order.order_id: order for order in history.ledger}
    tasks = {task.task_id: task for task in history.tasks}
    by_task = _by_task(history)
    sent = Counter(tasks[task_id].replaces for task_id in by_task)
    for replaced, count in sent.items():
        if replaced is not None and count > 1:
            yield f"{count} orders took the place of order {replaced}"
    for task_id, orders in by_task.items():
        task = tasks[task_id]
        old = ledger.get(task.replaces or "")
        if old is None:
            continue
        for new in orders:
            if old.ended_at is None or old.ended_at > new.accepted_at:
                yield f"order {new.order_id} came beside {old.order_id}, whose place it should have taken"
            elif old.filled_quantity != task.replaces_filled:
                filled = f"{old.filled_quantity} filled, not {task.replaces_filled}"
                yield f"order {new.order_id} took the place of {old.order_id}, which had {filled}"


def all_ended(history: History) -> Iterator[str]:
    """C3."""
    by_task = _by_task(history)
    for task in history.tasks:
        if task.status in UNFINISHED:
            yield f"task {task.task_id} ({task.operation}) is still {task.status}"
        elif task.operation == "place" and task.status != "dead_letter":
            yield from _untrue_end(task, by_task.get(task.task_id, []))
    for batch in history.batches:
        if batch.status in _OPEN_BATCHES:
            yield f"batch {batch.batch_id} is still {batch.status}"
    yield from _live_after_all(history, by_task)
    yield from _untrue_rollbacks(history, by_task)
    yield from _lost_answers(history)


def _untrue_rollbacks(history: History, by_task: dict[str, list[LedgerOrder]]) -> Iterator[str]:
    """``rolled_back`` says that nothing of the batch filled or lives."""
    undone = {batch.batch_id for batch in history.batches if batch.status == "rolled_back"}
    tasks = {task.task_id: task for task in history.tasks}
    for task_id, orders in by_task.items():
        for order in orders:
            if tasks[task_id].batch_id in undone and (order.filled_quantity or order.state not in _STATES):
                what = f"{order.state} with {order.filled_quantity} filled"
                yield f"batch {tasks[task_id].batch_id} is rolled_back, but its order {order.order_id} is {what}"


def _untrue_end(task: Task, orders: list[LedgerOrder]) -> Iterator[str]:
    if task.status == "completed" and task.order_id not in {order.order_id for order in orders}:
        yield f"task {task.task_id} is completed with order {task.order_id}, which the exchange never accepted from it"
    if task.status != "completed" and orders:
        yield f"task {task.task_id} is {task.status} ({task.error_code}), but the exchange has {_ids(orders)}"
    if task.sent == "no" and orders:
        yield f"task {task.task_id} says that it was not sent, but the exchange has {_ids(orders)}"


def _live_after_all(history: History, by_task: dict[str, list[LedgerOrder]]) -> Iterator[str]:
    """Placements that were taken back: a wish that was told to be in force, and what it must have come to."""
    for task in history.tasks:
        if task.task_id in history.taken_back and not task.unwanted and task.status not in _NEVER_SENT:
            yield f"task {task.task_id} was taken back, is {task.status}, and nothing says so"
        live = [order for order in by_task.get(task.task_id, []) if order.state not in _STATES]
        if task.unwanted and live:
            yield f"task {task.task_id} was taken back, and the exchange still has {_ids(live)}"


def _lost_answers(history: History) -> Iterator[str]:
    for answer in history.odd_answers:
        yield f"a client was left without a word about its order: {answer}"
    resources = {task.task_id for task in history.tasks} | {batch.batch_id for batch in history.batches}
    keys = {key.idem_key: key.resource_id for key in history.keys}
    for told in history.told:
        if told.resource_id not in resources:
            yield f"a client was told {told.resource_id} under key {told.idem_key}, which is not stored"
        elif keys.get(told.idem_key) != told.resource_id:
            yield f"key {told.idem_key} stands for {keys.get(told.idem_key)}, a client was told {told.resource_id}"
    for idem_key in history.denied:
        if idem_key in keys:
            yield f"a client was only ever told that nothing was sent under key {idem_key}: it is {keys[idem_key]}"


def no_order_without_intent(history: History) -> Iterator[str]:
    """C4."""
    places = _places(history)
    for order in history.ledger:
        if order.tag[:TAG_BASE] not in places and order.order_id not in history.orphans:
            yield f"order {order.order_id} (tag {order.tag or 'none'}) has no task and no alarm"


def same_as_the_exchange(history: History) -> Iterator[str]:
    """C5."""
    known = {order.order_id: order for order in history.orders}
    fills: Counter[str] = Counter()
    for fill in history.fills:
        fills[fill.order_id] += fill.quantity
    for order in history.ledger:
        mine = known.get(order.order_id)
        if mine is None:
            yield f"order {order.order_id} of the exchange was never taken over"
            continue
        if mine.filled_quantity != order.filled_quantity or fills[order.order_id] != order.filled_quantity:
            yield (
                f"order {order.order_id} has {order.filled_quantity} filled at the exchange,"
                f" {mine.filled_quantity} here, {fills[order.order_id]} in fills"
            )
        ended = _STATES.get(order.state)
        if ended != (mine.state if mine.state in ENDED_STATES else None):
            yield f"order {order.order_id} is {order.state} at the exchange and {mine.state} here"
    there = {order.order_id for order in history.ledger}
    for order_id in known:
        if order_id not in there:
            yield f"order {order_id} is known here and not at the exchange"


def limits_held(history: History) -> Iterator[str]:
    """C8."""
    for account_id in sorted(
        {order.account_id for order in history.ledger} - {one.account_id for one in history.peaks}
    ):
        yield f"nobody counted the orders of {account_id} that reached the broker"
    for peaks in history.peaks:
        if peaks.per_second > MOST_PER_SECOND:
            yield f"{peaks.per_second} orders of {peaks.account_id} reached the broker within one second"
        if peaks.per_minute > MOST_PER_MINUTE:
            yield f"{peaks.per_minute} orders of {peaks.account_id} reached the broker within one minute"


def halts_held(history: History) -> Iterator[str]:
    """C9."""
    for halt in history.halts:
        for order in history.ledger:
            if halt.scope in {"*", order.account_id} and halt.began_at + HALT_GRACE < order.accepted_at < halt.ended_at:
                late = (order.accepted_at - halt.began_at).total_seconds()
                yield f"order {order.order_id} of {order.account_id} came {late:.1f} s after a halt of {halt.scope}"


def no_leaks(history: History) -> Iterator[str]:
    """C10."""
    for place in history.leaks:
        yield f"a secret is in {place}"


def _ids(orders: list[LedgerOrder]) -> str:
    return ", ".join(order.order_id for order in orders)
