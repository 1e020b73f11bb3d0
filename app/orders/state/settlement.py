"""The one place where a task's status or a known order changes, each with its event, in the caller's transaction.

Whoever learns something (a sender with an answer, a reconciler with a book, an operator) brings a verdict here. The
lifecycle decides whether it may change anything; a fence that has moved on means that the bringer lost its claim.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Protocol
from uuid import UUID

from loguru import logger

from app.broker.orders import BrokerOrder
from app.broker.outcomes import Sent
from app.db.postgres import Tx
from app.orders.batches import batch_store
from app.orders.batches.legs import Leg
from app.orders.reconciliation.doubt_rules import content_hash, moves_forward, state_of
from app.orders.state import order_store, task_store
from app.orders.state.alarms import Alarm
from app.orders.state.counters import OrderCounts
from app.orders.state.documents import (
    batch_document,
    batch_event_type,
    broker_document,
    order_document,
    order_event_type,
    task_event_type,
    unplaced_document,
)
from app.orders.state.lifecycle import Event, next_status
from app.orders.state.model import (
    NOT_FOUND_AT_BROKER,
    Batch,
    BatchStatus,
    KnownOrder,
    Operation,
    OrderState,
    Task,
    TaskError,
    TaskStatus,
)
from app.orders.state.verdicts import Verdict

NewEvent = tuple[str, Mapping[str, Any]]

UNKNOWN_STATUS = "UNKNOWN"
"""In the place of Kite's status for an order that its book has never shown."""


class EventWriter(Protocol):
    """The account's event log, as the engine needs it; both work inside the transaction."""

    async def lock(self, tx: Tx, account_id: str) -> None:
        """Become the account's only writer until the transaction ends: taken before any task row is touched."""
        ...

    async def append(self, tx: Tx, account_id: str, events: Sequence[NewEvent]) -> None: ...


class Settlement:
    """Writes what is known. Every public function expects the account's lock to be held by ``tx``."""

    def __init__(self, events: EventWriter, *, counts: OrderCounts) -> None:
        self._events = events
        self._counts = counts

    async def lock(self, tx: Tx, account_id: str) -> None:
        await self._events.lock(tx, account_id)

    async def raise_alarm(
        self, tx: Tx, alarm: Alarm, *, account_id: str, alarm_id: UUID, subject: UUID | str, data: Mapping[str, Any]
    ) -> bool:
        """Record and log what a person must look at; False when it was raised before."""
        new = await order_store.raise_alarm(
            tx, account_id, alarm_id=alarm_id, kind=str(alarm), subject=str(subject), data=dict(data)
        )
        if new:
            self._counts.alarms[str(alarm)] += 1
            logger.error("{} of account {}: {} {}", alarm, account_id, subject, data)
        return new

    async def settle(
        self, tx: Tx, task_id: UUID, verdict: Verdict, *, fence: int | None = None, shown: KnownOrder | None = None
    ) -> Task | None:
        """Apply a verdict; None when it may not change anything (another owner, or the task is past it).

        ``fence``: the claim under which the verdict was made; ``shown``: the order's row, when the book has it.
        """
        task = await task_store.lock(tx, task_id)
        if task is None or (fence is not None and task.fence != fence):
            return None
        status = next_status(task.status, verdict.event)
        if status is None:
            if verdict.event is Event.ACCEPTED and task.status is TaskStatus.COMPLETED and not task.children:
                await task_store.write_children(tx, task.task_id, verdict.children)  # found before its answer had come
            return None
        settled = await task_store.write_status(tx, task, status, verdict)
        self._counts.settled(settled)
        if settled.operation is Operation.PLACE and settled.order_id is not None:
            await order_store.adopt(
                tx, task.account_id, settled.order_id, trade_date=settled.trade_date, task_id=settled.task_id
            )
        await self._announce_task(tx, settled, shown)
        return settled

    async def _announce_task(self, tx: Tx, task: Task, shown: KnownOrder | None) -> None:
        kind = task_event_type(task.operation, task.status)
        if kind is None:
            return
        if task.operation is Operation.PLACE:
            document = order_document(shown, task) if shown is not None else unplaced_document(task)
        else:
            document = _command_document(task)
        await self._events.append(tx, task.account_id, [(kind, document)])

    async def show(
        self,
        tx: Tx,
        order: BrokerOrder,
        *,
        account_id: str,
        trade_date: date,
        task: Task | None,
        known: KnownOrder | None,
    ) -> KnownOrder:
        """Take over a row of the book unless it would move the order backwards; announce it when it says something new.

        ``trade_date``: the day to keep it under from now on. Returns the order as it is known now.
        """
        if known is not None and known.trade_date != trade_date:
            known = await order_store.move(tx, known, trade_date=trade_date)
        fresh = known_order(order, account_id=account_id, trade_date=trade_date, task_id=task.task_id if task else None)
        if known is not None and (known.content_hash == fresh.content_hash or not moves_forward(known, order)):
            if known.task_id is None and task is not None:
                await order_store.adopt(tx, account_id, order.order_id, trade_date=trade_date, task_id=task.task_id)
                return replace(known, task_id=task.task_id)
            return known
        if known is not None and known.task_id is not None:
            fresh = replace(fresh, task_id=known.task_id)
        await order_store.upsert(tx, fresh)
        await self._events.append(tx, account_id, [(order_event_type(fresh.state), order_document(fresh, task))])
        return fresh

    async def show_stale(self, tx: Tx, known: KnownOrder, task: Task | None) -> None:
        """The book that could have shown its end is gone: say that what is known of it is old."""
        stale = {**known.document, "stale": True}
        order = replace(known, document=stale, content_hash=content_hash(stale))
        await order_store.upsert(tx, order)
        await self._events.append(tx, order.account_id, [("order_updated", order_document(order, task))])

    async def settle_batch(
        self, tx: Tx, batch: Batch, status: BatchStatus, legs: Sequence[Leg], *, error: str | None
    ) -> Batch:
        """Store a batch's new status and announce its end."""
        code = "BATCH_ROLLBACK" if status is BatchStatus.COMPENSATING else f"BATCH_{status.upper()}"  # the reason stays
        stored = None if error is None else {"code": code, "message": error}
        settled = await batch_store.write_status(tx, batch.batch_id, status, error=stored)
        self._counts.batch_settled(settled)
        kind = batch_event_type(status)
        if kind is not None:
            await self._events.append(tx, batch.account_id, [(kind, batch_document(settled, legs))])
        return settled


def known_order(order: BrokerOrder, *, account_id: str, trade_date: date, task_id: UUID | None) -> KnownOrder:
    document = broker_document(order, account_id=account_id)
    return KnownOrder(
        account_id=account_id,
        trade_date=trade_date,
        order_id=order.order_id,
        task_id=task_id,
        status=order.status,
        state=state_of(order),
        filled_quantity=order.filled_quantity,
        average_price=order.average_price,
        content_hash=content_hash(document),
        document=document,
    )


def never_shown(task: Task, order_id: str) -> KnownOrder:
    """An order that the broker has confirmed and its book has never shown, as far as it is known: what we asked for."""
    document = {**unplaced_document(task), "order_id": order_id, "status": UNKNOWN_STATUS}
    return KnownOrder(
        account_id=task.account_id,
        trade_date=task.trade_date,
        order_id=order_id,
        task_id=task.task_id,
        status=UNKNOWN_STATUS,
        state=OrderState.PENDING,
        filled_quantity=0,
        average_price=Decimal(0),
        content_hash=content_hash(document),
        document=document,
    )


def not_found() -> Verdict:
    """The book, read clean often and long enough, never showed the order."""
    return Verdict(
        event=Event.ABSENT,
        sent=Sent.UNKNOWN,
        error=TaskError(
            code=NOT_FOUND_AT_BROKER,
            message="the order never appeared in the broker's order book; if it still does, it will be cancelled",
        ),
    )


def doubtful(reason: str, *, now: datetime) -> Verdict:
    """Nobody heard what became of it; the reconciler looks at once."""
    error = TaskError(code="OUTCOME_UNKNOWN", message=reason)
    return Verdict(event=Event.DOUBT, sent=Sent.UNKNOWN, error=error, next_check_at=now)


def day_over(task: Task) -> Verdict:
    """The only book that could have told is gone."""
    message = f"still in doubt when the broker's book of {task.trade_date.isoformat()} was gone; an operator must tell"
    return Verdict(event=Event.DAY_OVER, sent=Sent.UNKNOWN, error=TaskError(code="DAY_ENDED_IN_DOUBT", message=message))


def expired(task: Task) -> Verdict:
    """Its freshness ended before it could be sent, or (a cancel) sent once more: then `sent` stays what it was."""
    code = task.error_code if task.status is TaskStatus.HELD else None
    why = f" ({task.last_error['message']})" if task.last_error is not None else ""
    return Verdict(
        event=Event.EXPIRE,
        sent=task.sent,
        error=TaskError(code=code or "EXPIRED", message=f"not sent within its freshness{why}"),
    )


def withdrawn(reason: str) -> Verdict:
    return Verdict(event=Event.WITHDRAW, sent=Sent.NO, error=TaskError(code="WITHDRAWN", message=reason))


def overtaken(task: Task) -> Verdict:
    """The order whose place it should have taken ended in another way than by that cancel, or filled first."""
    message = f"order {task.replaces} filled before it could be cancelled, so nothing takes its place"
    return Verdict(event=Event.WITHDRAW, sent=task.sent, error=TaskError(code="REPLACED_ORDER_FILLED", message=message))


def _command_document(task: Task) -> dict[str, Any]:
    return {
        "account_id": task.account_id,
        "order_id": task.target_order_id,
        "task_id": str(task.task_id),
        "operation": str(task.operation),
        "task_status": str(task.status),
        "sent": str(task.sent),
        "error": task.last_error,
    }
