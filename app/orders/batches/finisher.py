"""The loop that finishes one account's exits: it moves their prices, cancels what is late, and lets others follow.

An exit closes what a batch's leg has filled (``on_filled: square_off``) or a position that a client asked to close. The
finisher keeps nothing in memory but quotes: deadlines, moves and fills are rows, so that the next owner goes on. Moves
and cancels are tasks like all others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from loguru import logger

from app.broker.orders import OrderChanges, OrderType, TransactionType
from app.db.postgres import Tx
from app.errors import ServiceError
from app.orders.batches import batch_store, exit_store
from app.orders.batches.exit_placement import DueExit, ExitPlacement
from app.orders.batches.exit_references import ExitReferences
from app.orders.batches.exit_rules import LiveExit, Move, Reference, Step, Wait, next_step
from app.orders.batches.leg_reader import load_legs
from app.orders.batches.legs import Leg, exits_of, is_finished
from app.orders.batches.saga import SquareOff, decide
from app.orders.risk.halt_store import halt_in_force
from app.orders.state import new_task_store, removal_store
from app.orders.state.model import Batch, KnownOrder
from app.orders.state.new_tasks import NewTask, target_of
from app.orders.state.order_parts import AccountParts
from app.orders.state.removal import Removal
from app.orders.state.trading_days import oldest_live_day
from app.orders.state.wakeups import seconds_to_next, wait_for

_MAX_WAIT_S = 1.0
"""Between two rounds while batches are open, when no wake-up comes."""
_AT_THE_EXCHANGE = frozenset({"OPEN"})
"""The status of an order that the exchange has, and that nobody is changing, as Kite names it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Live:
    """A live order of an exit."""

    leg: Leg  # the exit itself
    order: KnownOrder


class ExitFinisher:
    """Finishes the exits of one account. ``run`` lives until it is cancelled; ``advance`` is one round."""

    def __init__(self, parts: AccountParts) -> None:
        self._account_id = parts.account_id
        self._database = parts.database
        self._settlement = parts.settlement
        self._wakeups = parts.wakeups
        self._settings = parts.settings
        self._clock = parts.clock
        self._tasks = parts.tasks
        self._removal = Removal(parts, knows=parts.term.knows)
        self._references = ExitReferences(parts)
        self._placement = ExitPlacement(parts, references=self._references)

    async def run(self) -> None:
        """Advance after each wake-up, and once a second while batches are open; errors of a dependency are retried."""
        while True:
            wait_s = _MAX_WAIT_S
            try:
                wait_s = await self.advance()
            except ServiceError as error:
                logger.bind(account_id=self._account_id, reason=error.message).warning("exits not advanced")
            await wait_for(self._wakeups.exits, self._wakeups.rest_s(wait_s))

    async def advance(self) -> float:
        """Take every exit as far as it can go now; return the seconds until the next round is due.

        Raises Unavailable when the database is away; what was stored before stays.
        """
        async with self._database.connection() as connection:
            batches = await batch_store.open_batches(connection, self._account_id)
            legs = await load_legs(connection, batches) if batches else {}
        exits = [one for some in legs.values() for leg in some for one in exits_of(leg)]
        moments = await self._follow([one for one in exits if one.task.exit_by is not None and not is_finished(one)])
        due = [one for batch in batches for one in self._due(batch, legs[batch.batch_id])]
        if due:
            await self._placement.place(due)
        return seconds_to_next(moments, now=self._clock.now(), at_most_s=_MAX_WAIT_S)

    def _due(self, batch: Batch, legs: Sequence[Leg]) -> list[DueExit]:
        """The legs whose position needs an exit now. The runner stores a new status of the batch first."""
        decision = decide(batch, legs, now=self._clock.now(), doubt_timeout=self._settings.doubt_timeout)
        wanted = [action for action in decision.actions if isinstance(action, SquareOff)]
        if decision.status is not batch.status:
            return []
        by_number = {leg.task.leg: leg for leg in legs}
        return [DueExit(batch=batch, leg=by_number[one.leg], quantity=one.quantity) for one in wanted]

    async def _follow(self, exits: Sequence[Leg]) -> list[datetime]:
        """Cancel what is too late, and move the prices of the others; return when something may be due next."""
        now = self._clock.now()
        late = [one.task for one in exits if one.task.exit_by is not None and one.task.exit_by <= now]
        if any(task.unwanted_since is None for task in late):
            await self._cancel([task.task_id for task in late])
        live = _live_orders(exits)
        moments = [one.task.exit_by for one in exits if one.task.exit_by is not None and one.task.exit_by > now]
        if not live:
            return moments
        async with self._database.connection() as connection:
            steps = await self._decide(connection, live, {})
        # the broker is asked for a price only where one could be moved
        movable = [one.order.instrument for one, step in steps if isinstance(step, Wait) and step.needs_price]
        if movable:
            await self._move(exits, await self._references.of(movable))
        waits = [step.until for _, step in steps if isinstance(step, Wait) and step.until is not None]
        return [*moments, *(moment for moment in waits if moment > now)]

    async def _move(self, exits: Sequence[Leg], references: Mapping[str, Reference]) -> None:
        """Store the moves, decided again under the account's lock. A halt stops them, as it stops every order."""
        async with self._database.transaction() as tx:
            await self._settlement.lock(tx, self._account_id)
            halt = await halt_in_force(tx, self._account_id)
            if halt is not None and halt.mode == "halt":
                return
            steps = await self._decide(tx, _live_orders(await self._again(tx, exits)), references)
            tasks = [self._move_task(one, step.price) for one, step in steps if isinstance(step, Move)]
            await new_task_store.insert_tasks(tx, tasks)
        if tasks:
            self._wakeups.changed()

    async def _decide(
        self, tx: Tx, live: Sequence[_Live], references: Mapping[str, Reference]
    ) -> list[tuple[_Live, Step]]:
        """The next step of each, those first that were moved longest ago; together they keep to the budget."""
        moves = await exit_store.moves_of(tx, self._account_id, [one.order.order_id for one in live])
        budget = await exit_store.moves_left(tx, self._account_id, per_minute=self._settings.exit_moves_per_minute)
        facts = [(one, _facts(one, moves[one.order.order_id])) for one in live]
        now = self._clock.now()
        found: list[tuple[_Live, Step]] = []
        for one, fact in sorted(facts, key=lambda pair: pair[1].last_move_at or pair[1].began_at):
            step = next_step(fact, references.get(one.order.instrument), now=now, budget=budget)
            budget -= isinstance(step, Move)
            found.append((one, step))
        return found

    async def _again(self, tx: Tx, exits: Sequence[Leg]) -> list[Leg]:
        """These exits as they are now."""
        wanted = {one.task.task_id for one in exits}
        ids = sorted({one.task.batch_id for one in exits if one.task.batch_id is not None})
        batches = [batch for one in ids if (batch := await batch_store.load(tx, one)) is not None]
        legs = await load_legs(tx, batches)
        found = [one for some in legs.values() for leg in some for one in exits_of(leg)]
        return [one for one in found if one.task.task_id in wanted]

    def _move_task(self, live: _Live, price: Decimal) -> NewTask:
        is_limit = live.order.terms.order_type == OrderType.LIMIT
        changes = OrderChanges(price=price, order_type=None if is_limit else OrderType.LIMIT)
        target = replace(target_of(live.order), batch_id=live.leg.task.batch_id, leg=live.leg.task.leg)
        return self._tasks.exit_move(target, changes)

    async def _cancel(self, late: Sequence[UUID]) -> None:
        """The deadline of these exits is over: what is live of them is cancelled until the book shows its end."""
        async with self._database.transaction() as tx:
            await self._settlement.lock(tx, self._account_id)
            await removal_store.set_unwanted(tx, late, "exit_over")
            await self._removal.advance(tx, self._account_id, since=oldest_live_day(self._clock.now()))
        self._wakeups.changed()


def _live_orders(exits: Sequence[Leg]) -> list[_Live]:
    return [
        _Live(leg=one, order=order)
        for one in exits
        for order in one.own
        if not order.is_terminal and not order.is_stale
    ]


def _facts(live: _Live, moves: exit_store.Moves) -> LiveExit:
    task, order = live.leg.task, live.order
    return LiveExit(
        transaction_type=TransactionType(order.transaction_type),
        price=order.terms.price,
        is_open=order.status in _AT_THE_EXCHANGE,
        is_moving=moves.is_moving,
        spent=moves.spent,
        last_move_at=moves.last_move_at,
        began_at=task.created_at,
        exit_by=task.exit_by or task.created_at,
        is_unwanted=task.unwanted_since is not None,
    )
