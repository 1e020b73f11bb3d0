"""Closes the positions of an account that match a filter, by market orders that can only make them smaller.

The exits are the legs of a batch without rollback, which ends when each position is closed or given up. Their
quantities are fixed under the account's risk lock: what is held, less what live and unsent orders of that side may
close already.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial

from app.broker.orders import OrderRequest
from app.db.postgres import Tx
from app.errors import Conflict, Unavailable
from app.kit.clock import today
from app.orders.batches import batch_store
from app.orders.engine.order_engine import OrderEngine
from app.orders.entry.acceptance import Caller
from app.orders.entry.keyed_commands import KeyedCommands
from app.orders.entry.outcome_wait import Answer
from app.orders.entry.recovered_keys import MAX_CLOSED, Wanted
from app.orders.entry.risk_check import RiskCheck
from app.orders.risk.exits import PositionFilter, exit_order, matching, not_closable
from app.orders.risk.positions import Positions, Reducible
from app.orders.risk.reduce_only import lock_reducible
from app.orders.state import new_task_store
from app.orders.state.model import NOTHING_TO_REDUCE, TaskError, TaskStatus
from app.orders.state.new_tasks import BatchLeg, NewBatch, NewTask, OrderLine
from app.orders.state.order_parts import OrderParts

_BEING_CLOSED = TaskError(
    code=NOTHING_TO_REDUCE, message="other orders, live or waiting to be sent, are closing this position already"
)


class NotClosable(Conflict):
    """A position that matches is of an exchange or a product for which no order can be placed; nothing was stored."""

    default_code = "NOT_CLOSABLE"
    sent = "no"
    retryable = "no"


class PositionsUnreadable(Unavailable):
    """The broker did not say which positions the account has; nothing was stored."""

    default_code = "POSITIONS_UNREADABLE"
    sent = "no"
    retryable = "yes"


class PositionCloses:
    """Closes positions for clients."""

    def __init__(
        self, parts: OrderParts, *, commands: KeyedCommands, risk_check: RiskCheck, engine: OrderEngine
    ) -> None:
        self._parts = parts
        self._commands = commands
        self._risk_check = risk_check
        self._engine = engine

    async def close(
        self, wanted: PositionFilter, *, tag: str | None, caller: Caller, wait_s: float, algo_id: str | None = None
    ) -> Answer:
        """Send an exit for each position that matches, and wait up to ``wait_s`` seconds until all are closed.

        ``tag``: the client's own, of the exits; ``algo_id``: under which the exchange has registered the algorithm that
        closes. Raises NotFound (the account), PositionsUnreadable, NotClosable, and as ``KeyedCommands``.
        """
        account_id = wanted.account_id
        self._engine.wakeups(account_id)  # raises NotFound
        options = {**asdict(wanted), "tag": tag} | ({} if algo_id is None else {"algo_id": algo_id})
        closes = Wanted(account_id=account_id, closes=wanted, is_batch=True, rollback_on_failure=False)
        fingerprint, earlier = await self._commands.earlier(
            "close", account_id, options, caller=caller, wait_s=wait_s, wanted=closes
        )
        if earlier is not None:
            return earlier
        try:
            positions = await self._read_positions(account_id)
            held = _closable(positions, wanted)
        except (PositionsUnreadable, NotClosable) as error:
            return await self._commands.answer_after(error, fingerprint, caller=caller, wait_s=wait_s, wanted=closes)
        exits = [exit_order(position, quantity, algo_id=algo_id) for position, quantity in held.items()]
        batch = NewBatch(
            batch_id=self._parts.ids.uuid(),
            account_id=account_id,
            rollback_on_failure=False,
            on_filled="report",
            total_orders=len(exits),
            deadline_s=self._parts.settings.batch_deadline_s,
        )
        return await self._commands.store(
            "batch",
            batch.batch_id,
            account_id,
            fingerprint=fingerprint,
            caller=caller,
            wait_s=wait_s,
            rows=partial(self._store_exits, batch=batch, exits=exits, positions=positions, tag=tag, caller=caller),
            stored=lambda: self._engine.accepted(account_id, batch=True),
        )

    async def _read_positions(self, account_id: str) -> Positions:
        positions = await self._risk_check.read_positions(account_id)
        if not isinstance(positions, Positions):
            raise PositionsUnreadable("the positions cannot be read, so nothing was closed")
        return positions

    async def _store_exits(
        self,
        tx: Tx,
        *,
        batch: NewBatch,
        exits: Sequence[OrderRequest],
        positions: Positions,
        tag: str | None,
        caller: Caller,
    ) -> None:
        reducible = await lock_reducible(
            tx, batch.account_id, exits, positions, trade_date=today(self._parts.clock), waiting="all"
        )
        await batch_store.insert_batch(tx, batch)
        tasks = [
            self._exit(request, reducible, batch=batch, leg=leg, tag=tag, caller=caller)
            for leg, request in enumerate(exits)
        ]
        await new_task_store.insert_tasks(tx, tasks)

    def _exit(
        self, request: OrderRequest, reducible: Reducible, *, batch: NewBatch, leg: int, tag: str | None, caller: Caller
    ) -> NewTask:
        """The exit of one position; stored as failed where other orders are closing all of it already."""
        assigned = reducible.assign(request)
        task = self._parts.tasks.place(
            OrderLine(request=assigned or request, user_tag=tag),
            account_id=batch.account_id,
            of_batch=BatchLeg(batch_id=batch.batch_id, leg=leg),
            arrived_at=caller.arrived_at,
            origin=caller.origin(batch.account_id, leg=leg),
        )
        task = replace(task, reduces=True, exit_s=self._parts.settings.exit_s)
        return task if assigned else replace(task, status=TaskStatus.FAILED, error=_BEING_CLOSED)


def _closable(positions: Positions, wanted: PositionFilter) -> dict[tuple[str, str, str], int]:
    """The positions that match, with their signed quantities. Raises NotClosable."""
    held = matching(positions.net, wanted)
    if unknown := not_closable(list(held)):
        raise NotClosable(f"no orders can be placed here for {', '.join(unknown)}; leave them out by the filter")
    if len(held) > MAX_CLOSED:
        raise NotClosable(f"{len(held)} positions match, and one request closes {MAX_CLOSED} at most; use the filter")
    return held
