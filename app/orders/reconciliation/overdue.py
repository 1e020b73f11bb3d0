"""Settles what time alone decides, and says what is due: no read of the order book is needed for either."""

from __future__ import annotations

from app.broker.outcomes import NotSent
from app.db.postgres import Tx
from app.orders.reconciliation import overdue_store
from app.orders.reconciliation.anomalies import Anomalies
from app.orders.reconciliation.day_end import DayEnd
from app.orders.reconciliation.read_schedule import DueWork
from app.orders.sending.outcome_rules import verdict_of
from app.orders.state import task_store
from app.orders.state.alarms import Alarm
from app.orders.state.model import Task
from app.orders.state.order_parts import AccountParts
from app.orders.state.trading_days import last_gone_day
from app.orders.state.verdicts import doubtful, expired, obsolete


class OverdueWork:
    """The overdue work of one account. Both methods raise Unavailable when the database is away."""

    def __init__(self, parts: AccountParts, *, anomalies: Anomalies, day_end: DayEnd) -> None:
        self._account_id = parts.account_id
        self._database = parts.database
        self._settlement = parts.settlement
        self._settings = parts.settings
        self._clock = parts.clock
        self._term = parts.term
        self._wakeups = parts.wakeups
        self._anomalies = anomalies
        self._day_end = day_end

    async def find(self) -> DueWork:
        """What is due now, in one round trip; the database's clock, which stamps the sends, stamps the read too."""
        async with self._database.connection() as connection:
            return await overdue_store.find_due_work(
                connection,
                self._account_id,
                gone_day=last_gone_day(self._clock.now()),
                kind=str(Alarm.DOUBT_UNRESOLVED),
                older_s=self._settings.alarm_doubt_age_s,
                known_since=self._term.known_since,
            )

    async def settle(self) -> bool:
        """Settle everything that is overdue, in one transaction; return whether a new doubt came of it.

        Until the book was read in this term, placements from before the term do not expire: a database that was
        restored may have forgotten that they were sent, and a client that reads "expired, not sent" may place them
        again.
        """
        known_since = self._term.known_since
        async with self._database.transaction() as tx:
            await self._anomalies.report_old_doubts(tx)
            # Listing needs no lock: each task is checked again, under its fence, when it is settled.
            unanswered = await overdue_store.expired_claims(tx, self._account_id)
            too_late = await overdue_store.expired_tasks(tx, self._account_id, known_since=known_since)
            obsolete_tasks = await overdue_store.obsolete_replacements(tx, self._account_id, known_since=known_since)
            gone = await overdue_store.doubts_until(tx, self._account_id, gone_day=last_gone_day(self._clock.now()))
            if not unanswered and not too_late and not obsolete_tasks and not gone:
                return False
            await self._settlement.lock(tx, self._account_id)
            for task in unanswered:
                await self._settle_unanswered(tx, task)
            for task in too_late:
                await self._settlement.settle(tx, task.task_id, expired(task), fence=task.fence)
            # The replaced order filled before its cancel, so the replacement would add to the position.
            for task in obsolete_tasks:
                await self._settlement.settle(tx, task.task_id, obsolete(task), fence=task.fence)
            # No book will show the order any more; an operator has to decide.
            await self._day_end.close_doubts(tx, gone)
        self._wakeups.changed()
        return bool(unanswered)

    async def _settle_unanswered(self, tx: Tx, task: Task) -> None:
        """A claim has run out. Its sender died or was paused, and the request may have reached the broker; or this
        process claimed it, never learned that, and so has sent nothing: the database was lost in that moment."""
        now = self._clock.now()
        verdict = doubtful("the sender of this attempt fell silent", now=now)
        if task.claimed_by == self._term.lease.owner and not self._settlement.sends.sent_after(task, task.fence - 1):
            # Nor will it send it: a request leaves within ``claim_to_send_s`` of its claim, which is shorter.
            outcome = NotSent(reason="the database did not answer when the order was to be sent")
            await task_store.write_outcome(tx, task, outcome)
            verdict = verdict_of(task, outcome, now=now)
        await self._settlement.settle(tx, task.task_id, verdict, fence=task.fence)
