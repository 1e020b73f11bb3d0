"""The judge: from the rows that a run has left to the list of what must never happen. Pure.

C1  at most one order of the exchange per attempt's tag (or the slices of one request)
C2  at most one order per intent, over all its attempts
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

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta

from chaos.history import (
    ENDED_STATES,
    PROVEN_WITHOUT_EFFECT,
    UNFINISHED,
    Event,
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
_NEXT_STATES = {
    "pending": frozenset({"pending", "trigger_pending", "open", "partially_filled"}),
    "trigger_pending": frozenset({"trigger_pending", "open", "partially_filled"}),
    "open": frozenset({"trigger_pending", "open", "partially_filled"}),
    "partially_filled": frozenset({"partially_filled"}),
}
"""Where an order may be seen next beside its end; a read of the book may skip states, never go back through them."""

_WORDS = {"order_in_doubt": 0, "order_failed": 1, "order_placed": 2}
"""What is said of one task, in the only order in which it may be said; a doubt may be said again."""


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
    """C2: also that a second attempt left only after proof that the first had no effect."""
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


def events_in_order(history: History) -> Iterator[str]:
    """C6."""
    events = sorted(history.events, key=lambda one: (one.account_id, one.seq))
    yield from _numbers_and_hashes(events)
    yield from _order_paths(events)
    yield from _task_words(events)
    yield from _untold(history, events)


def _numbers_and_hashes(events: Sequence[Event]) -> Iterator[str]:
    expected: Counter[str] = Counter()
    hashes: dict[str, bytes] = {}
    for event in events:
        expected[event.account_id] += 1
        if event.seq != expected[event.account_id]:
            yield f"event {expected[event.account_id]} of {event.account_id} is missing, {event.seq} follows"
            expected[event.account_id] = event.seq
        due = hashlib.sha256(hashes.get(event.account_id, b"") + event.content.encode()).digest()
        if event.hash is not None and event.hash != due:
            yield f"event {event.seq} of {event.account_id} is not what was written after the one before it"
        hashes[event.account_id] = event.hash or b""


def _order_paths(events: Sequence[Event]) -> Iterator[str]:
    """Ends are final, fills never fall, and no state is taken back."""
    before: dict[str, str] = {}
    filled: Counter[str] = Counter()
    for event in events:
        if event.order_id is None or event.state is None:
            continue
        if event.filled_quantity < filled[event.order_id]:
            yield (
                f"event {event.seq} of {event.account_id} takes {filled[event.order_id] - event.filled_quantity}"
                f" filled of order {event.order_id} back"
            )
        filled[event.order_id] = max(filled[event.order_id], event.filled_quantity)
        last = before.get(event.order_id, "pending")
        allowed = {last} if last in ENDED_STATES else _NEXT_STATES.get(last, frozenset()) | ENDED_STATES
        if event.state not in allowed:
            yield f"event {event.seq} of {event.account_id}: order {event.order_id} was {last}, now {event.state}"
        before[event.order_id] = event.state


def _task_words(events: Sequence[Event]) -> Iterator[str]:
    """Also of tasks that never had an order."""
    said: dict[str, int] = {}
    for event in events:
        word = _WORDS.get(event.type)
        if word is None or event.task_id is None:
            continue
        last = said.get(event.task_id, 0)
        if word < last or (word == last and word > 0):
            yield f"event {event.seq} of {event.account_id}: {event.type} of task {event.task_id} after its end"
        said[event.task_id] = word


def _untold(history: History, events: Sequence[Event]) -> Iterator[str]:
    """What is stored and was never said: whoever lives on events has lost it."""
    last = {event.order_id: event for event in events if event.order_id is not None}
    for order in history.orders:
        told = last.get(order.order_id)
        if told is None or (told.state, told.filled_quantity) != (order.state, order.filled_quantity):
            said = "nothing" if told is None else f"{told.state} with {told.filled_quantity} filled"
            yield (
                f"the last event of order {order.order_id} says {said},"
                f" it is {order.state} with {order.filled_quantity} filled"
            )


def nothing_missed(history: History) -> Iterator[str]:
    """C7."""
    texts: dict[tuple[str, int], str] = {}
    last = {event.account_id: 0 for event in history.events}
    for event in history.events:
        last[event.account_id] = max(last[event.account_id], event.seq)
    for seen in history.seen:
        numbers = {seq for seq, _ in seen.events}
        end = last.get(seen.account_id, 0) if seen.complete else max(numbers, default=seen.start)
        missed = [seq for seq in range(seen.start + 1, end + 1) if seq not in numbers]
        if missed:
            yield f"{seen.subscriber} never saw {len(missed)} events of {seen.account_id}, the first is {missed[0]}"
        for seq, text in seen.events:
            if texts.setdefault((seen.account_id, seq), text) != text:
                yield f"{seen.subscriber} saw another event {seq} of {seen.account_id} than was seen before"


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
