"""Stores the outcome of a request under the fence of its claim: a sender that lost the claim changes nothing."""

from __future__ import annotations

import asyncio

from loguru import logger

from app.broker.outcomes import InDoubt, SendOutcome
from app.db.pipeline import fetch_or
from app.db.postgres import Tx
from app.errors import Unavailable
from app.orders.sending import order_owner_store
from app.orders.sending.address_refusal import AddressRecord
from app.orders.sending.outcome_rules import confirmed_ids, verdict_of, wrong_answer
from app.orders.state import task_store
from app.orders.state.alarms import Alarm
from app.orders.state.model import Task
from app.orders.state.order_parts import AccountParts

_SETTLE_DELAYS_S = (0.05, 0.2, 0.5, 1.0, 2.0)
"""Between the attempts to store an outcome: together well below the time that a claim lasts."""


class OutcomeWriter:
    """Writes the outcomes of one account's requests."""

    def __init__(self, parts: AccountParts) -> None:
        self._account_id = parts.account_id
        self._database = parts.database
        self._settlement = parts.settlement
        self._wakeups = parts.wakeups
        self._clock = parts.clock
        self._ids = parts.ids
        self._address = AddressRecord(parts)

    async def store(self, task: Task, outcome: SendOutcome) -> None:
        """Store the outcome, trying again while the claim lasts. Wakes the loops and the waiting clients.

        If the database stays away, the outcome is only logged: the claim lapses, the reconciler makes the task a doubt,
        and the order book decides.
        """
        for delay in (*_SETTLE_DELAYS_S, None):
            try:
                await self._store_once(task, outcome)
            except Unavailable as error:
                if delay is None:
                    fields = {"account_id": self._account_id, "task_id": task.task_id, "batch_id": task.batch_id}
                    logger.bind(**fields, action=task.operation, reason=error).error("outcome of a request not stored")
                    return
                await asyncio.sleep(delay)
            else:
                self._wakeups.changed()
                self._wakeups.read_book()
                return

    async def _store_once(self, task: Task, outcome: SendOutcome) -> None:
        async with self._database.transaction() as tx:
            # the account's lock first, as everywhere: who ends a lapsed claim writes to its attempt under that lock
            async with tx.pipeline():  # one round trip
                await self._settlement.lock(tx, self._account_id)
                # the attempt keeps its outcome as evidence, whether or not the verdict may still change the task
                await task_store.write_outcome(tx, task, outcome)
                ids = confirmed_ids(task, outcome)
                owner = await order_owner_store.other_owner(tx, task, ids) if ids else None
            outcome = await self._believed(tx, task, outcome, owner=await fetch_or(owner, None))
            noted = await self._address.note(tx, task, outcome)
            verdict = noted.verdict or verdict_of(task, outcome, now=self._clock.now())
            await self._settlement.settle(tx, task.task_id, verdict, fence=task.fence)
        self._address.committed(noted)

    async def _believed(self, tx: Tx, task: Task, outcome: SendOutcome, *, owner: str | None) -> SendOutcome:
        """The outcome, or a doubt with an alarm where the answer is one to another request."""
        reason = wrong_answer(task, outcome, other_owner=owner)
        if reason is None:
            return outcome
        await self._settlement.raise_alarm(
            tx,
            Alarm.MISMATCH,
            account_id=self._account_id,
            alarm_id=self._ids.uuid(),
            subject=task.task_id,
            data={"reason": reason},
        )
        return InDoubt(reason=reason)
