"""Raises an alarm, once each, for what the order book shows or has stopped showing and an operator must look at."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from datetime import date
from uuid import UUID

from app.broker.orders import BrokerOrder
from app.db.postgres import Tx
from app.orders.reconciliation import anomaly_rules, doubt_rules, overdue_store
from app.orders.state import fill_store, order_store, tags, task_store
from app.orders.state.alarms import Alarm
from app.orders.state.counters import ReadCounters
from app.orders.state.known_orders import confirmed_order
from app.orders.state.model import Task
from app.orders.state.parts import OrderParts
from app.orders.state.trading_days import LOOK_BACK, ONE_DAY
from app.orders.state.verdicts import day_over

MAX_NAMED = 50
"""Order ids listed in one alarm, so that its document stays small; the count is always given."""


class Anomalies:
    """The alarms of one account. The caller holds the account's lock, except for ``report_old_doubts``."""

    def __init__(self, account_id: str, parts: OrderParts, *, read_counters: ReadCounters) -> None:
        self._account_id = account_id
        self._settlement = parts.settlement
        self._settings = parts.settings
        self._ids = parts.ids
        self._deployment = parts.tagger.deployment
        self._read_counters = read_counters

    async def mismatch(self, tx: Tx, subject: UUID | str, data: dict[str, object]) -> None:
        """The book shows a different order under a task's tag than the one that was requested."""
        await self.alarm(tx, Alarm.MISMATCH, subject, data)

    async def report_doubles(self, tx: Tx, changed: Sequence[BrokerOrder], owners: Mapping[str, Task]) -> None:
        """Alarm where a second order carries the tag of a task that has one: only slices may share a tag."""
        for row in changed:
            for tag in tags.tags_of(row):
                task = owners.get(tag[: tags.TAG_LENGTH - 1])
                if task is None or task.order_id in {None, row.order_id} or doubt_rules.may_slice(task.order):
                    continue
                data: dict[str, object] = {"task_id": str(task.task_id), "order_id": row.order_id}
                await self.mismatch(tx, row.order_id, data)

    async def report_orphans(self, tx: Tx, changed: Sequence[BrokerOrder], owners: Mapping[str, Task]) -> None:
        """Alarm where an order carries a tag of this deployment and no task has that tag."""
        for row in anomaly_rules.orphans(changed, deployment=self._deployment, known_tag_bases=owners):
            if await self.alarm(tx, Alarm.ORPHAN, row.order_id, {"order_id": row.order_id, "tag": row.tag}):
                self._read_counters.orphans += 1

    async def report_look_alikes(
        self, tx: Tx, task: Task, rows: Sequence[BrokerOrder], *, clock_offset_s: float
    ) -> None:
        """Alarm where orders without a tag could be the one that this task did not find."""
        found = anomaly_rules.look_alikes(task, rows, clock_offset_s=clock_offset_s)
        candidates = [row.order_id for row in found]
        if candidates:
            await self.alarm(tx, Alarm.LOOK_ALIKE, task.task_id, {"order_ids": candidates})

    async def close_doubts(self, tx: Tx, doubts: Sequence[Task]) -> None:
        """Move doubts of days whose book is gone to the dead letters.

        No read can end them any more; an operator can, from the contract note or the positions.
        """
        for task in doubts:
            if await self._settlement.settle(tx, task.task_id, day_over(task), fence=task.fence) is not None:
                data: dict[str, object] = {"trade_date": task.trade_date.isoformat(), "instrument": task.instrument}
                await self.alarm(tx, Alarm.DEAD_LETTER, task.task_id, data)

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
        owners = await task_store.by_ids(tx, [order.task_id for order in live if order.task_id is not None])
        for order in live:
            await self._settlement.mark_stale(tx, order, owners.get(order.task_id) if order.task_id else None)
        for day, orders in itertools.groupby(live, key=lambda order: order.trade_date):
            ids = [order.order_id for order in orders]
            data: dict[str, object] = {"orders": len(ids), "order_ids": ids[:MAX_NAMED]}
            await self.alarm(tx, Alarm.END_UNSEEN, day.isoformat(), data)
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
            await self.alarm(tx, Alarm.FILLS_MISSING, day.isoformat(), data)

    async def report_old_doubts(self, tx: Tx) -> None:
        """Alarm once for each doubt that is older than the setting ``ORDER_ALARM_DOUBT_AGE_S``."""
        kind, older_s = str(Alarm.DOUBT_UNRESOLVED), self._settings.alarm_doubt_age_s
        for task in await overdue_store.doubts_without_alarm(tx, self._account_id, kind=kind, older_s=older_s):
            data: dict[str, object] = {"tag": task.tag_base and task.tag, "instrument": task.instrument}
            await self.alarm(tx, Alarm.DOUBT_UNRESOLVED, task.task_id, data)

    async def alarm(self, tx: Tx, alarm: Alarm, subject: UUID | str, data: dict[str, object]) -> bool:
        """Raise an alarm of this account; False when the same one was raised before."""
        return await self._settlement.raise_alarm(
            tx, alarm, account_id=self._account_id, alarm_id=self._ids.uuid(), subject=subject, data=data
        )
