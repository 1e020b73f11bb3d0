"""The checks of the event log: its numbers and hashes, the path of each order in it, and who saw it. Pure."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence

from chaos.history import ENDED_STATES, Event, History

_NEXT_STATES = {
    "pending": frozenset({"pending", "trigger_pending", "open", "partially_filled"}),
    "trigger_pending": frozenset({"trigger_pending", "open", "partially_filled"}),
    "open": frozenset({"trigger_pending", "open", "partially_filled"}),
    "partially_filled": frozenset({"partially_filled"}),
}
"""The states that may follow, beside the final ones; a read of the order book may skip states, never go back."""

_TASK_EVENTS = {"order_in_doubt": 0, "order_failed": 1, "order_placed": 2}
"""The events of one task, in the only order that is allowed; a doubt may be repeated."""


def events_in_order(history: History) -> Iterator[str]:
    """C6."""
    events = sorted(history.events, key=lambda one: (one.account_id, one.seq))
    yield from _numbers_and_hashes(events)
    yield from _order_paths(events)
    yield from _task_paths(events)
    yield from _missing_events(history, events)


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
            yield f"the hash of event {event.seq} of {event.account_id} does not follow from the event before"
        hashes[event.account_id] = event.hash or b""


def _order_paths(events: Sequence[Event]) -> Iterator[str]:
    """Final states are final, filled quantities never decrease, and no order goes back to an earlier state."""
    before: dict[str, str] = {}
    filled: Counter[str] = Counter()
    for event in events:
        if event.order_id is None or event.state is None:
            continue
        if event.filled_quantity < filled[event.order_id]:
            yield (
                f"event {event.seq} of {event.account_id}: the filled quantity of order {event.order_id} decreases"
                f" by {filled[event.order_id] - event.filled_quantity}"
            )
        filled[event.order_id] = max(filled[event.order_id], event.filled_quantity)
        last = before.get(event.order_id, "pending")
        allowed = {last} if last in ENDED_STATES else _NEXT_STATES.get(last, frozenset()) | ENDED_STATES
        if event.state not in allowed:
            yield f"event {event.seq} of {event.account_id}: order {event.order_id} was {last}, now {event.state}"
        before[event.order_id] = event.state


def _task_paths(events: Sequence[Event]) -> Iterator[str]:
    """The events of each task, also of tasks that never had an order."""
    reached: dict[str, int] = {}
    for event in events:
        step = _TASK_EVENTS.get(event.type)
        if step is None or event.task_id is None:
            continue
        last = reached.get(event.task_id, 0)
        if step < last or (step == last and step > 0):
            yield f"event {event.seq} of {event.account_id}: {event.type} of task {event.task_id} after its end"
        reached[event.task_id] = step


def _missing_events(history: History, events: Sequence[Event]) -> Iterator[str]:
    """Stored states without an event: a client that follows the events does not know them."""
    last = {event.order_id: event for event in events if event.order_id is not None}
    for order in history.orders:
        event = last.get(order.order_id)
        if event is None or (event.state, event.filled_quantity) != (order.state, order.filled_quantity):
            shown = "nothing" if event is None else f"{event.state} with {event.filled_quantity} filled"
            yield (
                f"the last event of order {order.order_id} says {shown},"
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
                yield f"{seen.subscriber} saw another event {seq} of {seen.account_id} than an earlier subscriber"
