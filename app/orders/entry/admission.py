"""Makes an intent durable, if the account's limits allow it: key, batch and tasks in one transaction.

Everything is asked in the same round trip that stores. What depends on other orders is asked under a lock on the
account's row, so that requests at several replicas cannot all pass; a repeated idempotency key is found before any
limit is looked at. While only reductions pass (``reduce_only``, or too many doubts), an order is marked ``reduces`` if
a read of the live positions proves that it can only make one smaller; otherwise it is stored all the same, and held.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Literal, Protocol
from uuid import UUID

from loguru import logger

from app.broker.orders import Exchange, OrderRequest
from app.broker.port import Broker
from app.db.postgres import Tx
from app.errors import BadInput, BrokerError, Conflict, Problem, RateLimited, Unavailable
from app.kit.clock import today
from app.kit.ids import uuid7
from app.orders.batches import batch_store
from app.orders.entry import idempotency_store, precondition_store
from app.orders.entry.intent import Intent
from app.orders.entry.market_data import InstrumentLookup, LastPrices
from app.orders.entry.preconditions import check_not_stopped, check_order
from app.orders.risk import limit_store, limits
from app.orders.risk.limits import (
    MAX_MODIFICATIONS,
    Breach,
    Candidate,
    RiskLimits,
    Stored,
    breaches_of,
    count_breaches,
)
from app.orders.risk.positions import Positions
from app.orders.risk.reduce_only import lock_reducible, read_positions
from app.orders.state import new_task_store
from app.orders.state.new_tasks import NewTask
from app.orders.state.parts import OrderParts

POSITIONS_TIMEOUT_S = 2.0
SHOWN_AFTER = timedelta(seconds=60)
"""An accepted order that lives is in the book by then, so older tasks need not be counted beside it."""

_CLOCKS_APART = timedelta(seconds=5)


class LimitReached(Conflict):
    """The account has too much already; nothing was stored. Codes: see ``app.orders.risk.limits``."""

    sent = "no"
    retryable = "after_check"


class AskAgain(Exception):
    """Undo, fetch what is wanted, and try again: ``add_account``, or ``read_positions`` and ``admit_restricted``."""

    def __init__(self, wants: Literal["account", "positions"]) -> None:
        super().__init__(wants)
        self.wants = wants


class Brokers(Protocol):
    """The brokers of the accounts that this service serves."""

    def broker(self, account_id: str) -> Broker:
        """Raises NotFound."""
        ...


class Admission:
    """Says whether an account may have what is asked for, and stores it. ``limits`` are by account."""

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
        self._settings = parts.settings
        self._clock = parts.clock
        self._limits = limits
        self._prices = prices
        self._instruments = instruments
        self._brokers = brokers

    async def admit(self, tx: Tx, intent: Intent) -> None:
        """Ask and store in one round trip; any exception must undo the transaction.

        Raises UniqueViolation (the key is known), BadInput and LimitReached (a limit), AskAgain.
        """
        async with tx.pipeline():
            if intent.key is not None:
                await idempotency_store.insert_key(tx, intent.key)
            asked = await self._ask(tx, intent)
            await _insert(tx, intent)
        await self._decide(intent, asked)
        if asked.restricted is not None and (await asked.restricted.fetchall())[0][0]:
            raise AskAgain("positions")

    async def admit_restricted(self, tx: Tx, intent: Intent, positions: Positions | None) -> None:
        """The same while only reductions pass: mark what is proven to be one. Raises as ``admit``."""
        if intent.key is not None:
            await idempotency_store.insert_key(tx, intent.key)
        await limit_store.add_account(tx, intent.account_id)
        await self._decide(intent, await self._ask(tx, intent))
        await _insert(tx, intent if positions is None else await self._marked(tx, intent, positions))

    async def add_account(self, account_id: str) -> None:
        """Make the row that ``AskAgain("account")`` missed. Raises Unavailable."""
        async with self._database.transaction() as tx:
            await limit_store.add_account(tx, account_id)

    async def read_positions(self, account_id: str) -> Positions | None:
        """None when the broker does not tell in time: then nothing is proven."""
        try:
            async with asyncio.timeout(POSITIONS_TIMEOUT_S):
                return await read_positions(self._database, self._brokers.broker(account_id).portfolio)
        except (BrokerError, RateLimited, Unavailable, TimeoutError) as error:
            logger.warning("positions could not be read, so no order counts as a reduction: {!r}", error)
            return None

    async def _ask(self, tx: Tx, intent: Intent) -> _Asked:
        """The questions whose answers decide; in a pipeline they are read when it has ended."""
        account_id, asked = intent.account_id, _Asked()
        limits, placing = self._limits[account_id], bool(intent.placements)
        if (placing and limits.counts_orders) or intent.modified or intent.conditional is not None:
            asked.lock = await limit_store.ask_lock(tx, account_id)
        if intent.modified:
            asked.modifications = await limit_store.ask_modifications(tx, account_id, order_id=intent.modified)
        if intent.conditional is not None:
            await self._ask_about_order(tx, intent.conditional, asked)
        if not placing:
            return asked
        asked.restricted = await limit_store.ask_restricted(tx, account_id, **self._doubt_limits)
        if limits.max_open_orders is not None:
            asked.open_orders = await limit_store.ask_open_orders(
                tx, account_id, trade_date=today(self._clock), recent=self._tasks_since(SHOWN_AFTER)
            )
        if limits.max_identical is not None:
            window = timedelta(seconds=limits.identical_window_s)
            asked.identical = await limit_store.ask_identical(
                tx,
                account_id,
                instruments=sorted({task.instrument for task in intent.placements}),
                window_s=limits.identical_window_s,
                recent=self._tasks_since(window),
            )
        return asked

    async def _ask_about_order(self, tx: Tx, task: NewTask, asked: _Asked) -> None:
        replacing = task.replaces is not None
        asked.state = await precondition_store.ask_state(
            tx, task.account_id, order_id=str(task.subject), keep="as_it_is" if replacing else "free"
        )
        if replacing:
            asked.stopped = await precondition_store.ask_stopped(tx, task.account_id, **self._doubt_limits)

    async def check_order_of(self, task: NewTask) -> None:
        """What ``admit`` would say of the order that the task is about; nothing is stored. Raises NotAsSeen."""
        asked = _Asked()
        async with self._database.transaction() as tx:
            await self._ask_about_order(tx, task, asked)
            await _check_order(task, asked)

    async def _decide(self, intent: Intent, asked: _Asked) -> None:
        """Raises BadInput, LimitReached, AskAgain."""
        if asked.lock is not None and not await asked.lock.fetchall():
            raise AskAgain("account")
        if asked.modifications is not None:
            rows = await asked.modifications.fetchall()
            if rows[0][0] >= MAX_MODIFICATIONS:
                message = f"the order was modified {rows[0][0]} times; cancel it and place a new one (`replaces`)"
                raise LimitReached(message, code="MODIFY_LIMIT")
        if intent.conditional is not None:
            await _check_order(intent.conditional, asked)
        self._check_each(intent)
        identical = [] if asked.identical is None else await asked.identical.fetchall()
        open_orders = [] if asked.open_orders is None else await asked.open_orders.fetchall()
        stored = Stored(
            open_orders=int(open_orders[0][0]) if open_orders else 0, identical=limit_store.identical_of(identical)
        )
        requests = [task.order for task in intent.placements]
        for breach in count_breaches(requests, stored, self._limits[intent.account_id]):
            raise LimitReached(breach.message, code=breach.code)

    def _check_each(self, intent: Intent) -> None:
        """Every limit that an order breaks by itself, of all orders at once. Raises BadInput with the first's code."""
        limits = self._limits[intent.account_id]
        found: list[tuple[NewTask, Breach]] = [
            (task, breach) for task in intent.placements for breach in breaches_of(self._candidate(task.order), limits)
        ]
        if found:
            problems = [Problem(loc=(*_place_of(task, intent), one.field), msg=one.message) for task, one in found]
            raise BadInput(problems, code=found[0][1].code)

    def _candidate(self, request: OrderRequest) -> Candidate:
        units = 1
        if request.exchange is Exchange.MCX:  # quantities are lots there
            instrument = self._instruments.find(request.exchange, request.tradingsymbol)
            units = instrument.lot_size if instrument is not None else 1
        last = self._prices.last_price(request.exchange, request.tradingsymbol)
        return Candidate(request=request, units=units, last=last)

    async def _marked(self, tx: Tx, intent: Intent, positions: Positions) -> Intent:
        """With ``reduces`` on what can only make a position smaller, counting every other order of that side."""
        requests = {task.task_id: task.order for task in intent.placements}
        reducible = await lock_reducible(
            tx,
            intent.account_id,
            requests.values(),
            positions,
            trade_date=today(self._clock),
            waiting="reductions",
        )
        marked = []
        for task in intent.tasks:
            request = requests.get(task.task_id)
            proven = request is not None and reducible.free_for(request) == request.quantity
            if request is not None and proven:
                reducible.take(request, request.quantity)
            marked.append(replace(task, reduces=True) if proven else task)
        return replace(intent, tasks=marked)

    @property
    def _doubt_limits(self) -> limits.DoubtLimits:
        return {"halt_doubts": self._settings.halt_doubts, "halt_doubt_age_s": self._settings.halt_doubt_age_s}

    def _tasks_since(self, window: timedelta) -> UUID:
        """Below the ids of every task that was made within the window, by whichever replica's clock."""
        earliest = self._clock.now() - window - _CLOCKS_APART
        return uuid7(epoch_ms=int(earliest.timestamp() * 1000), random_bits=0)


@dataclass(slots=True)
class _Asked:
    """Cursors of the questions that were asked."""

    lock: limit_store.Cursor | None = None
    restricted: limit_store.Cursor | None = None
    modifications: limit_store.Cursor | None = None
    state: limit_store.Cursor | None = None
    stopped: limit_store.Cursor | None = None
    open_orders: limit_store.Cursor | None = None
    identical: limit_store.Cursor | None = None


async def _check_order(task: NewTask, asked: _Asked) -> None:
    """Raises NotAsSeen."""
    if asked.state is not None:
        check_order(task, precondition_store.present_of(await asked.state.fetchall()))
    if asked.stopped is not None:
        check_not_stopped(stopped=(await asked.stopped.fetchall())[0][0])


def _place_of(task: NewTask, intent: Intent) -> tuple[str | int, ...]:
    return ("body",) if intent.batch is None or task.leg is None else ("body", "orders", task.leg)


async def _insert(tx: Tx, intent: Intent) -> None:
    if intent.batch is not None:
        await batch_store.insert_batch(tx, intent.batch)
    await new_task_store.insert_tasks(tx, intent.tasks)
