"""Withdraws a placement, whatever its status; the withdrawal stays in force until none of its orders is live.

Its task is marked as unwanted. Unsent, it ends immediately. An order at the broker is cancelled, and one in doubt,
which has no known id, as soon as the book shows it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from app.broker.orders import Operation
from app.db.postgres import Tx
from app.errors import Conflict, Unavailable
from app.orders.state import order_store, removal_store, task_store
from app.orders.state.completeness import at_rest
from app.orders.state.documents import task_document
from app.orders.state.model import TaskStatus
from app.orders.state.order_parts import OrderParts
from app.orders.state.removal import Removal
from app.orders.state.trading_days import oldest_live_day
from app.orders.state.wakeups import ChangeListener

_LOOK_AGAIN_S = 0.25
"""Between two looks at a withdrawal whose client waits for its end."""
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
        self._removal = Removal(parts)
        self._clock = parts.clock
        self._listener = listener

    async def withdraw(self, task_id: UUID, *, wait_s: float = 0.0) -> Withdrawn:
        """Withdraw a placement. Repeating it is harmless: an order that is being cancelled is not cancelled twice.

        ``wait_s``: how many seconds to wait until it is over. Raises NotFound for an unknown task, Conflict for one
        that is no placement, Unavailable, CommitCutOff when it is not known whether the withdrawal was stored.
        """
        async with self._database.connection() as connection:
            task = await task_store.need(connection, task_id)
        if task.operation is not Operation.PLACE:
            raise Conflict("only placements are withdrawn", code="NOT_A_PLACEMENT")
        async with self._database.transaction() as tx:
            await self._settlement.lock(tx, task.account_id)
            # The row's lock waits for a claim of it that has not committed yet: its order would be withdrawn unnoticed.
            task = await task_store.lock(tx, task_id) or task
            # Any task that may have been sent may have an order, also a failed one: the book may still show it.
            if task.status not in _NEVER_SENT:
                await removal_store.set_unwanted(tx, [task_id], "withdrawal")
                since = min(oldest_live_day(self._clock.now()), task.trade_date)
                await self._removal.advance(tx, task.account_id, since=since)
            state = await _state(tx, task_id)
        self._listener.changed(task.account_id)
        ends = self._clock.monotonic() + wait_s
        while not state.over and self._clock.monotonic() < ends:
            await asyncio.sleep(_LOOK_AGAIN_S)
            with suppress(Unavailable):  # the withdrawal is stored: no failure may say that nothing is sent for it
                async with self._database.connection() as connection:
                    state = await _state(connection, task_id)
        return state


async def _state(tx: Tx, task_id: UUID) -> Withdrawn:
    task = await task_store.need(tx, task_id)
    return Withdrawn(document=task_document(task), over=at_rest(task, await order_store.by_tasks(tx, [task_id])))
