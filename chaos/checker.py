"""The checks of a run: from the rows that it left to the list of violations. Pure.

C1  at most one order of the exchange per attempt's tag (or the slices of one request)
C2  at most one order per intent, over all its attempts, and none beside the order that it replaces
C3  everything that was accepted is finished, and its final state is true
C4  no order of the exchange without an intent (or an alarm about it)
C5  the service's states and fills are those of the exchange
C6  events are numbered without gaps, are chained by their hashes, and never go backwards
C7  every subscriber saw every event after its start, and the same event under the same number
C8  the broker's rate limits were kept
C9  nothing was sent under a halt; in reduce_only mode proven reductions were
C10 no log contains a secret
C11 after a fault an order on every account reaches the broker within 15 s
C12 while an account could not trade, the health of every replica said so
C13 nothing that was called undone, refused or not placed is live, and what is left of a batch is what it says
C14 an account whose login is dead does not slow the others down
C15 no answer took longer than its wait and five seconds
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
    TAG_BASE,
    UNFINISHED,
    History,
    LedgerOrder,
    Task,
)
from chaos.outcome_checks import (
    answers_came_in_time,
    health_was_true,
    last_words_are_true,
    recovered,
    walls_stood,
)

HALT_GRACE = timedelta(seconds=8)
"""An order that was claimed before the halt may still be sent for as long as a send may take."""

MOST_PER_SECOND, MOST_PER_MINUTE = 10, 400
_STATES = {"COMPLETE": "completed", "CANCELLED": "cancelled", "CANCELLED AMO": "cancelled", "REJECTED": "rejected"}
_NEVER_SENT = frozenset({"cancelled", "expired"})
_OPEN_BATCHES = frozenset({"running", "compensating"})


@dataclass(frozen=True, slots=True)
class Violation:
    """``check`` is C1 to C15; ``text`` is one sentence with the ids."""

    check: str
    text: str

    def __str__(self) -> str:
        return f"{self.check}: {self.text}"


def check(history: History) -> list[Violation]:
    """All violations, in the order of the checks."""
    checks = (one_order_per_tag, one_order_per_intent, all_ended, no_order_without_intent, same_as_the_exchange,
              events_in_order, nothing_missed, limits_kept, halts_kept, no_leaks, recovered, health_was_true,
              last_words_are_true, walls_stood, answers_came_in_time)  # fmt: skip
    return [Violation(f"C{number}", text) for number, find in enumerate(checks, start=1) for text in find(history)]


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
    """C2. A second attempt may be sent only after proof that the first had no effect, and a replacement only after
    the order that it replaces has ended."""
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

    yield from _early_replacements(history)


def _early_replacements(history: History) -> Iterator[str]:
    ledger = {order.order_id: order for order in history.ledger}
    tasks = {task.task_id: task for task in history.tasks}
    by_task = _by_task(history)
    sent = Counter(tasks[task_id].replaces for task_id in by_task)
    for replaced, count in sent.items():
        if replaced is not None and count > 1:
            yield f"{count} orders replaced order {replaced}"
    for task_id, orders in by_task.items():
        task = tasks[task_id]
        old = ledger.get(task.replaces or "")
        if old is None:
            continue
        for new in orders:
            if old.ended_at is None or old.ended_at > new.accepted_at:
                yield f"order {new.order_id} was placed before {old.order_id}, which it replaces, had ended"
            elif old.filled_quantity != task.replaces_filled:
                filled = f"{old.filled_quantity} filled, not {task.replaces_filled}"
                yield f"order {new.order_id} replaced {old.order_id}, which had {filled}"


def all_ended(history: History) -> Iterator[str]:
    """C3."""
    yield from unfinished(history)
    yield from _live_although_withdrawn(history, _by_task(history))
    yield from wrong_rollbacks(history)
    yield from _lost_answers(history)


def unfinished(history: History) -> Iterator[str]:
    """What has not ended, or has ended as something else than the exchange says."""
    by_task = _by_task(history)
    for task in history.tasks:
        if task.status in UNFINISHED:
            yield f"task {task.task_id} ({task.operation}) is still {task.status}"
        elif task.operation == "place" and task.status != "dead_letter":
            yield from _wrong_final_state(task, by_task.get(task.task_id, []))
    for batch in history.batches:
        if batch.status in _OPEN_BATCHES:
            yield f"batch {batch.batch_id} is still {batch.status}"


def wrong_rollbacks(history: History) -> Iterator[str]:
    """``rolled_back`` means that no order of the batch has fills or is live."""
    by_task = _by_task(history)
    undone = {batch.batch_id for batch in history.batches if batch.status == "rolled_back"}
    tasks = {task.task_id: task for task in history.tasks}
    for task_id, orders in by_task.items():
        for order in orders:
            if tasks[task_id].batch_id in undone and (order.filled_quantity or order.state not in _STATES):
                what = f"{order.state} with {order.filled_quantity} filled"
                yield f"batch {tasks[task_id].batch_id} is rolled_back, but its order {order.order_id} is {what}"


def _wrong_final_state(task: Task, orders: list[LedgerOrder]) -> Iterator[str]:
    is_group = bool(orders) and task.most_orders > 1  # of several orders, whose common id is none of theirs
    if task.status == "completed" and task.order_id not in {order.order_id for order in orders} and not is_group:
        yield f"task {task.task_id} is completed with order {task.order_id}, which the exchange never accepted from it"
    if task.status != "completed" and orders:
        yield f"task {task.task_id} is {task.status} ({task.error_code}), but the exchange has {_ids(orders)}"
    if task.sent == "no" and orders:
        yield f"task {task.task_id} says that it was not sent, but the exchange has {_ids(orders)}"


def _live_although_withdrawn(history: History, by_task: dict[str, list[LedgerOrder]]) -> Iterator[str]:
    """A placement whose withdrawal was acknowledged must be marked, and have no live order."""
    for task in history.tasks:
        if task.task_id in history.withdrawn and not task.unwanted and task.status not in _NEVER_SENT:
            yield f"task {task.task_id} was withdrawn, is {task.status}, and is not marked as unwanted"
        live = [order for order in by_task.get(task.task_id, []) if order.state not in _STATES]
        if task.unwanted and live:
            yield f"task {task.task_id} was withdrawn, and the exchange still has {_ids(live)}"


def _lost_answers(history: History) -> Iterator[str]:
    for text in history.unclear_answers:
        yield f"an answer does not say whether the order was sent: {text}"
    resources = {task.task_id for task in history.tasks} | {batch.batch_id for batch in history.batches}
    keys = {key.idem_key: key.resource_id for key in history.keys}
    for answer in history.acknowledged:
        key, resource = answer.idem_key, answer.resource_id
        if resource not in resources:
            yield f"a client got {resource} under key {key}, and it is not stored"
        elif keys.get(key) != resource:
            yield f"a client got {resource} under key {key}, which is stored for {keys.get(key)}"
    for idem_key in history.denied:
        if idem_key in keys:
            yield f"every answer under key {idem_key} said that nothing was sent, and it is {keys[idem_key]}"


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
        stored = known.get(order.order_id)
        if stored is None:
            yield f"order {order.order_id} of the exchange is not stored"
            continue
        if stored.filled_quantity != order.filled_quantity or fills[order.order_id] != order.filled_quantity:
            yield (
                f"order {order.order_id} has {order.filled_quantity} filled at the exchange,"
                f" {stored.filled_quantity} stored, {fills[order.order_id]} in fills"
            )
        ended = _STATES.get(order.state)
        if ended != (stored.state if stored.state in ENDED_STATES else None):
            yield f"order {order.order_id} is {order.state} at the exchange and stored as {stored.state}"
    there = {order.order_id for order in history.ledger}
    for order_id in known:
        if order_id not in there:
            yield f"order {order_id} is stored and not at the exchange"


def limits_kept(history: History) -> Iterator[str]:
    """C8."""
    for account_id in sorted(
        {order.account_id for order in history.ledger} - {one.account_id for one in history.peaks}
    ):
        yield f"the simulator counted no orders of {account_id}"
    for peaks in history.peaks:
        if peaks.per_second > MOST_PER_SECOND:
            yield f"{peaks.per_second} orders of {peaks.account_id} reached the broker within one second"
        if peaks.per_minute > MOST_PER_MINUTE:
            yield f"{peaks.per_minute} orders of {peaks.account_id} reached the broker within one minute"


def halts_kept(history: History) -> Iterator[str]:
    """C9."""
    places = _places(history)
    for halt in history.halts:
        for order in history.ledger:
            task = places.get(order.tag[:TAG_BASE])
            if halt.reductions_pass and task is not None and task.reduces:
                continue
            if halt.scope in {"*", order.account_id} and halt.began_at + HALT_GRACE < order.accepted_at < halt.ended_at:
                late = (order.accepted_at - halt.began_at).total_seconds()
                yield f"order {order.order_id} of {order.account_id} came {late:.1f} s after a halt of {halt.scope}"


def no_leaks(history: History) -> Iterator[str]:
    """C10."""
    for place in history.leaks:
        yield f"{place} contains a secret"


def _ids(orders: list[LedgerOrder]) -> str:
    return ", ".join(order.order_id for order in orders)
