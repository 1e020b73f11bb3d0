"""The loop that finishes the batches of one account: it stores what ``saga`` decides.

The runner keeps nothing in memory. One transaction stores a decision as rows (withdrawn legs, cancel tasks, a new
status); the sender and the reconciler act on them. After a crash the next round decides from the same rows.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from loguru import logger

from app.broker.orders import OrderRequest
from app.db.postgres import Tx
from app.errors import BrokerError, RateLimited, ServiceError
from app.kit.clock import today
from app.orders.batches import batch_store
from app.orders.batches.batch_end import settle_batch
from app.orders.batches.leg_reader import load_legs
from app.orders.batches.legs import Leg
from app.orders.batches.saga import Decision, SquareOff, Withdraw, decide
from app.orders.risk.exits import market_exit
from app.orders.risk.positions import Positions, Reducible
from app.orders.risk.reduce_only import lock_reducible, read_positions
from app.orders.state import new_task_store, removal_store, tag_store
from app.orders.state.model import Batch, BatchStatus, TaskError, TaskStatus
from app.orders.state.new_tasks import BatchLeg, NewTask
from app.orders.state.order_parts import AccountParts
from app.orders.state.removal import Removal
from app.orders.state.tags import ClientKey
from app.orders.state.trading_days import oldest_live_day
from app.orders.state.verdicts import BATCH_ENDS, withdrawn
from app.orders.state.wakeups import wait_for

POSITIONS_TIMEOUT_S = 5.0
_MAX_WAIT_S = 1.0
"""Between two rounds over the open batches of an account, when no wake-up comes."""

_NOTHING_TO_REDUCE = TaskError(
    code="NOTHING_TO_REDUCE",
    message="the position that the fill made is no longer held, or other orders are closing it already",
)


class BatchRunner:
    """Advances the open batches of one account. ``run`` lives until it is cancelled; ``advance`` is one round."""

    def __init__(self, parts: AccountParts) -> None:
        self._account_id = parts.account_id
        self._term = parts.term
        self._database = parts.database
        self._portfolio = parts.broker.portfolio
        self._settlement = parts.settlement
        self._wakeups = parts.wakeups
        self._settings = parts.settings
        self._clock = parts.clock
        self._tasks = parts.tasks
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
        found = await self._find_open()
        # Each batch has its own transaction, so a broker that is slow to give the positions delays no cancel.
        decided = [(batch, *await self._decide_and_store(batch)) for batch in found]
        # Square-offs come last: they alone need the broker, and one read of the positions serves them all.
        await self._square_off_all(decided)
        moments = [decision.again_at for _, decision, _ in decided if decision.again_at is not None]
        due = [(moment - self._clock.now()).total_seconds() for moment in moments]
        # 10 ms at least: a moment that has passed already must not make the loop spin.
        return min([_MAX_WAIT_S, *(max(0.01, seconds) for seconds in due)])

    async def _find_open(self) -> Sequence[Batch]:
        # Acceptance sets the flag again when it stores a batch during the query, so the flag is cleared before it.
        self._wakeups.batches_open = False
        async with self._database.connection() as connection:
            found = await batch_store.open_batches(connection, self._account_id)
        self._wakeups.batches_open = self._wakeups.batches_open or bool(found)
        return found

    async def _square_off_all(self, decided: Sequence[tuple[Batch, Decision, list[Leg]]]) -> None:
        """Store the square-off orders of all batches. Without the positions they wait for the next round."""
        todo = [(batch, legs, _square_offs(decision)) for batch, decision, legs in decided if _square_offs(decision)]
        if not todo:
            return
        try:
            async with asyncio.timeout(POSITIONS_TIMEOUT_S):
                positions = await read_positions(self._database, self._portfolio)
        except (BrokerError, RateLimited, TimeoutError) as error:
            ids = ",".join(str(batch.batch_id) for batch, _, _ in todo)
            fields = {"account_id": self._account_id, "batch_ids": ids, "action": "square_off", "reason": repr(error)}
            logger.bind(**fields).warning("square-offs wait, positions not read")
            return
        for batch, legs, actions in todo:
            await self._square_off(batch, legs, actions, positions)

    async def _decide_and_store(self, listed: Batch) -> tuple[Decision, list[Leg]]:
        """Decide one batch's next step and store it; return the decision and the legs that it was made from."""
        async with self._database.transaction() as tx:
            # Under the account's lock no leg changes between the decision and the commit.
            await self._settlement.lock(tx, self._account_id)
            batch = await batch_store.load(tx, listed.batch_id) or listed
            legs = (await load_legs(tx, [batch]))[batch.batch_id]
            if not batch.status.is_open:
                return Decision(status=batch.status), legs
            decision = decide(batch, legs, now=self._clock.now(), doubt_timeout=self._settings.doubt_timeout)
            await self._carry_out(tx, legs, decision)
            if decision.status is not batch.status:
                legs = (await load_legs(tx, [batch]))[batch.batch_id]
                await settle_batch(tx, batch, decision.status, legs, error=decision.error, settlement=self._settlement)
                if decision.status is not BatchStatus.COMPLETED:
                    fields = {"account_id": self._account_id, "batch_id": batch.batch_id, "status": decision.status}
                    logger.bind(**fields, reason=decision.error or "").info("batch status changed")
        withdrew = len(decision.actions) > len(_square_offs(decision))
        if withdrew or decision.unwanted or decision.status is not listed.status:
            self._wakeups.changed()
        return decision, legs

    async def _carry_out(self, tx: Tx, legs: Sequence[Leg], decision: Decision) -> None:
        """Withdraw legs that are too late, and mark the unwanted ones for removal. Square-offs come later.

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

    async def _square_off(
        self, batch: Batch, legs: Sequence[Leg], actions: Sequence[SquareOff], positions: Positions
    ) -> None:
        """Store opposite orders for the fills, none larger than the position that the account really has."""
        by_leg = {leg.task.leg: leg.task for leg in legs}
        async with self._database.transaction() as tx:
            await self._settlement.lock(tx, self._account_id)
            # Another process may have stored the square-offs while the positions were read.
            present = (await load_legs(tx, [batch]))[batch.batch_id]
            open_legs = {leg.task.leg for leg in present if leg.square_off is None}
            wanted = {
                action.leg: _opposite(by_leg[action.leg].order, action.quantity)
                for action in actions
                if action.leg in open_legs
            }
            reducible = await lock_reducible(
                tx,
                self._account_id,
                wanted.values(),
                positions,
                trade_date=today(self._clock),
                waiting="all",
            )
            key = await tag_store.key_of(tx, batch.batch_id)
            tasks = [
                self._square_off_task(BatchLeg(batch_id=batch.batch_id, leg=leg), request, reducible, key=key)
                for leg, request in wanted.items()
            ]
            await new_task_store.insert_tasks(tx, tasks)
        self._wakeups.changed()

    def _square_off_task(
        self, of_batch: BatchLeg, request: OrderRequest, reducible: Reducible, *, key: ClientKey | None
    ) -> NewTask:
        """The order for one leg; stored as failed where nothing can be reduced, so that the batch reports the rest."""
        assigned = reducible.assign(request)
        task = self._tasks.square_off(assigned or request, account_id=self._account_id, of_batch=of_batch, key=key)
        return task if assigned else replace(task, status=TaskStatus.FAILED, error=_NOTHING_TO_REDUCE)


def _square_offs(decision: Decision) -> list[SquareOff]:
    return [action for action in decision.actions if isinstance(action, SquareOff)]


def _opposite(order: OrderRequest, quantity: int) -> OrderRequest:
    """A market order for this quantity of the same position on the opposite side."""
    return market_exit(
        exchange=order.exchange,
        tradingsymbol=order.tradingsymbol,
        product=order.product,
        transaction_type=order.transaction_type.opposite,
        quantity=quantity,
    )
