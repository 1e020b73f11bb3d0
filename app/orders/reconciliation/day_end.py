"""What ends with a trading day: doubts that no book can resolve any more, orders and fills whose end was not seen."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from datetime import date

from app.db.postgres import Tx
from app.orders.reconciliation import overdue_store
from app.orders.reconciliation.anomalies import Anomalies
from app.orders.state import fill_store, order_store, task_store
from app.orders.state.alarms import Alarm
from app.orders.state.known_orders import confirmed_order
from app.orders.state.model import Task
from app.orders.state.settlement import Settlement
from app.orders.state.trading_days import LOOK_BACK, ONE_DAY
from app.orders.state.verdicts import day_over

MAX_NAMED = 50
"""Order ids listed in one alarm, so that its document stays small; the count is always given."""


class DayEnd:
    """The day's end of one account. The caller holds the account's lock."""

    def __init__(self, account_id: str, settlement: Settlement, *, anomalies: Anomalies) -> None:
        self._account_id = account_id
        self._settlement = settlement
        self._anomalies = anomalies

    async def close_doubts(self, tx: Tx, doubts: Sequence[Task]) -> None:
        """Move doubts of days whose book is gone to the dead letters.

        No read can end them any more; an operator can, from the contract note or the positions.
        """
        for task in doubts:
            if await self._settlement.settle(tx, task.task_id, day_over(task), fence=task.fence) is not None:
                data: dict[str, object] = {"trade_date": task.trade_date.isoformat(), "instrument": task.instrument}
                await self._anomalies.alarm(tx, Alarm.DEAD_LETTER, task.task_id, data)

    async def close_days(self, tx: Tx, *, until: date) -> bool:
        """Mark orders of days whose book is gone and whose final state was never observed; return whether any was.

        Each marked order gets an event, and each day one alarm with the ids. A second alarm a day lists the quantities
        that filled without a reported trade.
        """
        since = until - LOOK_BACK
        for task in await overdue_store.confirmed_without_row(tx, self._account_id, until=until, since=since):
            shown = await order_store.by_ids(tx, self._account_id, task.confirmed_ids, since=task.trade_date - ONE_DAY)
            for order_id in task.confirmed_ids:
                if order_id not in shown:
                    await order_store.upsert(tx, confirmed_order(task, order_id))
        live = await order_store.still_live(tx, self._account_id, until=until, since=since)
        owners = await task_store.by_ids(
            tx, self._account_id, [order.task_id for order in live if order.task_id is not None]
        )
        for order in live:
            await self._settlement.mark_stale(tx, order, owners.get(order.task_id) if order.task_id else None)
        for day, orders in itertools.groupby(live, key=lambda order: order.trade_date):
            ids = [order.order_id for order in orders]
            data: dict[str, object] = {"orders": len(ids), "order_ids": ids[:MAX_NAMED]}
            await self._anomalies.alarm(tx, Alarm.END_UNSEEN, day.isoformat(), data)
        await self._report_missing_fills(tx, since=since, until=until)
        return bool(live)

    async def _report_missing_fills(self, tx: Tx, *, since: date, until: date) -> None:
        """Alarm for fills without a trade. None is inferred: the trade book of that day can no longer be read."""
        unmatched = await fill_store.with_missing_fills(tx, self._account_id, since=since, until=until)
        unexplained = [order for order in unmatched if order.unexplained_quantity]
        for day, group in itertools.groupby(unexplained, key=lambda order: order.trade_date):
            missing = {order.order_id: order.unexplained_quantity for order in group}
            data: dict[str, object] = {
                "orders": len(missing),
                "missing": dict(itertools.islice(missing.items(), MAX_NAMED)),
            }
            await self._anomalies.alarm(tx, Alarm.FILLS_MISSING, day.isoformat(), data)
