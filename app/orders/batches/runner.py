"""The loop that finishes the batches of one account: it stores what ``saga`` decides.

The runner keeps nothing in memory. One transaction stores a decision as rows (withdrawn legs, cancel tasks, a new
status); the sender, the reconciler and the finisher act on them. After a crash the next round decides from the same
rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from loguru import logger

from app.db.postgres import Tx
from app.errors import ServiceError
from app.orders.batches import batch_store
from app.orders.batches.batch_end import settle_batch
from app.orders.batches.exit_rules import progress
from app.orders.batches.leg_reader import load_legs
from app.orders.batches.legs import Leg, exits_of
from app.orders.batches.saga import Decision, Withdraw, decide
from app.orders.state import removal_store
from app.orders.state.alarms import Alarm
from app.orders.state.model import Batch, BatchStatus
from app.orders.state.order_parts import AccountParts
from app.orders.state.removal import Removal
from app.orders.state.trading_days import oldest_live_day
from app.orders.state.verdicts import BATCH_ENDS, withdrawn
from app.orders.state.wakeups import seconds_to_next, wait_for

_MAX_WAIT_S = 1.0
"""Between two rounds over the open batches of an account, when no wake-up comes."""


class BatchRunner:
    """Advances the open batches of one account. ``run`` lives until it is cancelled; ``advance`` is one round."""

    def __init__(self, parts: AccountParts) -> None:
        self._account_id = parts.account_id
        self._term = parts.term
        self._database = parts.database
        self._settlement = parts.settlement
        self._wakeups = parts.wakeups
        self._settings = parts.settings
        self._clock = parts.clock
        self._ids = parts.ids
        self._removal = Removal(parts, knows=parts.term.knows)

    async def run(self) -> None:
        """Advance after each wake-up, and at least as often as a decision asks; errors of a dependency are retried."""
        while True:
            wait_s = _MAX_WAIT_S
            try:
                wait_s = await self.advance()
            except ServiceError as error:
                logger.bind(account_id=self._account_id, reason=error.message).warning("batches not advanced")
            await wait_for(self._wakeups.batches, self._wakeups.rest_s(wait_s))

    async def advance(self) -> float:
        """Take every open batch as far as it can go now; return the seconds until the next round is due.

        Raises Unavailable when the database is away; what was stored before stays.
        """
        decisions = [await self._decide_and_store(batch) for batch in await self._find_open()]
        moments = [decision.again_at for decision in decisions if decision.again_at is not None]
        return seconds_to_next(moments, now=self._clock.now(), at_most_s=_MAX_WAIT_S)

    async def _find_open(self) -> Sequence[Batch]:
        # Acceptance sets the flag again when it stores a batch during the query, so the flag is cleared before it.
        self._wakeups.batches_open = False
        async with self._database.connection() as connection:
            found = await batch_store.open_batches(connection, self._account_id)
        self._wakeups.batches_open = self._wakeups.batches_open or bool(found)
        return found

    async def _decide_and_store(self, listed: Batch) -> Decision:
        """Decide one batch's next step, store it, and return it."""
        async with self._database.transaction() as tx:
            # Under the account's lock no leg changes between the decision and the commit.
            await self._settlement.lock(tx, self._account_id)
            batch = await batch_store.load(tx, listed.batch_id) or listed
            legs = (await load_legs(tx, [batch]))[batch.batch_id]
            if not batch.status.is_open:
                return Decision(status=batch.status)
            now = self._clock.now()
            decision = decide(batch, legs, now=now, doubt_timeout=self._settings.doubt_timeout)
            await self._carry_out(tx, legs, decision)
            if decision.status is not batch.status:
                legs = (await load_legs(tx, [batch]))[batch.batch_id]
                await settle_batch(tx, batch, decision.status, legs, error=decision.error, settlement=self._settlement)
                await self._report_exposures(tx, decision, legs, now=now)
                if decision.status is not BatchStatus.COMPLETED:
                    fields = {"account_id": self._account_id, "batch_id": batch.batch_id, "status": decision.status}
                    logger.bind(**fields, reason=decision.error or "").info("batch status changed")
        withdrew = any(isinstance(action, Withdraw) for action in decision.actions)
        if withdrew or decision.unwanted or decision.status is not listed.status:
            self._wakeups.changed()
        return decision

    async def _carry_out(self, tx: Tx, legs: Sequence[Leg], decision: Decision) -> None:
        """Withdraw legs that are too late, and mark the unwanted ones for removal. The finisher places square-offs.

        A database that was restored may have forgotten that a leg was sent, so one whose row is older than this term
        is withdrawn only once the book was read.
        """
        too_late = {action.task_id for action in decision.actions if isinstance(action, Withdraw)}
        for leg in legs:
            if leg.task.task_id in too_late and self._term.knows(leg.task):
                await self._settlement.settle(tx, leg.task.task_id, withdrawn(BATCH_ENDS))
        if decision.unwanted:
            await removal_store.set_unwanted(tx, decision.unwanted, "rollback")
            await self._removal.advance(tx, self._account_id, since=oldest_live_day(self._clock.now()))

    async def _report_exposures(self, tx: Tx, decision: Decision, legs: Sequence[Leg], *, now: datetime) -> None:
        """Raise an alarm for each position that was to be closed, is open still, and that nobody is closing."""
        if decision.status.is_open:
            return
        for leg in legs:
            end = progress(leg, now=now)
            if exits_of(leg) and end.is_exposed:
                await self._settlement.raise_alarm(
                    tx,
                    Alarm.EXIT_UNFINISHED,
                    account_id=self._account_id,
                    alarm_id=self._ids.uuid(),
                    subject=exits_of(leg)[-1].task.task_id,
                    data={"instrument": leg.task.instrument, "quantity": end.left, "reason": end.why},
                )
