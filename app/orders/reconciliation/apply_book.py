"""Applies one read of the order book to the tasks and orders of an account, in one transaction.

``doubt_rules`` decides what the book proves; this module finds the task of each row, settles what is proven and raises
alarms. Everything is idempotent: the same book applied twice changes nothing the second time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from app.broker.orders import BrokerOrder, Operation
from app.broker.outcomes import ChildOrder, Sent
from app.db.postgres import Tx
from app.kit.clock import trade_date_of
from app.orders.batches import batch_store
from app.orders.batches.batch_end import settle_batch
from app.orders.batches.leg_reader import load_legs
from app.orders.reconciliation import doubt_rules, read_schedule
from app.orders.reconciliation.anomalies import Anomalies
from app.orders.reconciliation.doubt_rules import Finding
from app.orders.state import order_store, removal_store, tags, task_store
from app.orders.state.alarms import Alarm
from app.orders.state.completeness import SLICES_MISSING, own_side
from app.orders.state.counters import ReadCounters
from app.orders.state.known_orders import known_order
from app.orders.state.lifecycle import Event
from app.orders.state.model import ENDED_WITHOUT_ORDER, BatchStatus, KnownOrder, Task, TaskStatus
from app.orders.state.order_parts import OrderParts
from app.orders.state.removal import Removal
from app.orders.state.trading_days import LOOK_BACK, day_of_order, is_same_order, oldest_live_day
from app.orders.state.verdicts import Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class BookRead:
    """One read of the order book, with what is needed to decide what it proves."""

    rows: Sequence[BrokerOrder]
    complete: bool  # it shows every order of the day that was known before
    now: datetime  # when the read began, by the database's clock
    owners: dict[str, Task]  # the tasks of the changed rows, by tag base
    clock_offset_s: float  # the broker's clock minus this process's, never positive

    def is_clean_for(self, task: Task) -> bool:
        """Whether the read can prove that this task's order is absent."""
        return doubt_rules.is_clean_for(task, complete=self.complete, started_at=self.now)

    def shows(self, order_id: str | None) -> bool:
        """Whether an order of this id is in the book."""
        return any(row.order_id == order_id for row in self.rows)

    @property
    def today(self) -> date:
        """The trading day (IST) of the read."""
        return trade_date_of(self.now)


class BookApplier:
    """Applies reads of one account's book. The caller of ``apply`` holds the account's lock."""

    def __init__(
        self, account_id: str, parts: OrderParts, *, anomalies: Anomalies, read_counters: ReadCounters
    ) -> None:
        self._account_id = account_id
        self._settlement = parts.settlement
        self._settings = parts.settings
        self._removal = Removal(parts, knows=lambda _: False)  # no task is withdrawn here
        self._anomalies = anomalies
        self._read_counters = read_counters

    async def apply(
        self,
        tx: Tx,
        rows: Sequence[BrokerOrder],
        *,
        changed: Sequence[BrokerOrder],
        open_tasks: Sequence[Task],
        complete: bool,
        now: datetime,
        clock_offset_s: float = 0.0,
    ) -> bool:
        """Settle what the book proves; return whether any task or order changed.

        ``changed``: the rows that differ from the last read; ``open_tasks``: every task that the book may settle;
        ``complete``: the book shows every order of the day that was known before.
        """
        reading = BookRead(
            rows=rows,
            complete=complete,
            now=now,
            owners=await self._owners(tx, changed),
            clock_offset_s=clock_offset_s,
        )
        altered = False
        # Placements first, so that the rows stored below belong to tasks that are settled already.
        for task in open_tasks:
            if task.operation is Operation.PLACE:
                altered |= await self._settle_placement(tx, task, reading)
        # A finished task may have an order all the same: its refusal was wrong, or a restored database forgot the send.
        for task in reading.owners.values():
            altered |= await self._settle_ended(tx, task, reading)
        shown = await self._show(tx, changed, reading)
        # Cancels and modifications last: their outcome is read from the stored row of the order that they target.
        for task in open_tasks:
            if task.operation is not Operation.PLACE:
                altered |= await self._settle_command(tx, task, reading)
        # Alarms concern only changed rows, so an unchanged book raises none again.
        await self._anomalies.report_unknown_tags(tx, changed, reading.owners)
        await self._anomalies.report_doubles(tx, changed, reading.owners)
        return altered or shown

    async def _owners(self, tx: Tx, rows: Sequence[BrokerOrder]) -> dict[str, Task]:
        """The account's tasks whose tags these rows carry, by the tag without its attempt digit.

        A copy of an order in another account carries the tag too, and is none of that account's tasks.
        """
        length = tags.TAG_LENGTH
        bases = {tag[: length - 1] for row in rows for tag in tags.tags_of(row) if len(tag) == length}
        return await task_store.by_tag_bases(tx, self._account_id, sorted(bases)) if bases else {}

    def _owner(self, row: BrokerOrder, reading: BookRead) -> Task | None:
        for tag in tags.tags_of(row):
            task = reading.owners.get(tag[: tags.TAG_LENGTH - 1])
            if task is not None and not doubt_rules.mismatch(task, [row], clock_offset_s=reading.clock_offset_s):
                return task
        return None

    async def _show(self, tx: Tx, changed: Sequence[BrokerOrder], reading: BookRead) -> bool:
        """Store the changed rows with their events; return whether any of them moved an order forward."""
        if not changed:
            return False
        ids = [row.order_id for row in changed]
        known = await order_store.by_ids(tx, self._account_id, ids, since=reading.today - LOOK_BACK)
        moved = False
        for row in changed:
            before = known.get(row.order_id)
            if before is not None and not is_same_order(before, row):
                before = None  # the broker's ids are unique within a day only
            day = day_of_order(row, known=before, now=reading.now)
            task = await self._task_of(tx, row, before, reading, day=day)
            after = await self._settlement.show(
                tx, row, account_id=self._account_id, trade_date=day, task=task, known=before
            )
            moved |= after is not before
            if before is None and task is not None:
                await self._follow_up(tx, task, row.order_id)
        return moved

    async def _follow_up(self, tx: Tx, task: Task, order_id: str) -> None:
        """A new order of a task that may be completed already: a missing slice, or one whose batch has ended."""
        if task.error_code == SLICES_MISSING:
            rows = own_side(task, await order_store.by_tasks(tx, [task.task_id]))
            children = [ChildOrder(order_id=row.order_id) for row in rows]
            await task_store.write_children(tx, task.task_id, children, error=doubt_rules.missing(task, rows))
        if task.status is TaskStatus.COMPLETED and task.unwanted_why == "rollback":
            await self._correct_batch(tx, task, order_id)

    async def _task_of(
        self, tx: Tx, row: BrokerOrder, known: KnownOrder | None, reading: BookRead, *, day: date
    ) -> Task | None:
        """The task that placed this order, as it is after the settlements of this read; None for a foreign order.

        It is found by its tag, or by the id that the broker's answer confirmed, because books have shown rows without
        their tags.
        """
        owner_id = known.task_id if known is not None else None
        if owner_id is None:
            owner = self._owner(row, reading)
            owner_id = None if owner is None else owner.task_id
        if owner_id is not None:
            return (await task_store.by_ids(tx, self._account_id, [owner_id])).get(owner_id)
        confirmed = await task_store.by_order_id(tx, row.order_id, account_id=self._account_id)
        return confirmed if confirmed is not None and confirmed.trade_date == day else None

    async def _settle_placement(self, tx: Tx, task: Task, reading: BookRead) -> bool:
        """Settle one placement as far as the book proves its outcome; return whether it changed."""
        finding = doubt_rules.examine_placement(
            task,
            reading.rows,
            clean=reading.is_clean_for(task),
            now=reading.now,
            window_s=self._settings.in_doubt_window_s,
            clock_offset_s=reading.clock_offset_s,
        )
        if task.is_provisional:
            return await self._settle_given_up(tx, task, finding, reading)
        if finding.event is None:
            if task.status is TaskStatus.IN_DOUBT:
                next_check_at = read_schedule.next_check(task, now=reading.now)
                await task_store.count_read(tx, task.task_id, clean=finding.clean, next_check_at=next_check_at)
            return False
        if finding.event is Event.ABSENT:
            await self._anomalies.report_look_alikes(tx, task, reading.rows, clock_offset_s=reading.clock_offset_s)
        verdict = doubt_rules.placement_verdict(finding)
        shown = self._known(finding.rows[0], task.task_id, reading) if finding.rows else None
        if await self._settlement.settle(tx, task.task_id, verdict, shown=shown) is None:
            return False
        if finding.event is Event.MISMATCH:
            await self._anomalies.mismatch(tx, task.task_id, {"reason": finding.reason})
        return True

    async def _settle_ended(self, tx: Tx, task: Task, reading: BookRead) -> bool:
        """Correct a task that is stored as finished without an order and has one in the book; return whether it has.

        The book is right: the stored end came from a wrong answer, or from a database that was restored to a time
        before the send.
        """
        if task.status not in ENDED_WITHOUT_ORDER or task.is_provisional:
            return False
        # A rejected order without a fill confirms the stored end.
        rows = [row for row in reading.rows if row.status != "REJECTED" or row.filled_quantity]
        finding = doubt_rules.examine_placement(
            task,
            rows,
            clean=False,
            now=reading.now,
            window_s=self._settings.in_doubt_window_s,
            clock_offset_s=reading.clock_offset_s,
        )
        return await self._settle_given_up(tx, task, finding, reading)

    async def _settle_given_up(self, tx: Tx, task: Task, finding: Finding, reading: BookRead) -> bool:
        if finding.event is Event.MISMATCH:
            await self._anomalies.mismatch(tx, task.task_id, {"reason": finding.reason})
            return False
        return bool(finding.rows) and await self._settle_late(tx, task, finding, reading)

    def _known(self, row: BrokerOrder, task_id: UUID, reading: BookRead) -> KnownOrder:
        return known_order(row, account_id=self._account_id, trade_date=reading.today, task_id=task_id)

    async def _settle_late(self, tx: Tx, task: Task, finding: Finding, reading: BookRead) -> bool:
        """A given-up task has an order after all: announce it, and let it be cancelled."""
        shown = self._known(finding.rows[0], task.task_id, reading)
        verdict = Verdict(event=Event.LATE, sent=Sent.YES, order_id=finding.rows[0].order_id)
        if await self._settlement.settle(tx, task.task_id, verdict, shown=shown) is None:
            return False
        self._read_counters.late_orders += 1
        await removal_store.set_unwanted(tx, [task.task_id], "late")
        await self._anomalies.alarm(tx, Alarm.LATE_ORDER, task.task_id, {"order_id": finding.rows[0].order_id})
        await self._show(tx, finding.rows, reading)  # before the batch computes its residual positions
        await self._removal.advance(tx, self._account_id, since=oldest_live_day(reading.now))
        await self._correct_batch(tx, task, finding.rows[0].order_id)
        return True

    async def _correct_batch(self, tx: Tx, task: Task, order_id: str) -> None:
        """An order of this leg has appeared: if its batch has ended without it, alarm, and let an operator look."""
        batch = None if task.batch_id is None else await batch_store.load(tx, task.batch_id)
        if batch is not None and not batch.status.is_open:
            reason = f"leg {task.leg} appeared at the broker after the batch had ended"
            legs = (await load_legs(tx, [batch]))[batch.batch_id]
            await settle_batch(tx, batch, BatchStatus.NEEDS_ATTENTION, legs, error=reason, settlement=self._settlement)
            await self._anomalies.alarm(tx, Alarm.LATE_ORDER, task.task_id, {"order_id": order_id})

    async def _settle_command(self, tx: Tx, task: Task, reading: BookRead) -> bool:
        """Settle a cancel or a modification by the stored row of its target order; return whether it changed."""
        order = await order_store.find(tx, str(task.target_order_id), account_id=self._account_id)
        finding = doubt_rules.examine_command(
            task,
            order,
            read_again=reading.shows(task.target_order_id) and reading.now > task.updated_at,
            now=reading.now,
            window_s=self._settings.in_doubt_window_s,
        )
        if finding.event is None:
            if task.status is TaskStatus.IN_DOUBT:
                next_check_at = read_schedule.next_check(task, now=reading.now)
                await task_store.count_read(tx, task.task_id, clean=False, next_check_at=next_check_at)
            return False
        return await self._settlement.settle(tx, task.task_id, doubt_rules.command_verdict(finding, task)) is not None
