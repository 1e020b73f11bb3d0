"""Keeps one account's orders true: reads the broker's book and settles what it proves.

One read serves every doubt of the account. It happens on a hint (an order push, a postback), after each send, on every
(re)connect of the feed, when a doubt is due, and every so often while anything is live. A read that fails proves
nothing and changes nothing; only time that was filled with clean reads ever resolves a doubt.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from datetime import date, datetime

from loguru import logger

from app.broker.orders import BrokerOrder
from app.errors import BrokerError, BrokerUnavailable, RateLimited, ServiceError, SessionExpired
from app.kit.clock import today, trade_date_of
from app.orders.reconciliation import doubt_rules, overdue_store, read_schedule_store
from app.orders.reconciliation.anomalies import Anomalies
from app.orders.reconciliation.apply_book import BookApplier
from app.orders.reconciliation.fill_sync import FillSync
from app.orders.reconciliation.read_schedule import DueWork
from app.orders.state import order_store as book_store
from app.orders.state import task_store
from app.orders.state.alarms import Alarm
from app.orders.state.cancels import cancel_live
from app.orders.state.model import Task, TaskStatus
from app.orders.state.parts import AccountParts
from app.orders.state.trading_days import LOOK_BACK, book_began, book_day, last_gone_day
from app.orders.state.verdicts import doubtful, expired, overtaken
from app.orders.state.wakeups import wait_for

_READ_FAILURE_PAUSE_S = 2.0
_IDLE_AUDIT_S = 300.0
"""How often the book is read while nothing is live: the caller's phone may place orders too."""

_SETTLING_LOOK_S = 0.5
"""How soon to look again while an accepted order is still on its way to the exchange: no push announces its arrival."""

_GATHER_S = 0.03
"""After the first hint: an order that goes through announces itself several times within a moment."""

_READS_IN_A_ROW = 10
"""So many at the shortest distance; when they took less than half a second each, the next ones come once a second."""


class Reconciler:
    """``run`` lives until cancelled; ``stats`` is read by metrics."""

    def __init__(self, parts: AccountParts) -> None:
        self._account_id = parts.account_id
        self._term = parts.term
        self._database = parts.database
        self._gateway = parts.broker.orders
        self._broker_offset_s = parts.broker.clock_offset_s
        self._settlement = parts.settlement
        self._wakeups = parts.wakeups
        self._settings = parts.settings
        self._clock = parts.clock
        self._session = parts.session
        self.read_counters = parts.read_counters
        account_id, counters = parts.account_id, parts.read_counters
        self._anomalies = Anomalies(account_id, parts, read_counters=counters)
        self._applier = BookApplier(account_id, parts, anomalies=self._anomalies, read_counters=counters)
        self._tasks = parts.tasks
        self._fills = FillSync(account_id, parts, gateway=self._gateway, anomalies=self._anomalies)
        self._ended_at: deque[float] = deque(maxlen=_READS_IN_A_ROW)
        self._seen: dict[str, BrokerOrder] = {}
        self._seen_day: date | None = None
        self._closed_until: date | None = None

    async def run(self) -> None:
        self._wakeups.look()
        while True:
            try:
                await self.sweep()
                wait_s = await self._seconds_to_next_read()
            except (BrokerError, RateLimited) as error:
                self.read_counters.failed_reads += 1
                logger.warning("the order or trade book of {} could not be read: {}", self._account_id, error)
                await asyncio.sleep(_READ_FAILURE_PAUSE_S)
                wait_s = 0.0
            except ServiceError as error:  # the database is away: nothing can be settled, everything is kept
                logger.warning("reconciler of {} pauses: {}", self._account_id, error)
                await asyncio.sleep(_READ_FAILURE_PAUSE_S)
                wait_s = 0.0
            await self._rest(wait_s)

    async def _rest(self, wait_s: float) -> None:
        """Until a signal or the next due moment, looking after claims and freshness meanwhile."""
        ends = self._clock.monotonic() + wait_s
        await asyncio.sleep(self._gap_s())
        while (left := ends - self._clock.monotonic()) > 0:
            if await wait_for(self._wakeups.reconciler, min(left, 1.0)):
                await asyncio.sleep(min(self._settings.least_read_gap_s, _GATHER_S))  # hints come in twos and threes
                break
            if self._wakeups.busy and await self._made_doubts():
                return
        self._wakeups.reconciler.clear()

    def _gap_s(self) -> float:
        """One read answers all hints that came since; under a constant stream of them it is read once a second."""
        now = self._clock.monotonic()
        self._ended_at.append(now)
        in_a_row = len(self._ended_at) == _READS_IN_A_ROW and now - self._ended_at[0] < _READS_IN_A_ROW / 2
        return self._settings.constant_read_gap_s if in_a_row else self._settings.least_read_gap_s

    async def sweep(self) -> None:
        """One full round: lapsed claims and stale tasks, then the book, then the fills."""
        due = await self._find_due_work()
        if due.overdue:
            await self._settle_overdue()
            due = await self._find_due_work()  # a doubt that was just made is older than the read that follows
        if not self._session.is_open():
            return
        try:
            async with asyncio.timeout(self._settings.book_read_s):
                rows = await self._gateway.order_book()
        except SessionExpired:
            self._session.reject()
            raise
        except TimeoutError as error:  # a line that swallows must not blind us for longer than that
            raise BrokerUnavailable(f"no order book within {self._settings.book_read_s:g} s") from error
        self.read_counters.reads += 1
        await self._take(rows, started_at=due.now)
        if due.unwanted:
            await self._cancel_unwanted(due.now)
        await self._fills.update(rows, now=due.now)

    async def _made_doubts(self) -> bool:
        try:
            return (await self._find_due_work()).overdue and await self._settle_overdue()
        except ServiceError as error:
            logger.warning("reconciler of {} pauses: {}", self._account_id, error)
            return False

    async def _find_due_work(self) -> DueWork:
        """The database's clock stamps the sends, so it stamps the reads too."""
        async with self._database.connection() as connection:
            return await overdue_store.find_due_work(
                connection,
                self._account_id,
                gone_day=last_gone_day(self._clock.now()),
                kind=str(Alarm.DOUBT_UNRESOLVED),
                older_s=self._settings.alarm_doubt_age_s,
                known_since=self._term.known_since,
            )

    async def _settle_overdue(self) -> bool:
        """What time alone decides; True if it made new doubts. Raises Unavailable.

        Claims whose sender fell silent become doubts, unsent tasks past their time expire, doubts of past days end.
        A placement from before this term expires only when the book was read: a database that was restored may have
        forgotten that it was sent, and who reads "expired, not sent" may send it again.
        """
        async with self._database.transaction() as tx:
            await self._anomalies.report_old_doubts(tx)
            lapsed = await overdue_store.expired_claims(tx, self._account_id)
            stale = await overdue_store.expired_tasks(tx, self._account_id, known_since=self._term.known_since)
            filled_first = await overdue_store.obsolete_replacements(
                tx, self._account_id, known_since=self._term.known_since
            )
            gone = await overdue_store.doubts_until(tx, self._account_id, gone_day=last_gone_day(self._clock.now()))
            if not lapsed and not stale and not filled_first and not gone:
                return False
            await self._settlement.lock(tx, self._account_id)
            for task in lapsed:
                verdict = doubtful("the sender of this attempt fell silent", now=self._clock.now())
                await self._settlement.settle(tx, task.task_id, verdict, fence=task.fence)
            for task in stale:
                await self._settlement.settle(tx, task.task_id, expired(task), fence=task.fence)
            for task in filled_first:
                await self._settlement.settle(tx, task.task_id, overtaken(task), fence=task.fence)
            await self._anomalies.close_doubts(tx, gone)
        self._wakeups.changed()
        return bool(lapsed)

    async def _take(self, rows: Sequence[BrokerOrder], *, started_at: datetime) -> None:
        """Everything that one book proves, in one transaction."""
        changed = self._changed(rows, book_day(started_at))
        since, oldest = book_began(started_at), book_day(started_at) - LOOK_BACK
        async with self._database.connection() as connection:
            known = await book_store.known_ids(connection, self._account_id, since=since, before=started_at)
            idle = not changed and not await task_store.unresolved(connection, self._account_id, since=oldest)
        complete = doubt_rules.shows_all_known(rows, known)
        if not idle and await self._settle_all(rows, changed, complete=complete, started_at=started_at):
            self._wakeups.changed()
        self._seen.update({row.order_id: row for row in changed})
        if complete:
            await self._close_days(until=last_gone_day(started_at))
        if complete and not self._term.book_was_read:
            self._term.book_was_read = True
            self._wakeups.sender.set()

    async def _settle_all(
        self,
        rows: Sequence[BrokerOrder],
        changed: Sequence[BrokerOrder],
        *,
        complete: bool,
        started_at: datetime,
    ) -> bool:
        began_at = book_began(started_at)

        def clean_for(task: Task) -> bool:
            """Whether this read can prove that the task's order is absent: it shows all we know of the order's book,
            and began later."""
            of_this_book = task.last_sent_at is not None and task.last_sent_at >= began_at
            in_doubt = task.status is TaskStatus.IN_DOUBT and of_this_book
            return complete and in_doubt and started_at > task.updated_at

        async with self._database.transaction() as tx:
            await self._settlement.lock(tx, self._account_id)
            return await self._applier.apply(
                tx,
                rows,
                changed=changed,
                open_tasks=await task_store.unresolved(tx, self._account_id, since=book_day(started_at) - LOOK_BACK),
                clean_for=clean_for,
                now=started_at,
                clock_offset_s=min(0.0, self._broker_offset_s() or 0.0),  # a broker that is ahead needs no tolerance
            )

    async def _close_days(self, *, until: date) -> None:
        """Once a day, after a read that shows all there is: what this book could have shown is not coming any more."""
        if self._closed_until == until:
            return
        async with self._database.transaction() as tx:
            await self._settlement.lock(tx, self._account_id)
            found = await self._anomalies.close_days(tx, until=until)
        self._closed_until = until
        if found:
            self._wakeups.changed()

    async def _cancel_unwanted(self, now: datetime) -> None:
        """What a placement that was taken back has made after all."""
        async with self._database.transaction() as tx:
            await self._settlement.lock(tx, self._account_id)
            found = await cancel_live(
                tx,
                self._account_id,
                "unwanted",
                purpose="withdrawal",
                today=trade_date_of(now),
                since=book_day(now),
                tasks=self._tasks,
            )
        if found:
            logger.warning("orders of {} that were taken back are cancelled: {}", self._account_id, ", ".join(found))
            self._wakeups.changed()

    def _changed(self, rows: Sequence[BrokerOrder], day: date) -> list[BrokerOrder]:
        """Rows that differ from the last read; a new book or process starts from nothing."""
        if self._seen_day != day:
            self._seen.clear()
            self._seen_day = day
        return [row for row in rows if (seen := self._seen.get(row.order_id)) is not row and seen != row]

    async def _seconds_to_next_read(self) -> float:
        async with self._database.connection() as connection:
            outlook = await read_schedule_store.read_schedule(
                connection, self._account_id, trade_date=today(self._clock)
            )
        audit = {
            "settling": min(self._settings.audit_s, _SETTLING_LOOK_S),
            "live": self._settings.audit_s,
            "idle": max(self._settings.audit_s, _IDLE_AUDIT_S),
        }[outlook.liveness]
        if self._fills.incomplete:
            audit = min(audit, self._settings.audit_s)
        if outlook.next_check_at is None:
            return audit
        return min(audit, max(0.0, (outlook.next_check_at - self._clock.now()).total_seconds()))
