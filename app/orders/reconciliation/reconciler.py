"""The loop of one account that reads the broker's order book and settles what it proves.

One read serves every doubt of the account. The book is read after a hint (an order push, a postback), after each send,
when the feed connects, when a doubt is due, and at intervals while an order is live. A read that fails proves nothing
and changes nothing: only clean reads over the whole doubt window end a doubt as not placed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from uuid import UUID

from loguru import logger

from app.broker.orders import BrokerOrder
from app.broker.port import Governor
from app.broker.rows import BadRow, Rows
from app.errors import BrokerError, BrokerUnavailable, RateLimited, ServiceError, SessionExpired
from app.kit.clock import today
from app.orders.reconciliation import book_gaps, read_schedule_store
from app.orders.reconciliation.anomalies import Anomalies
from app.orders.reconciliation.apply_book import BookApplier
from app.orders.reconciliation.day_end import DayEnd
from app.orders.reconciliation.fill_sync import FillSync
from app.orders.reconciliation.overdue import OverdueWork
from app.orders.reconciliation.read_schedule import BookReadPace, seconds_to_next_read
from app.orders.recovery.account_recovery import AccountRecovery
from app.orders.state import order_store, task_store
from app.orders.state.order_parts import AccountParts
from app.orders.state.removal import Removal
from app.orders.state.trading_days import book_began, book_day, last_gone_day, oldest_live_day
from app.orders.state.wakeups import wait_for

_READ_FAILURE_PAUSE_S = 2.0

_GATHER_S = 0.03
"""After the first hint: an executed order causes several pushes within a few milliseconds."""

_OVERDUE_CHECK_S = 1.0
"""Between two checks for overdue work while the loop waits for the next read."""


class Reconciler:
    """Reads and applies the order book of one account. ``run`` lives until it is cancelled."""

    def __init__(self, parts: AccountParts, *, governor: Governor) -> None:
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
        self._removal = Removal(parts, knows=parts.term.knows)
        self._remove_again_in_s: float | None = None  # after the last step
        self._read_counters = parts.read_counters
        account_id, counters = parts.account_id, parts.read_counters
        self._anomalies = Anomalies(account_id, parts)
        self._applier = BookApplier(account_id, parts, anomalies=self._anomalies, read_counters=counters)
        self._fills = FillSync(account_id, parts, gateway=self._gateway, anomalies=self._anomalies)
        self._day_end = DayEnd(account_id, parts.settlement, anomalies=self._anomalies)
        self._overdue = OverdueWork(parts, anomalies=self._anomalies, day_end=self._day_end)
        self._pace = BookReadPace(
            least_gap_s=parts.settings.least_read_gap_s, constant_gap_s=parts.settings.constant_read_gap_s
        )
        self._recovery = AccountRecovery(parts, governor=governor)
        self._seen: dict[str, BrokerOrder] = {}  # the rows of this day's book, as last applied
        self._seen_day: date | None = None
        self._closed_until: date | None = None
        self._unseen = book_gaps.UnseenOrders(parts.settings.in_doubt_window_s)
        self._unreadable: frozenset[tuple[str | None, str]] = frozenset()  # the bad rows that have their alarms
        self._failing_since: float | None = None  # monotonic seconds; None: the last read succeeded
        self._deployment = parts.tagger.deployment

    async def run(self) -> None:
        """Sweep after each hint, and when the next read is due; errors of broker and database are retried."""
        self._wakeups.read_book()
        log = logger.bind(account_id=self._account_id)
        while True:
            try:
                await self.sweep()
                wait_s = await self._seconds_to_next_read()
            except (BrokerError, RateLimited) as error:
                self._note_failure(error)
                log.bind(action="read_book", reason=error.message).warning("order book or trade book not read")
                await asyncio.sleep(_READ_FAILURE_PAUSE_S)
                wait_s = 0.0
            except ServiceError as error:  # the database is away: nothing can be settled, and nothing is lost
                log.bind(action="reconcile", reason=error.message).warning("order book not applied")
                await asyncio.sleep(_READ_FAILURE_PAUSE_S)
                wait_s = 0.0
            await self._wait(wait_s)

    def _note_failure(self, error: BrokerError | RateLimited) -> None:
        """Count a read that failed; the book counts as unreadable once reads have failed for a moment."""
        self._read_counters.failed_reads += 1
        if isinstance(error, SessionExpired):  # a reason of its own, with a remedy of its own
            return
        now = self._clock.monotonic()
        self._failing_since = self._failing_since or now
        if now - self._failing_since >= _READ_FAILURE_PAUSE_S:
            self._read_counters.book_unreadable = f"the order book cannot be read: {error.message}"

    async def _wait(self, wait_s: float) -> None:
        """Wait for a hint, or at most this long; return early when a doubt or a replacement needs a read meanwhile."""
        ends = self._clock.monotonic() + wait_s
        await asyncio.sleep(self._pace.gap_after_read(self._clock.monotonic()))
        while (left := ends - self._clock.monotonic()) > 0:
            if await wait_for(self._wakeups.reconciler, min(left, _OVERDUE_CHECK_S)):
                await asyncio.sleep(min(self._settings.least_read_gap_s, _GATHER_S))
                break
            if self._wakeups.busy and await self._needs_a_read():
                return
        self._wakeups.reconciler.clear()

    async def sweep(self) -> None:
        """One full round: overdue work, then the order book, then the fills.

        Raises BrokerError, RateLimited when a read fails, Unavailable when the database is away.
        """
        due = await self._overdue.find()
        if due.overdue:
            await self._overdue.settle()
            # Only a read that began after a doubt can prove anything about it, so the time is taken again.
            due = await self._overdue.find()
        # Without a session the broker refuses every read; overdue work does not need one.
        if not self._session.is_open() and not await self._session.is_proven():
            return
        try:
            book = await self._read_book()
        except (BrokerError, RateLimited):
            self._term.book_read_at = None
            await self._remove_unwanted(due.now)  # a cancel needs no book
            raise
        # The time before the read counts: what was sent during the read may be missing from it.
        await self._apply(book, started_at=due.now)
        self._term.book_read_at = due.now
        if due.replacement_at is not None:
            self._wakeups.sender.set()
        # After the book was applied, so that orders which appeared in it are cancelled in the same round.
        await self._remove_unwanted(due.now)
        # Last, because the trade book is compared with the filled quantities that were just stored.
        await self._fills.update(book.good, now=due.now)

    async def _read_book(self) -> Rows[BrokerOrder]:
        """The rows of the order book. Raises BrokerError, RateLimited."""
        began_at = self._clock.monotonic()
        try:
            async with asyncio.timeout(self._settings.book_read_s):
                book = await self._gateway.order_book()
        except TimeoutError as error:  # a connection that hangs must not stop reconciliation for longer
            self._failing_since = self._failing_since or began_at
            raise BrokerUnavailable(f"no order book within {self._settings.book_read_s:g} s") from error
        self._read_counters.reads += 1
        return book

    async def _needs_a_read(self) -> bool:
        """Settle overdue work between two reads; return whether a new doubt, or a replacement, needs a read."""
        try:
            due = await self._overdue.find()
            asked_at, read_at = due.replacement_at, self._term.book_read_at
            unread = asked_at is not None and (read_at is None or asked_at >= read_at)
            return unread or (due.overdue and await self._overdue.settle())
        except ServiceError as error:
            log = logger.bind(account_id=self._account_id, action="settle_overdue", reason=error.message)
            log.warning("overdue tasks not settled")
            return False

    async def _apply(self, book: Rows[BrokerOrder], *, started_at: datetime) -> None:
        """Settle everything that one book proves."""
        rows = book.good
        spoiling = book_gaps.possibly_ours(book.bad, deployment=self._deployment)
        self._failing_since = None
        self._read_counters.book_unreadable = book_gaps.unreadable_sentence(spoiling)
        since, oldest = book_began(started_at), oldest_live_day(started_at)
        async with self._database.connection() as connection:
            if await self._recovery.has_begun(connection):
                self._seen.clear()  # this database has not seen the rows
            changed = self._changed(rows, book_day(started_at))
            known = await order_store.known_ids(connection, self._account_id, since=since, before=started_at)
            # An unchanged book without open tasks proves nothing new, which saves the account's lock.
            idle = (
                not changed
                and not self._term.is_recovering
                and not await task_store.unresolved(connection, self._account_id, since=oldest)
            )
        missing = book_gaps.missing_from(book, known)
        complete = not missing and not spoiling
        if not idle and await self._settle_all(rows, changed, complete=complete, started_at=started_at):
            self._wakeups.changed()
        self._seen.update({row.order_id: row for row in changed})  # after the commit: a failed one is applied again
        unseen = {} if spoiling else self._unseen.count(missing, now=started_at)
        await self._report_gaps(book.bad, unseen, day=book_day(started_at))
        if complete:
            await self._close_days(until=last_gone_day(started_at))
        if complete and not self._term.book_was_read and not self._term.is_recovering:
            self._term.book_was_read = True  # tasks from before this term may be sent now
            self._wakeups.sender.set()

    async def _report_gaps(self, bad: Sequence[BadRow], unseen: Mapping[str, UUID], *, day: date) -> None:
        """Alarm for what the book does not show, when that has changed since the last read."""
        unreadable = frozenset((row.subject, row.reason) for row in bad)
        if unreadable <= self._unreadable and not unseen:
            return
        async with self._database.transaction() as tx:
            await self._anomalies.report_unreadable(tx, bad, book="order book", day=day)
            await self._anomalies.report_unseen(tx, unseen)
        self._unreadable = unreadable

    async def _settle_all(
        self,
        rows: Sequence[BrokerOrder],
        changed: Sequence[BrokerOrder],
        *,
        complete: bool,
        started_at: datetime,
    ) -> bool:
        async with self._database.transaction() as tx:
            await self._settlement.lock(tx, self._account_id)
            altered = await self._recovery.adopt(tx, rows, now=started_at)
            altered |= await self._applier.apply(
                tx,
                rows,
                changed=changed,
                open_tasks=await task_store.unresolved(tx, self._account_id, since=oldest_live_day(started_at)),
                complete=complete and not self._term.is_recovering,
                now=started_at,
                clock_offset_s=min(0.0, self._broker_offset_s() or 0.0),  # a broker that is ahead needs no tolerance
            )
            over = self._term.is_recovering and await self._recovery.count(tx, complete=complete, began_at=started_at)
        if over:
            async with self._database.connection() as connection:
                await self._recovery.ended(connection, now=started_at)
        return altered or over

    async def _close_days(self, *, until: date) -> None:
        """Mark orders whose book is gone, once a day, after a complete read: no later book will show their end."""
        if self._closed_until == until:
            return
        async with self._database.transaction() as tx:
            await self._settlement.lock(tx, self._account_id)
            found = await self._day_end.close_days(tx, until=until)
        self._closed_until = until
        if found:
            self._wakeups.changed()

    async def _remove_unwanted(self, now: datetime) -> None:
        """Cancel what must go, and has no cancel that may still help."""
        self._remove_again_in_s = None
        since = oldest_live_day(now)
        async with self._database.connection() as connection:
            if not await self._removal.is_needed(connection, self._account_id, since=since):
                return
        async with self._database.transaction() as tx:
            await self._settlement.lock(tx, self._account_id)
            removed = await self._removal.advance(tx, self._account_id, since=since)
        self._remove_again_in_s = removed.again_in_s
        if removed.cancelled:
            log = logger.bind(account_id=self._account_id, action="cancel", order_ids=",".join(removed.cancelled))
            log.warning("unwanted orders are live and are being cancelled")
        if removed.changed:
            self._wakeups.changed()

    def _changed(self, rows: Sequence[BrokerOrder], day: date) -> list[BrokerOrder]:
        """The rows that differ from the last read; after a change of the day or a restart, all rows."""
        if self._seen_day != day:
            self._seen.clear()
            self._seen_day = day
        return [row for row in rows if (seen := self._seen.get(row.order_id)) is not row and seen != row]

    async def _seconds_to_next_read(self) -> float:
        async with self._database.connection() as connection:
            schedule = await read_schedule_store.read_schedule(
                connection, self._account_id, trade_date=today(self._clock)
            )
        wait_s = seconds_to_next_read(
            schedule,
            now=self._clock.now(),
            audit_s=self._settings.audit_s,
            fills_incomplete=self._fills.incomplete,
        )
        again = [wait_s]
        if self._remove_again_in_s is not None:
            again.append(self._remove_again_in_s)
        if self._term.is_recovering:
            again.append(self._recovery.read_every_s)
        if not self._session.is_open():  # then the token is asked about
            again.append(self._settings.session_proof_s)
        return min(again)
