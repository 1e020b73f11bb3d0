"""Places exits: the first one of a position at the market, a later one at a limit inside the price protection.

No exit is placed while another one of its position may be live, nor for more than the account's positions prove. A halt
stops those that follow an earlier one; the first is stored, so that clients see why it is held.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from loguru import logger

from app.broker.orders import OrderRequest
from app.db.postgres import Tx
from app.errors import BrokerError, RateLimited
from app.kit.clock import today
from app.orders.batches import batch_store, exit_store
from app.orders.batches.exit_references import ExitReferences
from app.orders.batches.exit_rules import Reference, exit_price
from app.orders.batches.leg_reader import load_legs
from app.orders.batches.legs import Leg, exits_of, left_to_close
from app.orders.risk.exits import limit_exit, market_exit
from app.orders.risk.halt_store import halt_in_force
from app.orders.risk.positions import Positions
from app.orders.risk.reduce_only import lock_reducible, read_positions
from app.orders.state import new_task_store, removal_store, tag_store
from app.orders.state.model import NOTHING_TO_REDUCE, Batch, TaskError, TaskStatus
from app.orders.state.new_tasks import BatchLeg
from app.orders.state.order_parts import AccountParts
from app.orders.state.tags import TagOrigin

POSITIONS_TIMEOUT_S = 5.0

_NOTHING_TO_REDUCE = TaskError(
    code=NOTHING_TO_REDUCE,
    message="the position that the fill made is no longer held, or other orders are closing it already",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DueExit:
    """A leg whose position needs an exit now."""

    batch: Batch
    leg: Leg
    quantity: int  # what is to be closed

    @property
    def request(self) -> OrderRequest:
        """The market order that closes it."""
        order = self.leg.task.order
        side = order.transaction_type
        return market_exit(
            exchange=order.exchange,
            tradingsymbol=order.tradingsymbol,
            product=order.product,
            transaction_type=side if self.leg.is_exit else side.opposite,
            quantity=self.quantity,
            algo_id=order.algo_id,
        )

    @property
    def position(self) -> tuple[str, str]:
        """Instrument and product."""
        return self.request.instrument, str(self.request.product)


class ExitPlacement:
    """Places the exits of one account."""

    def __init__(self, parts: AccountParts, *, references: ExitReferences) -> None:
        self._account_id = parts.account_id
        self._database = parts.database
        self._portfolio = parts.broker.portfolio
        self._settlement = parts.settlement
        self._wakeups = parts.wakeups
        self._clock = parts.clock
        self._tasks = parts.tasks
        self._tagger = parts.tagger
        self._references = references

    async def place(self, due: Sequence[DueExit]) -> None:
        """Place those exits that may be placed now. Without the positions they wait. Raises Unavailable."""
        due = [one for one in due if not await self._was_taken_back(one.leg)]
        async with self._database.connection() as connection:
            halt = await halt_in_force(connection, self._account_id)
            closed = await exit_store.being_closed(connection, self._account_id)
        halted = halt is not None and halt.mode == "halt"
        free = [one for one in due if one.position not in closed and not (halted and exits_of(one.leg))]
        positions = await self._read_positions(free) if free else None
        if positions is None:
            return
        later = [one.request.instrument for one in free if exits_of(one.leg)]
        references = await self._references.of(later) if later else {}
        for one in free:
            await self._place_one(one, positions, references)
        self._wakeups.changed()

    async def _was_taken_back(self, leg: Leg) -> bool:
        """Whether a client has cancelled the newest exit of a leg: a person has decided, and no other one follows."""
        newest = exits_of(leg)[-1:]
        order_ids = [order.order_id for one in newest for order in one.orders]
        if not order_ids:
            return False
        async with self._database.transaction() as tx:
            await self._settlement.lock(tx, self._account_id)
            if not await exit_store.were_cancelled_by_clients(tx, self._account_id, order_ids):
                return False
            await removal_store.set_unwanted(tx, [one.task.task_id for one in newest], "withdrawal")
        self._wakeups.changed()
        return True

    async def _read_positions(self, due: Sequence[DueExit]) -> Positions | None:
        try:
            async with asyncio.timeout(POSITIONS_TIMEOUT_S):
                return await read_positions(self._database, self._portfolio)
        except (BrokerError, RateLimited, TimeoutError) as error:
            ids = ",".join(sorted({str(one.batch.batch_id) for one in due}))
            fields = {"account_id": self._account_id, "batch_ids": ids, "action": "square_off", "reason": repr(error)}
            logger.bind(**fields).warning("square-offs wait, positions not read")
            return None

    async def _place_one(self, due: DueExit, positions: Positions, references: Mapping[str, Reference]) -> None:
        """Store one exit; a failed one where nothing can be reduced, so that the batch reports the rest."""
        async with self._database.transaction() as tx:
            await self._settlement.lock(tx, self._account_id)
            if not await self._is_due(tx, due):
                return
            earlier = exits_of(due.leg)
            wanted = _priced(due.request, references.get(due.request.instrument)) if earlier else due.request
            reducible = await lock_reducible(
                tx, self._account_id, [wanted], positions, trade_date=today(self._clock), waiting="all"
            )
            assigned = reducible.assign(wanted)
            task = self._tasks.square_off(
                assigned or wanted,
                account_id=self._account_id,
                of_batch=BatchLeg(batch_id=due.batch.batch_id, leg=due.leg.task.leg or 0),
                origin=await self._origin(tx, due),
                after=[one.task for one in earlier],
            )
            if assigned is None:
                task = replace(task, status=TaskStatus.FAILED, error=_NOTHING_TO_REDUCE)
            await new_task_store.insert_tasks(tx, [task])

    async def _origin(self, tx: Tx, due: DueExit) -> TagOrigin | None:
        """From what the tag of the next exit is derived; None for a batch without a key."""
        key = await tag_store.key_of(tx, due.batch.batch_id)
        if key is None:
            return None
        leg = TagOrigin(account_id=self._account_id, key=key, kind="leg", leg=due.leg.task.leg or 0)
        number = sum(one.task.purpose == "square_off" for one in exits_of(due.leg))
        return await tag_store.unused(tx, leg.follow_up("square_off", generation=number), tagger=self._tagger)

    async def _is_due(self, tx: Tx, due: DueExit) -> bool:
        """Whether nothing has changed since it was found due, under the account's lock.

        Another process, or another batch, may have stored an exit meanwhile.
        """
        batch = await batch_store.load(tx, due.batch.batch_id)
        if batch is None or batch.status is not due.batch.status:
            return False
        legs = (await load_legs(tx, [batch]))[batch.batch_id]
        leg = next(one for one in legs if one.task.leg == due.leg.task.leg)
        if _ids(leg) != _ids(due.leg) or left_to_close(leg) != due.quantity:
            return False
        return due.position not in await exit_store.being_closed(tx, self._account_id)


def _ids(leg: Leg) -> list[UUID]:
    return [one.task.task_id for one in exits_of(leg)]


def _priced(request: OrderRequest, reference: Reference | None) -> OrderRequest:
    """The exit at a limit; at the market where no price is fresh: the broker prices it then."""
    if reference is None or not reference.is_usable:
        return request
    return limit_exit(request, exit_price(request.transaction_type, reference))
