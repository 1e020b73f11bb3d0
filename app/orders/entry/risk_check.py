"""Stores an intent (key, batch and tasks in one transaction) if the account's limits allow it.

One round trip reads what decides and stores the rows. Limits that depend on other orders are checked under a lock on
the account's row, so that requests at several replicas cannot all pass. While only reductions pass (``reduce_only``, or
too many doubts), an order is marked ``reduces`` if the live positions prove that it can only make one smaller; other
orders are stored and held.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Literal, Protocol, TypeAlias

from loguru import logger
from psycopg import Rollback

from app.broker.orders import Exchange, OrderChanges
from app.broker.port import Broker
from app.db.postgres import Tx
from app.errors import BadInput, BrokerError, Conflict, Problem, RateLimited, Unavailable
from app.kit.answer_time import seconds_left
from app.kit.clock import today
from app.orders.batches import batch_store
from app.orders.entry import idempotency_store
from app.orders.entry.intent import Intent
from app.orders.entry.market_data_port import InstrumentLookup
from app.orders.entry.preconditions import check_as_seen, check_not_stopped
from app.orders.entry.stored_state import StateReader, StoredState
from app.orders.risk.changed_orders import ChangedOrder, after_change, before_change
from app.orders.risk.limits import (
    Breach,
    Candidate,
    LimitedTerms,
    RiskLimits,
    breaches_of,
    change_breaches,
    count_breaches,
    modification_breach,
)
from app.orders.risk.positions import Positions
from app.orders.risk.reduce_only import lock_reducible, proves_change, read_positions
from app.orders.state import new_task_store
from app.orders.state.last_prices import LastPrices
from app.orders.state.new_tasks import NewTask
from app.orders.state.order_parts import OrderParts

POSITIONS_TIMEOUT_S = 2.0


class LimitReached(Conflict):
    """The intent would exceed a limit of the account; nothing was stored. Codes: see ``app.orders.risk.limits``."""

    sent = "no"
    retryable = "after_check"


KnownPositions: TypeAlias = Positions | Literal["unread", "unreadable"]
"""The account's positions. ``unreadable`` proves nothing: no order counts as a reduction."""


class PositionsNeeded(Exception):
    """Only reductions pass now: roll back, call ``read_positions``, and begin again with what it returns."""


class AfterLoss(Exception):
    """The database was lost: before the request is stored, the order book must say whether it was sent already."""


class Brokers(Protocol):
    """The brokers of the accounts that this service serves."""

    def broker(self, account_id: str) -> Broker:
        """The broker of this account. Raises NotFound."""
        ...


class RiskCheck:
    """Decides whether an account may have what an intent asks for, and stores it. ``limits`` are by account."""

    def __init__(
        self,
        parts: OrderParts,
        *,
        limits: Mapping[str, RiskLimits],
        prices: LastPrices,
        instruments: InstrumentLookup,
        brokers: Brokers,
    ) -> None:
        self._database = parts.database
        self._clock = parts.clock
        self._state = StateReader(settings=parts.settings, clock=parts.clock)
        self._limits = limits
        self._prices = prices
        self._instruments = instruments
        self._brokers = brokers

    async def admit(self, tx: Tx, intent: Intent, *, positions: KnownPositions) -> None:
        """Store the intent if it is allowed, in one round trip; any exception must roll the transaction back.

        While only reductions pass, the orders that ``positions`` prove to be such are marked, and others are held until
        the restriction ends. Raises UniqueViolation (the key was used before, or these rows are stored), BadInput (a
        limit on one order), LimitReached (a limit on the account), NotAsSeen (the target of a conditional command),
        PositionsNeeded while they are ``unread``.
        """
        async with tx.pipeline():
            # The key first: a repeated request is found before any limit could refuse it.
            if intent.key is not None:
                await idempotency_store.insert_key(tx, intent.key)
            pending = await self._state.send(tx, intent, self._limits[intent.account_id])
            # The rows go with the same round trip; a refusal rolls them back. Rows that a lost commit has stored are
            # found here too, before any limit is judged by counts that contain them.
            await _insert(tx, intent)
        state = await pending.fetch()
        self._check(intent, state)
        if not state.only_reductions_pass or positions == "unreadable":
            return
        if positions == "unread":
            raise PositionsNeeded
        if intent.modified is None:
            await self._mark_reductions(tx, intent, positions)
        elif await proves_change(tx, intent.tasks[0], positions, trade_date=today(self._clock)):
            await new_task_store.mark_reducing_change(tx, intent.tasks[0].task_id)

    async def try_out(self, intent: Intent) -> None:
        """Check an intent as ``admit`` does; nothing is stored. Raises as it does, and Unavailable."""
        async with self._database.transaction() as tx:
            await self.admit(tx, intent, positions="unreadable")
            raise Rollback

    async def read_positions(self, account_id: str) -> KnownPositions:
        """The account's positions; ``unreadable`` when the broker does not answer in time."""
        try:
            async with asyncio.timeout(min(POSITIONS_TIMEOUT_S, seconds_left())):
                return await read_positions(self._database, self._brokers.broker(account_id).portfolio)
        except (BrokerError, RateLimited, Unavailable, TimeoutError) as error:
            log = logger.bind(account_id=account_id, action="prove_reduction", reason=repr(error))
            log.warning("positions not read, so no order counts as a reduction")
            return "unreadable"

    def _check(self, intent: Intent, state: StoredState) -> None:
        """Raises AfterLoss, BadInput, LimitReached, NotAsSeen."""
        unknown_key = intent.key is not None and not intent.is_proven_new and intent.modified is None
        if state.recovery == "recovering" or (state.recovery == "over" and unknown_key):
            raise AfterLoss
        modified_often = modification_breach(state.modifications)
        if modified_often is not None:
            raise LimitReached(modified_often.message, code=modified_often.code)
        if intent.conditional is not None:
            check_as_seen(intent.conditional, state.target)
            check_not_stopped(stopped=state.orders_are_stopped)
        self._check_each(intent)
        if state.changed is not None:
            self._check_change(intent.tasks[0], state.changed)
        requests = [task.order for task in intent.placements]
        for breach in count_breaches(requests, state.stored, self._limits[intent.account_id]):
            raise LimitReached(breach.message, code=breach.code)

    def _check_each(self, intent: Intent) -> None:
        """Raises BadInput with every limit that a single order exceeds, and the code of the first one."""
        limits = self._limits[intent.account_id]
        found: list[tuple[NewTask, Breach]] = [
            (task, breach)
            for task in intent.placements
            for breach in breaches_of(self._candidate(task.order, task.instrument), limits)
        ]
        if found:
            problems = [Problem(loc=(*_location(task, intent), one.field), msg=one.message) for task, one in found]
            raise BadInput(problems, code=found[0][1].code)

    def _check_change(self, task: NewTask, order: ChangedOrder) -> None:
        """Raises BadInput with every limit that the order exceeds by this modification."""
        changes = OrderChanges.from_json(task.request["changes"])
        before, after = (
            self._candidate(terms, task.instrument) for terms in (before_change(order), after_change(order, changes))
        )
        found = list(change_breaches(before, after, self._limits[task.account_id]))
        if found:
            given = task.request["changes"]
            problems = [
                Problem(loc=("body", one.field) if one.field in given else ("body",), msg=one.message) for one in found
            ]
            raise BadInput(problems, code=found[0].code)

    def _candidate(self, terms: LimitedTerms, instrument: str) -> Candidate:
        units = 1
        exchange, _, tradingsymbol = instrument.partition(":")
        if exchange in {*Exchange} and Exchange(exchange).is_commodity:  # quantities are lots there
            found = self._instruments.find(exchange, tradingsymbol)
            units = found.lot_size if found is not None else 1
        return Candidate(request=terms, units=units, last=self._prices.last_price(exchange, tradingsymbol))

    async def _mark_reductions(self, tx: Tx, intent: Intent, positions: Positions) -> None:
        """Mark the stored orders that can only make a position smaller, whatever else is executed."""
        requests = {task.task_id: task.order for task in intent.placements}
        reducible = await lock_reducible(
            tx,
            intent.account_id,
            requests.values(),
            positions,
            trade_date=today(self._clock),
            waiting="reductions",
        )
        proven = [task_id for task_id, request in requests.items() if reducible.assign_whole(request)]
        await new_task_store.mark_reductions(tx, proven)


def _location(task: NewTask, intent: Intent) -> tuple[str | int, ...]:
    return ("body",) if intent.batch is None or task.leg is None else ("body", "orders", task.leg)


async def _insert(tx: Tx, intent: Intent) -> None:
    if intent.batch is not None:
        await batch_store.insert_batch(tx, intent.batch)
    await new_task_store.insert_tasks(tx, intent.tasks)
