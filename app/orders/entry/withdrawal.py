"""Taking a placement back, wherever it stands: a wish that stays in force until nothing of it is live.

What was not sent is withdrawn at once. What the broker has is cancelled. What may or may not have reached it cannot be
cancelled by an id that nobody knows: it is marked, and cancelled on sight, whichever way the doubt ends.
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

_ENDED = FINISHED - {TaskStatus.DEAD_LETTER}
_NOTHING_CAME_OF_IT = frozenset({TaskStatus.CANCELLED, TaskStatus.EXPIRED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Withdrawn:
    """``document`` is the placement's task; ``over``: nothing is live, or can become live, as far as is known."""

    document: Mapping[str, Any]
    over: bool


class Withdrawals:
    """Raises NotFound for unknown tasks, Conflict for what is no placement, Unavailable."""

    def __init__(self, parts: OrderParts, *, listener: ChangeListener) -> None:
        self._database = parts.database
        self._settlement = parts.settlement
        self._clock = parts.clock
        self._tasks = parts.tasks
        self._listener = listener

    async def withdraw(self, task_id: UUID) -> Withdrawn:
        """Repeating it does no harm: what is being cancelled already is not cancelled twice."""
        async with self._database.connection() as connection:
            task = await task_store.need(connection, task_id)
        if task.operation is not Operation.PLACE:
            raise Conflict("only placements are withdrawn", code="NOT_A_PLACEMENT")
        async with self._database.transaction() as tx:
            await self._settlement.lock(tx, task.account_id)
            await self._withdraw(tx, await task_store.need(tx, task_id))
            task = await task_store.need(tx, task_id)
            over = task.status in _ENDED and not await cancel_store.is_live(tx, task_id)
        self._listener.changed(task.account_id)
        return Withdrawn(document=task_document(task), over=over)

    async def _withdraw(self, tx: Tx, task: Task) -> None:
        if task.status in UNSENT:
            await self._settlement.settle(tx, task.task_id, withdrawn("it was taken back before it was sent"))
            return
        if task.status in _NOTHING_CAME_OF_IT:
            return
        await cancel_store.mark_unwanted(tx, task_id=task.task_id)
        since = min(book_day(self._clock.now()), task.trade_date)
        await cancel_live(
            tx,
            task.account_id,
            "unwanted",
            purpose="withdrawal",
            today=today(self._clock),
            since=since,
            tasks=self._tasks,
        )
