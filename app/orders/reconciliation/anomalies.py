"""Raises an alarm, once each, for what the order book shows or has stopped showing and an operator must look at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from uuid import UUID

from app.broker.orders import BrokerOrder
from app.broker.rows import BadRow
from app.db.postgres import Tx
from app.orders.reconciliation import anomaly_rules, overdue_store
from app.orders.state import task_store
from app.orders.state.alarms import Alarm
from app.orders.state.model import Task
from app.orders.state.order_parts import OrderParts

MAX_NAMED = 20
"""Unreadable rows of one read that have an alarm each."""


class Anomalies:
    """The alarms of one account. The caller holds the account's lock, except for ``report_old_doubts``."""

    def __init__(self, account_id: str, parts: OrderParts) -> None:
        self._account_id = account_id
        self._settlement = parts.settlement
        self._settings = parts.settings
        self._ids = parts.ids
        self._deployment = parts.tagger.deployment

    async def mismatch(self, tx: Tx, subject: UUID | str, data: dict[str, object]) -> None:
        """The book shows a different order under a task's tag than the one that was requested."""
        await self.alarm(tx, Alarm.MISMATCH, subject, data)

    async def report_doubles(self, tx: Tx, changed: Sequence[BrokerOrder], owners: Mapping[str, Task]) -> None:
        """Alarm where a second order carries the tag of a task that has one: only slices may share a tag."""
        for task, row in anomaly_rules.doubles(changed, owners):
            await self.mismatch(tx, row.order_id, {"task_id": str(task.task_id), "order_id": row.order_id})

    async def report_unknown_tags(self, tx: Tx, changed: Sequence[BrokerOrder], owners: Mapping[str, Task]) -> None:
        """Alarm where an order carries a tag of this deployment that none of the account's tasks has.

        It is an orphan if no task at all has the tag. If another account's task has it, somebody copied that order.
        """
        unknown = anomaly_rules.unknown_tags(changed, deployment=self._deployment, known_tag_bases=owners)
        if not unknown:
            return
        elsewhere = await task_store.of_other_accounts(
            tx, self._account_id, [anomaly_rules.tag_base_of(tag) for _, tag in unknown]
        )
        for row, tag in unknown:
            owner = elsewhere.get(anomaly_rules.tag_base_of(tag))
            if owner is not None:
                task_id, account_id = owner
                data: dict[str, object] = {
                    "order_id": row.order_id,
                    "tag": tag,
                    "task_id": str(task_id),
                    "account_id": account_id,
                }
                await self.mismatch(tx, row.order_id, data)
            else:
                await self.alarm(tx, Alarm.ORPHAN, row.order_id, {"order_id": row.order_id, "tag": tag})

    async def report_unseen(self, tx: Tx, unseen: Mapping[str, UUID]) -> None:
        """Alarm for orders that the broker has confirmed and its book does not show; each has its placement."""
        for order_id, task_id in unseen.items():
            task = await task_store.need(tx, task_id)
            data: dict[str, object] = {"order_id": order_id, "tag": task.tag, "instrument": task.instrument}
            await self.alarm(tx, Alarm.ORDER_UNSEEN, task_id, data)

    async def report_unreadable(self, tx: Tx, bad: Sequence[BadRow], *, book: str, day: date) -> None:
        """Alarm for rows that cannot be read, at most ``MAX_NAMED``; those without a legible id share one a day."""
        for row in bad[:MAX_NAMED]:
            data: dict[str, object] = {"book": book, "place": row.place, "reason": row.reason, "rows": len(bad)}
            await self.alarm(tx, Alarm.UNREADABLE_ROW, row.subject or f"{book} of {day.isoformat()}", data)

    async def report_look_alikes(
        self, tx: Tx, task: Task, rows: Sequence[BrokerOrder], *, clock_offset_s: float
    ) -> None:
        """Alarm where orders without a tag could be the one that this task did not find."""
        found = anomaly_rules.look_alikes(task, rows, clock_offset_s=clock_offset_s)
        candidates = [row.order_id for row in found]
        if candidates:
            await self.alarm(tx, Alarm.LOOK_ALIKE, task.task_id, {"order_ids": candidates})

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
