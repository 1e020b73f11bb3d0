"""Cancels every order of an account that matches a filter, at the broker or still unsent, without a halt.

What matches becomes unwanted in one transaction, so that it is cancelled until the book shows its end, whatever its
cancels are answered; new orders go on. A repeated key returns the same orders with what became of them.
"""

from __future__ import annotations

from dataclasses import asdict
from uuid import UUID

from app.db.postgres import Tx
from app.orders.engine.order_engine import OrderEngine
from app.orders.entry.acceptance import Caller
from app.orders.entry.keyed_commands import KeyedCommands
from app.orders.entry.outcome_wait import Answer
from app.orders.state import mass_cancel_store, removal_store, task_store
from app.orders.state.mass_cancels import OrderFilter
from app.orders.state.order_parts import OrderParts
from app.orders.state.removal import Removal
from app.orders.state.trading_days import oldest_live_day


class MassCancels:
    """Mass cancels of clients."""

    def __init__(self, parts: OrderParts, *, commands: KeyedCommands, engine: OrderEngine) -> None:
        self._settlement = parts.settlement
        self._removal = Removal(parts)
        self._ids = parts.ids
        self._clock = parts.clock
        self._commands = commands
        self._engine = engine

    async def cancel(self, wanted: OrderFilter, *, caller: Caller, wait_s: float) -> Answer:
        """Cancel what matches, and wait up to ``wait_s`` seconds until nothing of it is live.

        Raises NotFound (the account), and as ``KeyedCommands``.
        """
        account_id = wanted.account_id
        self._engine.wakeups(account_id)  # raises NotFound
        fingerprint, earlier = await self._commands.earlier(
            "mass_cancel", account_id, asdict(wanted), caller=caller, wait_s=wait_s, wanted=None
        )
        if earlier is not None:
            return earlier
        mass_cancel_id = self._ids.uuid()
        return await self._commands.store(
            "mass_cancel",
            mass_cancel_id,
            account_id,
            fingerprint=fingerprint,
            caller=caller,
            wait_s=wait_s,
            rows=lambda tx: self._mark(tx, wanted, mass_cancel_id),
            stored=lambda: self._engine.changed(account_id),
        )

    async def _mark(self, tx: Tx, wanted: OrderFilter, mass_cancel_id: UUID) -> None:
        """Make what matches unwanted, and store the first cancels."""
        account_id, since = wanted.account_id, oldest_live_day(self._clock.now())
        await self._settlement.lock(tx, account_id)
        # waits for claims that have not committed yet: their orders would be missed
        await task_store.lock_unsent(tx, account_id)
        task_ids = await mass_cancel_store.matching_placements(tx, wanted, since=since)
        await removal_store.set_unwanted(tx, task_ids, "mass_cancel")
        orders = await mass_cancel_store.set_foreign_unwanted(tx, wanted, since=since)
        await self._removal.advance(tx, account_id, since=since, hurry=True)
        await mass_cancel_store.insert(tx, mass_cancel_id, account_id, task_ids=task_ids, orders=orders)
