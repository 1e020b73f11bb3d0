"""The one place where a task's status or a known order changes, each with its event, in the caller's transaction.

The sender with the broker's answer, the reconciler with an order book and an operator with a decision each bring a
verdict here. The lifecycle decides whether it changes anything. A verdict under an older fence changes nothing: its
sender lost the claim, and another attempt may be under way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import Any, Protocol
from uuid import UUID

from loguru import logger

from app.broker.orders import BrokerOrder, Operation
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
from app.orders.state.model import ENDED_WITHOUT_ORDER, KnownOrder, Task, TaskStatus
from app.orders.state.order_state import content_hash, moves_forward
from app.orders.state.send_memory import SendMemory
from app.orders.state.verdicts import Verdict, doubtful

NewEvent = tuple[str, Mapping[str, Any]]


class EventWriter(Protocol):
    """The account's event log, as the engine needs it. All functions work inside the caller's transaction."""

    async def lock(self, tx: Tx, account_id: str) -> None:
        """Become the account's only writer until the transaction ends. Taken before any row of a task is locked."""
        ...

    async def append(self, tx: Tx, account_id: str, events: Sequence[NewEvent]) -> None:
        """Add events to the account's log; clients see them after the commit."""
        ...

    async def begin_epoch(self, tx: Tx, account_id: str) -> None:
        """Name the account's log anew: what clients know of its numbers is void, and they begin with a snapshot."""
        ...


_ENDS_UNSENT = frozenset({Event.EXPIRE, Event.WITHDRAW})


class Settlement:
    """Writes tasks and orders with their events. The caller has taken the account's ``lock`` in that transaction."""

    def __init__(self, events: EventWriter, *, counters: OrderCounters) -> None:
        self.events = events
        self.counters = counters
        self.sends = SendMemory()

    async def lock(self, tx: Tx, account_id: str) -> None:
        """Wait until this transaction is the account's only writer; it is until it ends."""
        await self.events.lock(tx, account_id)

    async def raise_alarm(
        self, tx: Tx, alarm: Alarm, *, account_id: str, alarm_id: UUID, subject: UUID | str, data: Mapping[str, Any]
    ) -> bool:
        """Store, count and log an alarm for the operator; returns False when it was raised before."""
        new = await alarm_store.raise_alarm(
            tx, account_id, alarm_id=alarm_id, kind=str(alarm), subject=str(subject), data=dict(data)
        )
        if new:
            self.counters.alarms[str(alarm)] += 1
            logger.bind(account_id=account_id, alarm=alarm, subject=subject, data=data).error("alarm raised")
        return new

    async def settle(
        self, tx: Tx, task_id: UUID, verdict: Verdict, *, fence: int | None = None, shown: KnownOrder | None = None
    ) -> Task | None:
        """Apply a verdict. Returns the task as it is now, or None when the verdict must not change anything.

        ``fence``: the claim under which the verdict was made, None where no claim is needed (the book, an operator).
        ``shown``: the order's row, when the book has it. A placement of which the book has shown a part, some slices,
        does not end as if it had no order, whatever the verdict says: it is in doubt until the book has shown all.
        """
        task = await task_store.lock(tx, task_id)
        # claimed again since the verdict was made: that sender lost its claim, and its answer is about an older attempt
        if task is None or (fence is not None and task.fence != fence):
            return None
        if verdict.event in _ENDS_UNSENT and self.sends.sent_after(task, task.fence):
            verdict = doubtful("the database has forgotten that this was sent", now=task.created_at)
        status = next_status(task.status, verdict.event)
        if status in ENDED_WITHOUT_ORDER and await order_store.is_shown(tx, task):
            verdict = doubtful("the order book shows orders of it", now=task.created_at)
            status = next_status(task.status, verdict.event)
        if status is None:
            # the book showed the order before its answer came: the status stays, and only the answer knows every slice
            if verdict.event is Event.ACCEPTED and task.status is TaskStatus.COMPLETED and verdict.children:
                await task_store.write_children(tx, task.task_id, verdict.children, error=verdict.error)
            return None
        settled = await task_store.write_status(tx, task, status, verdict)
        self.counters.settled(settled)
        # the book may have shown the order without its tag, as an order of another application
        if settled.operation is Operation.PLACE and settled.order_id is not None:
            await order_store.adopt(
                tx, task.account_id, settled.order_id, trade_date=settled.trade_date, task_id=settled.task_id
            )
        await self._announce_task(tx, settled, shown)
        return settled

    async def _announce_task(self, tx: Tx, task: Task, shown: KnownOrder | None) -> None:
        """Append the event of the task's new status, where it has one."""
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
        """Store a row of the book, with an event if it is new. A row that would move the order backwards is ignored.

        ``trade_date``: the day under which the order is kept from now on; ``known``: the order as it was known so far.
        Returns the order as it is known now.
        """
        # a live order goes over to the new day and stays one order
        if known is not None and known.trade_date != trade_date:
            known = await order_store.move(tx, known, trade_date=trade_date)
        fresh = known_order(order, account_id=account_id, trade_date=trade_date, task_id=task.task_id if task else None)
        # nothing new, or an older row: only the task of the order may be news
        if known is not None and (known.content_hash == fresh.content_hash or not moves_forward(known, order)):
            if known.task_id is None and task is not None:
                await order_store.adopt(tx, account_id, order.order_id, trade_date=trade_date, task_id=task.task_id)
                return replace(known, task_id=task.task_id)
            return known
        # a row without its tag does not take the order away from its task
        if known is not None and known.task_id is not None:
            fresh = replace(fresh, task_id=known.task_id)
        await order_store.upsert(tx, fresh)
        await self.events.append(tx, account_id, [(order_event_type(fresh.state), order_document(fresh, task))])
        return fresh

    async def mark_stale(self, tx: Tx, known: KnownOrder, task: Task | None) -> None:
        """Mark an order as stale, with an event: the broker discarded the book that could have shown its end."""
        stale = {**known.document, "stale": True}
        order = replace(known, document=stale, content_hash=content_hash(stale))
        await order_store.upsert(tx, order)
        await self.events.append(tx, order.account_id, [("order_updated", order_document(order, task))])
