"""Withdraws a placement, whatever its status; the withdrawal stays in force until none of its orders is live.

An unsent task is finished immediately. An order at the broker is cancelled. An order in doubt has no known id that
could be cancelled, so its task is marked, and the reconciler cancels the order as soon as the book shows it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from app.broker.orders import Operation
from app.db.postgres import Tx
from app.errors import Conflict
from app.kit.clock import today
from app.orders.state import cancel_store, task_store
from app.orders.state.cancels import cancel_live
from app.orders.state.documents import task_document
from app.orders.state.model import FINISHED, UNSENT, Task, TaskStatus
from app.orders.state.parts import OrderParts
from app.orders.state.trading_days import book_day
from app.orders.state.verdicts import withdrawn
from app.orders.state.wakeups import ChangeListener

_OUTCOME_KNOWN = FINISHED - {TaskStatus.DEAD_LETTER}
_NEVER_SENT = frozenset({TaskStatus.CANCELLED, TaskStatus.EXPIRED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Withdrawn:
    """The state of a withdrawal."""

    document: Mapping[str, Any]  # the placement's task
    over: bool  # by all that is known, none of its orders is live or can become live


class Withdrawals:
    """Withdraws placements. ``listener`` wakes the account's loops after the commit."""

    def __init__(self, parts: OrderParts, *, listener: ChangeListener) -> None:
        self._database = parts.database
        self._settlement = parts.settlement
        self._clock = parts.clock
        self._tasks = parts.tasks
        self._listener = listener

    async def withdraw(self, task_id: UUID) -> Withdrawn:
        """Withdraw a placement. Repeating it is harmless: an order that is being cancelled is not cancelled twice.

        Raises NotFound for an unknown task, Conflict for one that is no placement, Unavailable.
        """
        async with self._database.connection() as connection:
            task = await task_store.need(connection, task_id)
        if task.operation is not Operation.PLACE:
            raise Conflict("only placements are withdrawn", code="NOT_A_PLACEMENT")
        async with self._database.transaction() as tx:
            await self._settlement.lock(tx, task.account_id)
            # The row's lock waits for a claim of it that has not committed yet: its order would be withdrawn unnoticed.
            await self._withdraw(tx, await task_store.lock(tx, task_id) or task)
            task = await task_store.need(tx, task_id)
            over = task.status in _OUTCOME_KNOWN and not await cancel_store.is_live(tx, task_id)
        self._listener.changed(task.account_id)
        return Withdrawn(document=task_document(task), over=over)

    async def _withdraw(self, tx: Tx, task: Task) -> None:
        if task.status in UNSENT:
            await self._settlement.settle(tx, task.task_id, withdrawn("it was taken back before it was sent"))
            return
        if task.status in _NEVER_SENT:
            return
        # Any other task may have an order, also a failed one: the book may show the order of a task that was given up.
        await cancel_store.mark_unwanted(tx, task_id=task.task_id)
        since = min(book_day(self._clock.now()), task.trade_date)  # the order may be of a day before
        await cancel_live(
            tx,
            task.account_id,
            "unwanted",
            purpose="withdrawal",
            today=today(self._clock),
            since=since,
            tasks=self._tasks,
        )
