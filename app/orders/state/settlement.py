"""The one place where a task's status or a known order changes, each with its event, in the caller's transaction.

Whoever learns something (a sender with an answer, a reconciler with a book, an operator) brings a verdict here. The
lifecycle decides whether it may change anything; a fence that has moved on means that the bringer lost its claim.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import Any, Protocol
from uuid import UUID

from loguru import logger

from app.broker.orders import BrokerOrder
from app.db.postgres import Tx
from app.orders.state import alarm_store, order_store, task_store
from app.orders.state.alarms import Alarm
from app.orders.state.counters import OrderCounters
from app.orders.state.documents import (
    command_document,
    order_document,
    order_event_type,
    task_event_type,
    unplaced_document,
)
from app.orders.state.known_orders import known_order
from app.orders.state.lifecycle import Event, next_status
from app.orders.state.model import (
    KnownOrder,
    Operation,
    Task,
    TaskStatus,
)
from app.orders.state.order_state import content_hash, moves_forward
from app.orders.state.verdicts import Verdict

NewEvent = tuple[str, Mapping[str, Any]]


class EventWriter(Protocol):
    """The account's event log, as the engine needs it; both work inside the transaction."""

    async def lock(self, tx: Tx, account_id: str) -> None:
        """Become the account's only writer until the transaction ends: taken before any task row is touched."""
        ...

    async def append(self, tx: Tx, account_id: str, events: Sequence[NewEvent]) -> None: ...


class Settlement:
    """Writes what is known. Every public function expects the account's lock to be held by ``tx``."""

    def __init__(self, events: EventWriter, *, counters: OrderCounters) -> None:
        self.events = events
        self.counters = counters

    async def lock(self, tx: Tx, account_id: str) -> None:
        await self.events.lock(tx, account_id)

    async def raise_alarm(
        self, tx: Tx, alarm: Alarm, *, account_id: str, alarm_id: UUID, subject: UUID | str, data: Mapping[str, Any]
    ) -> bool:
        """Record and log what a person must look at; False when it was raised before."""
        new = await alarm_store.raise_alarm(
            tx, account_id, alarm_id=alarm_id, kind=str(alarm), subject=str(subject), data=dict(data)
        )
        if new:
            self.counters.alarms[str(alarm)] += 1
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
        self.counters.settled(settled)
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
            document = command_document(task)
        await self.events.append(tx, task.account_id, [(kind, document)])

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
        await self.events.append(tx, account_id, [(order_event_type(fresh.state), order_document(fresh, task))])
        return fresh

    async def show_stale(self, tx: Tx, known: KnownOrder, task: Task | None) -> None:
        """The book that could have shown its end is gone: say that what is known of it is old."""
        stale = {**known.document, "stale": True}
        order = replace(known, document=stale, content_hash=content_hash(stale))
        await order_store.upsert(tx, order)
        await self.events.append(tx, order.account_id, [("order_updated", order_document(order, task))])
