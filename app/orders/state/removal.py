"""The one way to get rid of an order: whoever no longer wants it sets the wish, and this cancels it until it has ended.

The wish is a mark on the placement (``removal_store.set_unwanted``), or on an order of another application. It is
durable and never taken back: whatever appears under the placement's tag, however late, is cancelled. A replacement is
such a wish too, for the order whose place it takes and as long as it waits to be sent.

Whoever sets a wish advances once in the same transaction, which stores the first cancels. The reconciler advances after
each read of the order book, at every owner: a cancel that was refused, or had no effect, is followed by another.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date, timedelta

from app.db.postgres import Tx
from app.orders.state import new_task_store, removal_store, task_store
from app.orders.state.alarms import Alarm
from app.orders.state.model import Task
from app.orders.state.new_tasks import NewTask
from app.orders.state.parts import OrderParts
from app.orders.state.removal_rules import WITHDRAWN_FOR, UnwantedOrder, is_due
from app.orders.state.verdicts import withdrawn


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
        """Withdraw unsent tasks that nobody wants, and store a cancel for each live order whose cancel is due.

        ``since``: the oldest day whose orders may live. ``hurry``: an operator asks, so no pause after refused cancels
        counts. The caller holds the account's lock.
        """
        unsent = [task for task in await removal_store.unsent_unwanted(tx, account_id) if self._knows(task)]
        for task in unsent:
            await self._settlement.settle(tx, task.task_id, withdrawn(_reason(task)))
        orders = await removal_store.unwanted_orders(
            tx, account_id, since=since, follows_s=self._settings.send_timeout_s
        )
        if not orders:
            return Removed(changed=bool(unsent))
        now = await task_store.database_now(tx)
        due = [order for order in orders if is_due(order, now=now, hurry=hurry)]
        await new_task_store.insert_tasks(tx, [self._cancel(order) for order in due])
        age = timedelta(seconds=self._settings.alarm_unwanted_age_s)
        for order in orders:
            if order.purpose == "unwanted" and now - order.since >= age:
                await self._alarm(tx, order)
        later = [at for order in orders if order not in due and (at := order.cancel_at()) is not None and at > now]
        return Removed(
            cancelled=tuple(order.target.order_id for order in due),
            changed=bool(unsent or due),
            again_in_s=(min(later) - now).total_seconds() if later else None,
        )

    def _cancel(self, order: UnwantedOrder) -> NewTask:
        task = self._tasks.cancel(order.target, purpose=order.purpose)
        return task if order.cancel_by is None else replace(task, send_by=min(task.send_by, order.cancel_by))

    async def _alarm(self, tx: Tx, order: UnwantedOrder) -> None:
        target = order.target
        await self._settlement.raise_alarm(
            tx,
            Alarm.NOT_CANCELLED,
            account_id=target.account_id,
            alarm_id=self._ids.uuid(),
            subject=target.order_id,
            data={"instrument": target.instrument, "cancels": order.cancels},
        )


def _reason(task: Task) -> str:
    if task.unwanted_why is None:
        return "no other order takes the place of this one any more"
    return WITHDRAWN_FOR[task.unwanted_why]
