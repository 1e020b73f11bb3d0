"""Stores what became of a request, under the fence of the claim: a sender that lost its claim changes nothing."""

from __future__ import annotations

import asyncio

from loguru import logger

from app.broker.outcomes import SendOutcome, SessionRejected
from app.errors import Unavailable
from app.orders.sending.lockout import halt_if_locked_out
from app.orders.sending.outcome_rules import verdict_of
from app.orders.state import task_store
from app.orders.state.model import Task
from app.orders.state.parts import AccountParts

_SETTLE_DELAYS_S = (0.05, 0.2, 0.5, 1.0, 2.0)


class OutcomeWriter:
    """Writes the outcomes of one account's requests."""

    def __init__(self, parts: AccountParts) -> None:
        self._account_id = parts.account_id
        self._database = parts.database
        self._settlement = parts.settlement
        self._session = parts.session
        self._wakeups = parts.wakeups
        self._clock = parts.clock
        self._ids = parts.ids

    async def store(self, task: Task, outcome: SendOutcome) -> None:
        """Keep trying while the claim lasts; after that the task is in doubt by itself and the book decides."""
        for delay in (*_SETTLE_DELAYS_S, None):
            try:
                await self._store_once(task, outcome)
            except Unavailable as error:
                if delay is None:
                    logger.error("task {}: its outcome could not be stored: {}", task.task_id, error)
                    return
                await asyncio.sleep(delay)
            else:
                self._wakeups.changed()
                self._wakeups.look()
                return

    async def _store_once(self, task: Task, outcome: SendOutcome) -> None:
        if isinstance(outcome, SessionRejected):
            self._session.reject()
        async with self._database.transaction() as tx:
            async with tx.pipeline():  # one round trip
                await task_store.write_outcome(tx, task, outcome)
                await self._settlement.lock(tx, self._account_id)
            verdict = verdict_of(task, outcome, now=self._clock.now())
            await self._settlement.settle(tx, task.task_id, verdict, fence=task.fence)
            await halt_if_locked_out(tx, task, outcome, settlement=self._settlement, ids=self._ids)
