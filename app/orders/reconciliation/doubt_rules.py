"""Reading the order book for the truth: pure rules from what it shows to what is now proven.

The book is the only judge of a doubt. A *clean read* is one that can prove an absence: it began after the order was
sent, and it shows every order that we already know of this day (the broker's book never shrinks within a day). Only
our own tag identifies an order; a row that merely looks alike is named to a person and never adopted.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from app.broker.orders import BrokerOrder, OrderRequest, Variety
from app.orders.sending.outcome_rules import THROTTLE_COOL_DOWN_S, THROTTLED
from app.orders.state.lifecycle import Event
from app.orders.state.model import BOOKED_AS, KnownOrder, Operation, OrderState, Task, TaskStatus
from app.orders.state.tags import TAG_LENGTH, attempt_tags, tags_of

CLOCK_TOLERANCE = timedelta(seconds=5)
LOOKS_S = (0.3, 0.7, 1.0, 2.0, 4.0, 7.0, 15.0, 30.0, 30.0, 30.0)
"""Seconds between one look for a doubt and the next, from the moment it was sent; the last one repeats."""

CLEAN_READS_NEEDED = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one read of the book proves about one task."""

    event: Event | None
    rows: tuple[BrokerOrder, ...] = ()
    clean: bool = False
    reason: str = ""


def shows_all_known(book: Iterable[BrokerOrder], known_ids: Iterable[str]) -> bool:
    """The canary of a clean read: a stale or cut book lacks something that we have already seen."""
    return {order.order_id for order in book}.issuperset(known_ids)


def examine_placement(
    task: Task, book: Sequence[BrokerOrder], *, clean: bool, now: datetime, window_s: float, clock_offset_s: float = 0.0
) -> Finding:
    """What the book says about a place task whose fate is open. ``clean``: the read can prove an absence."""
    rows = tuple(order for order in book if attempt_tags(task) & tags_of(order))
    if rows:
        reason = mismatch(task, rows, clock_offset_s=clock_offset_s)
        return Finding(event=Event.MISMATCH if reason else Event.FOUND, rows=rows, reason=reason)
    if not clean or task.last_sent_at is None:
        return Finding(event=None)
    if task.error_code == THROTTLED:
        return _absent_after_throttle(task, now=now)
    proven = task.clean_reads + 1 >= CLEAN_READS_NEEDED
    waited = now - task.last_sent_at >= timedelta(seconds=window_s)
    return Finding(event=Event.ABSENT if proven and waited else None, clean=True)


def _absent_after_throttle(task: Task, *, now: datetime) -> Finding:
    """Turned away at the gateway and not in the book: once that has cooled down it may go once more, if still fresh."""
    if task.last_sent_at is not None and now - task.last_sent_at < timedelta(seconds=THROTTLE_COOL_DOWN_S):
        return Finding(event=None, clean=True)
    if task.attempts < 2 and now < task.send_by:
        return Finding(event=Event.RESEND, clean=True)
    return Finding(event=Event.REFUSED, clean=True, reason="the broker throttled the order and never booked it")


def mismatch(task: Task, rows: Sequence[BrokerOrder], *, clock_offset_s: float = 0.0) -> str:
    """Why these rows are not the order that was asked for, or an empty string. Slices share one tag."""
    wanted = task.order
    for row in rows:
        reason = _row_mismatch(wanted, row)
        if reason:
            return f"order {row.order_id}: {reason}"
    if not may_slice(wanted) and len(rows) > 1:
        return f"{len(rows)} orders carry the tag of one attempt: {', '.join(row.order_id for row in rows)}"
    if not may_slice(wanted) and rows[0].quantity != wanted.quantity and not rows[0].raw.get("modified"):
        return f"order {rows[0].order_id}: quantity is {rows[0].quantity}, asked for {wanted.quantity}"
    return _too_early(task, rows, clock_offset_s=clock_offset_s)


def _row_mismatch(wanted: OrderRequest, row: BrokerOrder) -> str:
    pairs = (
        ("exchange", row.exchange, {wanted.exchange}),
        ("tradingsymbol", row.tradingsymbol, {wanted.tradingsymbol}),
        ("transaction_type", row.transaction_type, {wanted.transaction_type}),
        ("product", row.product, {wanted.product, "CO"} if wanted.variety is Variety.CO else {wanted.product}),
        ("variety", row.variety, {wanted.variety}),
        ("order_type", row.order_type, BOOKED_AS[wanted.order_type]),
    )
    for name, seen, allowed in pairs:
        if seen not in allowed and not (name == "order_type" and row.raw.get("modified")):
            return f"{name} is {seen}, asked for {' or '.join(sorted(map(str, allowed)))}"
    return ""


def _too_early(task: Task, rows: Sequence[BrokerOrder], *, clock_offset_s: float) -> str:
    if task.last_sent_at is None:
        return ""
    earliest = task.last_sent_at + timedelta(seconds=clock_offset_s) - CLOCK_TOLERANCE
    for row in rows:
        if row.order_timestamp is not None and row.order_timestamp < earliest.replace(microsecond=0):
            return f"order {row.order_id}: its time {row.order_timestamp.isoformat()} is before we sent it"
    return ""


def may_slice(wanted: OrderRequest) -> bool:
    """Whether the broker may make several orders of it, under one tag."""
    return wanted.autoslice or wanted.variety in {Variety.ICEBERG, Variety.CO}


def behind_s(database_ahead_s: float, broker_offset_s: float | None) -> float:
    """Seconds that the broker's clock is behind the database's; both are known against ours. Never negative."""
    return max(0.0, database_ahead_s - (broker_offset_s or 0.0))


def examine_command(task: Task, order: KnownOrder | None, *, clean: bool, now: datetime, window_s: float) -> Finding:
    """What an order's row proves about a cancel or modify task that is not finished.

    ``clean``: the read shows the row as it is now. A modification that is being sent waits for its answer: it may be
    what has just filled the order.
    """
    if order is None:
        return Finding(event=None)
    if task.operation is Operation.CANCEL:
        return _examine_cancel(task, order, now=now)
    if task.status is TaskStatus.RUNNING:
        return Finding(event=None)
    if task.status is TaskStatus.IN_DOUBT and order.shows(task.changes):
        return Finding(event=Event.FOUND)
    if order.state.is_terminal:
        return Finding(event=Event.REFUSED, reason=_ended(order))
    waited = task.last_sent_at is not None and now - task.last_sent_at >= timedelta(seconds=window_s)
    return Finding(event=Event.ABSENT if waited and clean and task.status is TaskStatus.IN_DOUBT else None)


def _examine_cancel(task: Task, order: KnownOrder, *, now: datetime) -> Finding:
    if order.state is OrderState.CANCELLED:
        return Finding(event=Event.FOUND)
    if order.state.is_terminal:
        return Finding(event=Event.REFUSED, reason=_ended(order))
    if task.status is not TaskStatus.IN_DOUBT or order.status == "CANCEL PENDING":
        return Finding(event=None)
    # the order still stands after an unanswered cancel: asking again can do no harm
    waited = task.last_sent_at is not None and now - task.last_sent_at >= timedelta(seconds=1)
    return Finding(event=Event.RESEND if waited else None)


def _ended(order: KnownOrder) -> str:
    return f"the order is {order.state} with {order.filled_quantity} filled"


def next_look(task: Task, *, now: datetime) -> datetime:
    """When to look for a doubt again: soon at first, then ever more patiently."""
    since = (now - task.last_sent_at).total_seconds() if task.last_sent_at else 0.0
    elapsed = 0.0
    for step in LOOKS_S:
        elapsed += step
        if elapsed > since:
            return now + timedelta(seconds=elapsed - since)
    return now + timedelta(seconds=LOOKS_S[-1])


def look_alikes(task: Task, book: Sequence[BrokerOrder], *, clock_offset_s: float = 0.0) -> list[BrokerOrder]:
    """Rows without any tag that could be the missing order: for a person to judge, never adopted."""
    wanted = task.order
    return [
        row
        for row in book
        if not tags_of(row) and not _row_mismatch(wanted, row) and row.quantity == wanted.quantity
        and (row.order_timestamp is None or not _too_early(task, [row], clock_offset_s=clock_offset_s))
    ]  # fmt: skip


def orphans(book: Sequence[BrokerOrder], *, deployment: str, known_tag_bases: Iterable[str]) -> list[BrokerOrder]:
    """Rows that carry a tag of this deployment which no task of ours has: a lost database, or a foreign writer."""
    known = set(known_tag_bases)
    return [
        row
        for row in book
        for tag in tags_of(row)
        if len(tag) == TAG_LENGTH and tag.startswith(deployment) and tag[: TAG_LENGTH - 1] not in known
    ]
