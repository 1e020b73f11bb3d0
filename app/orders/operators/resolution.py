"""Resolves tasks whose outcome the order book did not prove: an operator decides that they were placed or not.

A decision is settled like any outcome: under the account's lock, through the lifecycle, with an event and an entry in
the audit trail. The order book has priority: ``placed`` needs an order that the book has shown, ``not_placed`` is
refused while it shows one. ``requeue`` never sends the same task again: it makes a new
task with a new tag.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from app.broker.orders import Operation
from app.broker.outcomes import Sent
from app.db.postgres import Tx
from app.errors import BadInput, Conflict, Problem
from app.kit.clock import today
from app.orders.operators import resolution_store
from app.orders.operators.unresolved import UnresolvedTask
from app.orders.state import alarm_store, audit_store, new_task_store, order_store, tag_store, task_store
from app.orders.state.alarms import RaisedAlarm
from app.orders.state.audit import Actor
from app.orders.state.documents import task_document
from app.orders.state.lifecycle import Event
from app.orders.state.model import NOT_FOUND_AT_BROKER, KnownOrder, Resolution, Task, TaskError, TaskStatus
from app.orders.state.order_parts import OrderParts
from app.orders.state.verdicts import Verdict
from app.orders.state.wakeups import ChangeListener

_RESOLVABLE = frozenset({TaskStatus.IN_DOUBT, TaskStatus.DEAD_LETTER})
MAX_LISTED = 500
"""Tasks in one list of unresolved ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorDecision:
    """An operator's decision about one task."""

    resolution: Resolution
    note: str  # the reason, for readers of the audit trail
    order_id: str | None = None  # for ``placed``: the order that the task has made


class Resolutions:
    """Lists and resolves unresolved tasks. ``listener`` wakes the account's loops after the commit."""

    def __init__(self, parts: OrderParts, *, listener: ChangeListener) -> None:
        self._database = parts.database
        self._settlement = parts.settlement
        self._tasks = parts.tasks
        self._tagger = parts.tagger
        self._clock = parts.clock
        self._ids = parts.ids
        self._listener = listener

    async def resolve(self, task_id: UUID, decision: OperatorDecision, *, by: Actor) -> Mapping[str, Any]:
        """Settle the task, or store the task that replaces it; return the document of the one that counts now.

        Raises NotFound for an unknown task, BadInput without the order id that ``placed`` needs, Unavailable,
        CommitCutOff when it is not known whether the decision was stored, and Conflict with a code that says why this
        task cannot be resolved in this way.
        """
        async with self._database.connection() as connection:
            account_id = (await task_store.need(connection, task_id)).account_id
        async with self._database.transaction() as tx:
            await self._settlement.lock(tx, account_id)
            task = await task_store.need(tx, task_id)
            result = await self._act(tx, task, decision)
            await audit_store.write_audit(
                tx,
                entry_id=self._ids.uuid(),
                principal=by.principal,
                action=f"resolve_{decision.resolution}",
                subject=str(task_id),
                request_id=by.request_id,
                before=task_document(task),
                after={**task_document(result), "note": decision.note},
            )
        self._listener.changed(account_id)
        return task_document(result)

    async def unresolved(self) -> list[UnresolvedTask]:
        """Doubts, dead letters and tasks that were given up today, oldest first, at most ``MAX_LISTED``."""
        async with self._database.connection() as connection:
            found = await resolution_store.unresolved(connection, trade_date=today(self._clock), limit=MAX_LISTED)
            return [
                UnresolvedTask(task=task, shown=await resolution_store.orders_under_tag(connection, task))
                for task in found
            ]

    async def alarms(self, *, limit: int) -> list[RaisedAlarm]:
        """The newest alarms of all accounts, newest first."""
        async with self._database.connection() as connection:
            return await alarm_store.newest(connection, limit=limit)

    def age_s(self, moment: datetime) -> float:
        """Seconds since ``moment``."""
        return (self._clock.now() - moment).total_seconds()

    async def _act(self, tx: Tx, task: Task, decision: OperatorDecision) -> Task:
        if decision.resolution == "requeue":
            return await self._requeue(tx, task, decision)
        if task.status not in _RESOLVABLE:
            raise Conflict(f"the task is {task.status}: there is nothing to resolve", code="TASK_NOT_RESOLVABLE")
        if decision.resolution == "placed":
            return await self._placed(tx, task, decision)
        return await self._not_placed(tx, task, decision)

    async def _placed(self, tx: Tx, task: Task, decision: OperatorDecision) -> Task:
        if task.operation is not Operation.PLACE:
            verdict = Verdict(event=Event.OPERATOR_PLACED, sent=Sent.YES, order_id=task.target_order_id)
            return await self._settle(tx, task, verdict)
        order = await self._order_of(tx, task, decision)
        order = replace(order, task_id=task.task_id)
        await order_store.upsert(tx, order)
        verdict = Verdict(event=Event.OPERATOR_PLACED, sent=Sent.YES, order_id=order.order_id)
        return await self._settle(tx, task, verdict, shown=order)

    async def _order_of(self, tx: Tx, task: Task, decision: OperatorDecision) -> KnownOrder:
        """The order that the operator names. Raises BadInput without one, Conflict if this task cannot have made it."""
        if decision.order_id is None:
            problem = Problem(loc=("body", "order_id"), msg="is required: which order of the book is it?")
            raise BadInput([problem], code="ORDER_ID_MISSING")
        order = await order_store.find(tx, decision.order_id, account_id=task.account_id)
        if order is None or order.trade_date < task.trade_date:
            message = f"the order book has not, since {task.trade_date.isoformat()}, shown order {decision.order_id}"
            raise Conflict(message, code="ORDER_NOT_IN_BOOK")
        if order.task_id not in {None, task.task_id}:
            raise Conflict(f"order {decision.order_id} belongs to task {order.task_id}", code="ORDER_OF_ANOTHER_TASK")
        # The tag proves the order; without it, the book may have lost the tag, so instrument and side must agree.
        under_tag = {row.order_id for row in await resolution_store.orders_under_tag(tx, task)}
        if order.order_id not in under_tag and (
            order.instrument != task.instrument or order.transaction_type != task.order.transaction_type
        ):
            raise Conflict(f"order {decision.order_id} is another instrument or side", code="ORDER_DIFFERS")
        return order

    async def _not_placed(self, tx: Tx, task: Task, decision: OperatorDecision) -> Task:
        """Give the task up as if the book had proven that it has no order; one that appears later is cancelled.

        Raises Conflict when the book has shown an order under the task's tag.
        """
        shown = await resolution_store.orders_under_tag(tx, task)
        if shown:
            ids = ", ".join(row.order_id for row in shown)
            raise Conflict(f"the book shows {ids} under this task's tag: it was placed", code="ORDER_IN_BOOK")
        code = NOT_FOUND_AT_BROKER if task.operation is Operation.PLACE else "NOT_CONFIRMED"
        error = TaskError(code=code, message=f"an operator says that it did not happen: {decision.note}")
        return await self._settle(tx, task, Verdict(event=Event.OPERATOR_NOT_PLACED, sent=Sent.UNKNOWN, error=error))

    async def _requeue(self, tx: Tx, task: Task, decision: OperatorDecision) -> Task:
        """Store the placement again as a new task, once. Raises Conflict for one that may have been placed."""
        if task.operation is not Operation.PLACE:
            raise Conflict("only placements are queued again; ask for a new modify or cancel", code="NOT_A_PLACEMENT")
        if task.status is TaskStatus.IN_DOUBT:
            raise Conflict("still in doubt: it may have been placed; resolve that first", code="STILL_IN_DOUBT")
        if task.status is not TaskStatus.DEAD_LETTER and not task.is_provisional:
            raise Conflict(f"the task is {task.status}: it is not queued again", code="TASK_NOT_RESOLVABLE")
        if await resolution_store.successor(tx, task.task_id) is not None:
            raise Conflict("it was queued again already", code="ALREADY_REQUEUED")
        if task.status is TaskStatus.DEAD_LETTER:
            await self._not_placed(tx, task, decision)
        origin = await tag_store.origin_of(tx, task)
        if origin is not None:
            again = origin.follow_up("requeue", generation=origin.generation + 1)
            origin = await tag_store.unused(tx, again, tagger=self._tagger)
        fresh = self._tasks.requeued(task, origin=origin)
        await new_task_store.insert_tasks(tx, [fresh])
        return await task_store.need(tx, fresh.task_id)

    async def _settle(self, tx: Tx, task: Task, verdict: Verdict, *, shown: KnownOrder | None = None) -> Task:
        settled = await self._settlement.settle(tx, task.task_id, verdict, shown=shown)
        if settled is None:
            raise Conflict(f"the task is {task.status}: there is nothing to resolve", code="TASK_NOT_RESOLVABLE")
        return settled
