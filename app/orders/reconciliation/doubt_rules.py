"""What one read of the order book proves about a task whose outcome is unknown. Pure rules.

Only the order book ends a doubt. A *clean read* can prove an absence: it began after the order was sent, and it shows
every order of the day that is known already (the broker's book never shrinks within a day). Only the tag of this
service identifies an order; a row that merely looks alike is reported to the operator and never adopted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from app.broker.orders import BrokerOrder, Operation, OrderRequest, Variety
from app.broker.outcomes import ChildOrder, Sent
from app.orders.sending.outcome_rules import ATTEMPTS_THROTTLED, THROTTLE_COOL_DOWN_S, THROTTLED
from app.orders.state.completeness import SLICES_MISSING, Accounted, Row, accounted, own_side, surplus
from app.orders.state.engine_settings import CLEAN_READS_NEEDED
from app.orders.state.lifecycle import Event
from app.orders.state.model import UNSENT, KnownOrder, OrderState, Task, TaskError, TaskStatus
from app.orders.state.order_terms import BOOKED_AS
from app.orders.state.removal_rules import CANCEL_SHOWS_WITHIN_S
from app.orders.state.tags import attempt_tags, tags_of
from app.orders.state.trading_days import book_began
from app.orders.state.verdicts import Verdict, not_found

CLOCK_TOLERANCE = timedelta(seconds=5)
"""How much earlier than the send the broker may stamp an order, beyond the measured difference of the clocks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one read of the book proves about one task."""

    event: Event | None  # what happened to the task; None while nothing is proven
    rows: tuple[BrokerOrder, ...] = ()  # the rows that carry the task's tag
    clean: bool = False  # the read counts as one that did not show the order
    reason: str = ""  # for MISMATCH and REFUSED: what the book shows instead
    error: TaskError | None = None  # rows are missing


def is_clean_for(task: Task, *, complete: bool, started_at: datetime) -> bool:
    """Whether a read that began at ``started_at`` can prove that this placement in doubt has no order.

    It shows every known order (``complete``), began after the doubt did, and shows the book to which the order would
    belong: in the night the broker discards the book of the day before.
    """
    began_at = book_began(started_at)
    of_this_book = task.last_sent_at is not None and task.last_sent_at >= began_at
    in_doubt = task.status is TaskStatus.IN_DOUBT and of_this_book
    return complete and in_doubt and started_at > task.updated_at


def examine_placement(
    task: Task, book: Sequence[BrokerOrder], *, clean: bool, now: datetime, window_s: float, clock_offset_s: float = 0.0
) -> Finding:
    """What the book proves about a placement whose outcome is unknown.

    ``clean``: the read can prove an absence. ``window_s``: a doubt is not ended as absent sooner after the send.
    ``clock_offset_s``: the broker's clock minus this process's, never positive.
    """
    rows = tuple(order for order in book if attempt_tags(task) & tags_of(order))
    waited = task.last_sent_at is None or now - task.last_sent_at >= timedelta(seconds=window_s)
    if rows:
        reason = mismatch(task, rows, clock_offset_s=clock_offset_s)
        if reason:
            return Finding(event=Event.MISMATCH, rows=rows, reason=reason)
        untaken = missing(task, rows)
        return Finding(event=Event.FOUND if waited or untaken is None else None, rows=rows, error=untaken)
    if not clean or task.last_sent_at is None:
        return Finding(event=None)
    if task.error_code == THROTTLED:
        return _absent_after_throttle(task, now=now)
    proven = task.clean_reads + 1 >= CLEAN_READS_NEEDED
    return Finding(event=Event.ABSENT if proven and waited else None, clean=True)


def missing(task: Task, rows: Sequence[Row]) -> TaskError | None:
    """What the book shows of a placement whose rows are not all of it; None when they are, as far as it has come."""
    if accounted(task, rows) is not Accounted.PART:
        return None
    shown = sum(row.quantity for row in own_side(task, rows))
    message = f"the order book shows orders for {shown} of {task.order.quantity}"
    return TaskError(code=SLICES_MISSING, message=message)


def _absent_after_throttle(task: Task, *, now: datetime) -> Finding:
    """A throttled order that the book does not show: it is sent once more after the pause, if its time is not over."""
    if task.last_sent_at is not None and now - task.last_sent_at < timedelta(seconds=THROTTLE_COOL_DOWN_S):
        return Finding(event=None, clean=True)
    if task.attempts < ATTEMPTS_THROTTLED and now < task.send_by:
        return Finding(event=Event.RESEND, clean=True)
    return Finding(event=Event.REFUSED, clean=True, reason="the broker throttled the order and never booked it")


def mismatch(task: Task, rows: Sequence[BrokerOrder], *, clock_offset_s: float = 0.0) -> str:
    """Why these rows are not the requested order; an empty string when they are. Slices share one tag."""
    wanted = task.order
    for row in rows:
        reason = field_mismatch(wanted, row)
        if reason:
            return f"order {row.order_id}: {reason}"
    return surplus(task, rows) or time_mismatch(task, rows, clock_offset_s=clock_offset_s)


def field_mismatch(wanted: OrderRequest, row: BrokerOrder) -> str:
    """Which field of the row differs from the request; an empty string when none does.

    The stop of a cover order is on the other side, and of another type.
    """
    is_cover = wanted.variety is Variety.CO
    is_stop = is_cover and row.parent_order_id is not None
    side = wanted.transaction_type.opposite if is_stop else wanted.transaction_type
    pairs = (
        ("exchange", row.exchange, {wanted.exchange}),
        ("tradingsymbol", row.tradingsymbol, {wanted.tradingsymbol}),
        (
            "transaction_type",
            row.transaction_type,
            {side},
        ),
        ("product", row.product, {wanted.product, "CO"} if is_cover else {wanted.product}),
        ("variety", row.variety, {wanted.variety}),
        ("order_type", row.order_type, {row.order_type} if is_stop else BOOKED_AS[wanted.order_type]),
    )
    for name, seen, allowed in pairs:
        if seen not in allowed and not (name == "order_type" and row.is_modified):
            return f"{name} is {seen}, asked for {' or '.join(sorted(map(str, allowed)))}"
    return ""


def time_mismatch(task: Task, rows: Sequence[BrokerOrder], *, clock_offset_s: float) -> str:
    """Which row was placed before the task was sent, in words; an empty string when none was.

    A doubt without an attempt began when the database had forgotten the send. The order may be older than the task: a
    client repeats its key, and the task is stored again before the loss is noticed. The tag, of the key, proves it.
    """
    if task.last_sent_at is None or not task.attempts:
        return ""
    earliest = task.last_sent_at + timedelta(seconds=clock_offset_s) - CLOCK_TOLERANCE
    for row in rows:
        if row.order_timestamp is not None and row.order_timestamp < earliest.replace(microsecond=0):
            return f"order {row.order_id}: its time {row.order_timestamp.isoformat()} is before we sent it"
    return ""


def examine_command(
    task: Task, order: KnownOrder | None, *, read_again: bool, now: datetime, window_s: float
) -> Finding:
    """What the target order's row proves about an unfinished cancel or modification.

    ``read_again``: the row was read after the doubt began; an earlier row proves nothing. A modification that is being
    sent waits for its answer, because the modification itself may have filled the order. No row proves a modification
    to terms that the order showed before. A command that no row proves within the window ends as unknown: neither a
    cancel nor a modification can have made a second order.
    """
    # a book that lacks a row which it has shown may show it again, so the window is twice as long then
    limit_s = window_s if order is None or read_again else 2 * window_s
    waited = task.last_sent_at is not None and now - task.last_sent_at >= timedelta(seconds=limit_s)
    given_up = Event.ABSENT if waited and task.status is TaskStatus.IN_DOUBT else None
    if order is None:
        return Finding(event=given_up)
    if task.operation is Operation.CANCEL:
        return _examine_cancel(task, order, now=now)
    if task.status is TaskStatus.RUNNING:
        return Finding(event=None)
    provable = task.status is TaskStatus.IN_DOUBT and read_again and task.shown_before is False
    if provable and order.terms.show(task.changes):
        return Finding(event=Event.FOUND)
    if order.state.is_terminal:
        return Finding(event=Event.REFUSED, reason=_ended(order))
    return Finding(event=given_up)


def _examine_cancel(task: Task, order: KnownOrder, *, now: datetime) -> Finding:
    if order.state is OrderState.CANCELLED:
        return Finding(event=Event.FOUND)
    if order.state.is_terminal:
        return Finding(event=Event.REFUSED, reason=_ended(order))
    if task.status is not TaskStatus.IN_DOUBT or order.status == "CANCEL PENDING":
        return Finding(event=None)
    # the order is live although a cancel was sent: cancelling it again does no harm
    waited = task.last_sent_at is not None and now - task.last_sent_at >= timedelta(seconds=CANCEL_SHOWS_WITHIN_S)
    return Finding(event=Event.RESEND if waited else None)


def _ended(order: KnownOrder) -> str:
    return f"the order is {order.state} with {order.filled_quantity} filled"


def placement_verdict(finding: Finding) -> Verdict:
    """What becomes of a placement by this finding, whose event is not None."""
    match finding.event:
        case Event.FOUND:
            return _found(finding)
        case Event.MISMATCH:
            error = TaskError(code="BOOK_MISMATCH", message=finding.reason)
            return Verdict(event=Event.MISMATCH, sent=Sent.UNKNOWN, error=error)
        case Event.RESEND:
            return Verdict(event=Event.RESEND, sent=Sent.NO)
        case Event.REFUSED:
            error = TaskError(code="BROKER_THROTTLED", message=finding.reason)
            return Verdict(event=Event.REFUSED, sent=Sent.NO, error=error)
        case _:
            return not_found()


def _found(finding: Finding) -> Verdict:
    ids = [row.order_id for row in finding.rows if row.parent_order_id is None]
    # as the answer would have named them; a single order has no children
    children = tuple(ChildOrder(order_id=order_id) for order_id in ids) if len(ids) > 1 or finding.error else ()
    return Verdict(
        event=Event.FOUND,
        sent=Sent.YES,
        order_id=finding.rows[0].order_id,
        children=children,
        error=finding.error,
    )


def command_verdict(finding: Finding, task: Task) -> Verdict:
    """What becomes of a cancel or modification by this finding, whose event is not None."""
    match finding.event:
        case Event.FOUND:
            # a cancel that waits may find its order cancelled by others: the broker has received nothing of it
            sent = task.sent if task.status in UNSENT else Sent.YES
            return Verdict(event=Event.FOUND, sent=sent, order_id=task.target_order_id)
        case Event.RESEND:
            return Verdict(event=Event.RESEND, sent=Sent.UNKNOWN)
        case Event.REFUSED:
            error = TaskError(code="ORDER_ALREADY_FINAL", message=finding.reason)
            return Verdict(event=Event.REFUSED, sent=task.sent, error=error)
        case _:
            message = f"the order book never showed that the {task.operation} took effect"
            return Verdict(
                event=Event.ABSENT, sent=Sent.UNKNOWN, error=TaskError(code="NOT_CONFIRMED", message=message)
            )
