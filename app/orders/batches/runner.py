"""Drives the batches of one account to their end: asks ``saga`` what is next and makes that durable.

It keeps nothing in memory. Whatever it decides becomes rows (withdrawn legs, cancel tasks, a new status) in one
transaction, and the sender and the reconciler do the rest; after a crash the next round decides from the same rows.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal

from loguru import logger

from app.broker.orders import OrderRequest, OrderType, Variety
from app.broker.port import PortfolioGateway
from app.db.postgres import Database, Tx
from app.errors import BrokerError, RateLimited, ServiceError
from app.kit.clock import Clock, today
from app.orders.batches import batch_store
from app.orders.batches.leg_reader import load_legs
from app.orders.batches.legs import Leg
from app.orders.batches.saga import CancelOrder, Decision, SquareOff, Withdraw, decide
from app.orders.batches.settlement import settle_batch
from app.orders.risk.positions import Positions, Reducible
from app.orders.risk.reduce_only import lock_reducible, read_positions
from app.orders.state import new_task_store
from app.orders.state.engine_settings import EngineSettings
from app.orders.state.lease_term import LeaseTerm
from app.orders.state.model import Batch, BatchStatus, Task, TaskError, TaskStatus
from app.orders.state.new_tasks import BatchLeg, NewTask, OrderTarget, TaskFactory
from app.orders.state.settlement import Settlement
from app.orders.state.verdicts import withdrawn
from app.orders.state.wakeups import Wakeups, wait_for

POSITIONS_TIMEOUT_S = 5.0
_LONGEST_REST_S = 1.0
"""Between two looks at the open batches of an account."""

_NOTHING_TO_REDUCE = TaskError(
    code="NOTHING_TO_REDUCE",
    message="the position that the fill made is no longer held, or other orders are closing it already",
)


class BatchRunner:
    """``run`` lives until cancelled; ``advance`` is one round over the account's open batches."""

    def __init__(
        self,
        account_id: str,
        *,
        term: LeaseTerm,
        database: Database,
        portfolio: PortfolioGateway,
        settlement: Settlement,
        wakeups: Wakeups,
        settings: EngineSettings,
        clock: Clock,
        tasks: TaskFactory,
    ) -> None:
        self._account_id = account_id
        self._term = term
        self._database = database
        self._portfolio = portfolio
        self._settlement = settlement
        self._wakeups = wakeups
        self._settings = settings
        self._clock = clock
        self._tasks = tasks

    async def run(self) -> None:
        while True:
            rest_s = _LONGEST_REST_S
            try:
                rest_s = await self.advance()
            except ServiceError as error:
                logger.warning("batches of {} pause: {}", self._account_id, error)
            await wait_for(self._wakeups.batches, self._wakeups.rest_s(rest_s))

    async def advance(self) -> float:
        """Take every open batch as far as it can go now; returns the seconds until the next look."""
        found = await self._find_open()
        decided = [(batch, *await self._decide_and_store(batch)) for batch in found]
        await self._square_off_all(decided)
        moments = [decision.again_at for _, decision, _ in decided if decision.again_at is not None]
        due = [(moment - self._clock.now()).total_seconds() for moment in moments]
        return min([_LONGEST_REST_S, *(max(0.01, seconds) for seconds in due)])

    async def _find_open(self) -> Sequence[Batch]:
        """One that is stored during the question says so itself, so its word must not be overwritten by the answer."""
        self._wakeups.batches_open = False
        async with self._database.connection() as connection:
            found = await batch_store.open_batches(connection, self._account_id)
        self._wakeups.batches_open = self._wakeups.batches_open or bool(found)
        return found

    async def _square_off_all(self, decided: Sequence[tuple[Batch, Decision, list[Leg]]]) -> None:
        """One read of the positions serves all. Without it they are asked for again in the next round: nobody else
        has waited for them, because whatever the other batches need was done before."""
        todo = [(batch, legs, _square_offs(decision)) for batch, decision, legs in decided if _square_offs(decision)]
        if not todo:
            return
        try:
            async with asyncio.timeout(POSITIONS_TIMEOUT_S):
                positions = await read_positions(self._database, self._portfolio)
        except (BrokerError, RateLimited, TimeoutError) as error:
            logger.warning("square-offs of {} wait for the positions: {!r}", self._account_id, error)
            return
        for batch, legs, actions in todo:
            await self._square_off(batch, legs, actions, positions)

    async def _decide_and_store(self, stale: Batch) -> tuple[Decision, list[Leg]]:
        async with self._database.transaction() as tx:
            await self._settlement.lock(tx, self._account_id)
            batch = await batch_store.load(tx, stale.batch_id) or stale
            legs = (await load_legs(tx, [batch]))[batch.batch_id]
            if not batch.status.is_open:
                return Decision(status=batch.status), legs
            decision = decide(batch, legs, now=self._clock.now(), doubt_timeout=self._settings.doubt_timeout)
            decision = self._believed(decision, legs)
            await self._carry_out(tx, batch, legs, decision)
            if decision.status is not batch.status:
                legs = (await load_legs(tx, [batch]))[batch.batch_id]
                await settle_batch(tx, batch, decision.status, legs, error=decision.error, settlement=self._settlement)
                if decision.status is not BatchStatus.COMPLETED:
                    logger.info("batch {} is {}: {}", batch.batch_id, decision.status, decision.error or "")
        if len(decision.actions) > len(_square_offs(decision)) or decision.status is not stale.status:
            self._wakeups.changed()
        return decision, legs

    def _believed(self, decision: Decision, legs: Sequence[Leg]) -> Decision:
        """Legs from before this term are not called unsent before the book was read; the next round asks again."""
        unbelieved = {leg.task.task_id for leg in legs if not self._term.knows(leg.task)}
        actions = (one for one in decision.actions if not (isinstance(one, Withdraw) and one.task_id in unbelieved))
        return replace(decision, actions=tuple(actions))

    async def _carry_out(self, tx: Tx, batch: Batch, legs: Sequence[Leg], decision: Decision) -> None:
        reason = f"its batch goes no further: {decision.error or _said_before(batch)}"
        for action in decision.actions:
            if isinstance(action, Withdraw):
                await self._settlement.settle(tx, action.task_id, withdrawn(reason))
        tasks = {leg.task.leg: leg.task for leg in legs}
        cancels = [
            self._cancel_task(batch, action, placement=tasks[action.leg])
            for action in decision.actions
            if isinstance(action, CancelOrder)
        ]
        if cancels:
            await new_task_store.insert_tasks(tx, cancels)

    def _cancel_task(self, batch: Batch, action: CancelOrder, *, placement: Task) -> NewTask:
        target = OrderTarget(
            account_id=self._account_id,
            order_id=action.order_id,
            instrument=placement.instrument,
            transaction_type=str(placement.order.transaction_type),
            variety=action.variety,
            parent_order_id=action.parent_order_id,
        )
        of_batch = BatchLeg(batch_id=batch.batch_id, leg=action.leg)
        return self._tasks.cancel(target, purpose="rollback", of_batch=of_batch)

    async def _square_off(
        self, batch: Batch, legs: Sequence[Leg], actions: Sequence[SquareOff], positions: Positions
    ) -> None:
        """Take fills back by opposite orders that can only reduce what is really held."""
        by_leg = {leg.task.leg: leg.task for leg in legs}
        async with self._database.transaction() as tx:
            await self._settlement.lock(tx, self._account_id)
            fresh = (await load_legs(tx, [batch]))[batch.batch_id]
            open_legs = {leg.task.leg for leg in fresh if leg.square_off is None}
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
            tasks = [self._square_off_task(batch, leg, request, reducible) for leg, request in wanted.items()]
            await new_task_store.insert_tasks(tx, tasks)
        self._wakeups.changed()

    def _square_off_task(self, batch: Batch, leg: int, request: OrderRequest, reducible: Reducible) -> NewTask:
        """One that would open a position is stored as failed, so that the batch says what stays."""
        quantity = reducible.free_for(request)
        reducible.take(request, quantity)
        if quantity:
            request = replace(request, quantity=quantity)
        of_batch = BatchLeg(batch_id=batch.batch_id, leg=leg)
        task = self._tasks.square_off(request, account_id=self._account_id, of_batch=of_batch)
        return task if quantity else replace(task, status=TaskStatus.FAILED, error=_NOTHING_TO_REDUCE)


def _said_before(batch: Batch) -> str:
    return "its deadline is over" if batch.error is None else batch.error.message


def _square_offs(decision: Decision) -> list[SquareOff]:
    return [action for action in decision.actions if isinstance(action, SquareOff)]


def _opposite(order: OrderRequest, quantity: int) -> OrderRequest:
    """The order that takes back so much of a fill, at the market's price."""
    return OrderRequest(
        exchange=order.exchange,
        tradingsymbol=order.tradingsymbol,
        transaction_type=order.transaction_type.opposite,
        quantity=quantity,
        product=order.product,
        order_type=OrderType.MARKET,
        variety=Variety.REGULAR,
        market_protection=Decimal(-1),
    )
