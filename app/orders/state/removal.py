"""The one way to get rid of an order: it is marked as unwanted, and is cancelled until the book shows its end.

The mark is on the placement (``removal_store.set_unwanted``), or on an order of another application. It is durable and
never taken back: every order that appears under the placement's tag, however late, is cancelled. A replacement marks
the order whose place it takes, as long as it waits to be sent.

The code that sets a mark calls ``advance`` once in the same transaction, which stores the first cancels. The reconciler
calls it after each read of the order book, at every owner: a cancel that was refused, or had no effect, is followed by
another.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date

from app.db.postgres import Tx
from app.orders.state import new_task_store, removal_store
from app.orders.state.alarms import Alarm
from app.orders.state.model import Task
from app.orders.state.new_tasks import NewTask
from app.orders.state.order_parts import OrderParts
from app.orders.state.removal_rules import UnwantedOrder
from app.orders.state.verdicts import BATCH_ENDS, TAKEN_BACK, withdrawn


@dataclass(frozen=True, slots=True, kw_only=True)
class Removed:
    """What one step has done."""

    cancelled: tuple[str, ...] = ()  # the orders for which a cancel was stored
    changed: bool = False  # a cancel was stored, or a task withdrawn
    again_in_s: float | None = None  # seconds until the next cancel is due; None: none is, by what is known now


class Removal:
    """Removes unwanted orders. ``knows`` says of an unsent task whether it may be believed that it was not sent."""

    def __init__(self, parts: OrderParts, *, knows: Callable[[Task], bool] = lambda _: True) -> None:
        self._settlement = parts.settlement
        self._settings = parts.settings
        self._tasks = parts.tasks
        self._ids = parts.ids
        self._knows = knows

    async def advance(self, tx: Tx, account_id: str, *, since: date, hurry: bool = False) -> Removed:
        """Withdraw unwanted tasks that are not sent, and store a cancel for each live order whose cancel is due.

        ``since``: the oldest day whose orders may live. ``hurry``: an operator asks, so no pause after refused cancels
        counts. The caller holds the account's lock.
        """
        unsent = [task for task in await removal_store.unsent_unwanted(tx, account_id) if self._knows(task)]
        for task in unsent:
            reason = BATCH_ENDS if task.unwanted_why == "rollback" else TAKEN_BACK
            await self._settlement.settle(tx, task.task_id, withdrawn(reason))
        orders = await self._orders(tx, account_id, since=since)
        moments = [(order, at) for order in orders if (at := order.cancel_at(hurry=hurry)) is not None]
        due = [order for order, at in moments if at <= order.now]
        await new_task_store.insert_tasks(tx, [self._cancel(order) for order in due])
        await self._alarm(tx, orders)
        return Removed(
            cancelled=tuple(order.order_id for order in due),
            changed=bool(unsent or due),
            again_in_s=min(((at - order.now).total_seconds() for order, at in moments if at > order.now), default=None),
        )

    async def is_needed(self, tx: Tx, account_id: str, *, since: date) -> bool:
        """Whether there is anything to do, now or later. No lock is needed."""
        orders = await self._orders(tx, account_id, since=since)
        return bool(orders or await removal_store.unsent_unwanted(tx, account_id))

    async def _orders(self, tx: Tx, account_id: str, *, since: date) -> list[UnwantedOrder]:
        follows_s = self._settings.send_timeout_s
        return await removal_store.unwanted_orders(tx, account_id, since=since, follows_s=follows_s)

    def _cancel(self, order: UnwantedOrder) -> NewTask:
        task = self._tasks.cancel(order, purpose=order.purpose)
        return task if order.cancel_by is None else replace(task, send_by=min(task.send_by, order.cancel_by))

    async def _alarm(self, tx: Tx, orders: Sequence[UnwantedOrder]) -> None:
        """Once for each order that has been unwanted for so long that an operator must look."""
        for order in orders:
            age_s = (order.now - order.since).total_seconds()
            if order.purpose == "unwanted" and age_s >= self._settings.alarm_unwanted_age_s:
                await self._settlement.raise_alarm(
                    tx,
                    Alarm.NOT_CANCELLED,
                    account_id=order.account_id,
                    alarm_id=self._ids.uuid(),
                    subject=order.order_id,
                    data={"instrument": order.instrument, "cancels": order.cancels},
                )
