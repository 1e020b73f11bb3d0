"""Cancels every order of an account that matches a filter, at the broker or still unsent, without a halt.

What matches becomes unwanted in one transaction, so that it is cancelled until the book shows its end, whatever its
cancels are answered; new orders go on. A repeated key returns the same orders with what became of them.
"""

from __future__ import annotations

from dataclasses import asdict

from psycopg.errors import UniqueViolation

from app.errors import BadInput, Problem, Unavailable
from app.orders.engine.order_engine import OrderEngine
from app.orders.entry import idempotency_store
from app.orders.entry.acceptance import Acceptance, AcceptanceUnknown, Caller, NotAccepted
from app.orders.entry.fingerprint import fingerprint_of
from app.orders.entry.idempotency import IdempotencyKey
from app.orders.entry.outcome_wait import Answer
from app.orders.state import mass_cancel_store, removal_store, task_store
from app.orders.state.mass_cancels import OrderFilter
from app.orders.state.parts import OrderParts
from app.orders.state.removal import Removal
from app.orders.state.trading_days import oldest_live_day


class MassCancels:
    """Mass cancels of clients."""

    def __init__(self, parts: OrderParts, *, acceptance: Acceptance, engine: OrderEngine) -> None:
        self._database = parts.database
        self._settlement = parts.settlement
        self._removal = Removal(parts)
        self._ids = parts.ids
        self._clock = parts.clock
        self._acceptance = acceptance
        self._engine = engine

    async def cancel(self, wanted: OrderFilter, *, caller: Caller, wait_s: float) -> Answer:
        """Cancel what matches, and wait up to ``wait_s`` seconds until nothing of it is live.

        Raises BadInput without a key, NotFound (the account), NotAccepted, AcceptanceUnknown, Conflict (another request
        under the key).
        """
        self._engine.wakeups(wanted.account_id)  # raises NotFound
        if caller.idem_key is None:
            problem = Problem(loc=("header", "Idempotency-Key"), msg="is required to cancel many orders at once")
            raise BadInput([problem], code="IDEMPOTENCY_KEY_MISSING")
        fingerprint = fingerprint_of("mass_cancel", wanted.account_id, [], filter=asdict(wanted))
        key = IdempotencyKey(
            principal=caller.principal,
            idem_key=caller.idem_key,
            fingerprint=fingerprint,
            kind="mass_cancel",
            resource_id=self._ids.uuid(),
        )
        try:
            await self._store(wanted, key)
        except UniqueViolation:
            earlier = await self._acceptance.replayed(caller, fingerprint, account_id=wanted.account_id, wait_s=wait_s)
            if earlier is None:
                raise
            return earlier
        self._engine.changed(wanted.account_id)
        return await self._acceptance.answer(key, account_id=wanted.account_id, wait_s=wait_s)

    async def _store(self, wanted: OrderFilter, key: IdempotencyKey) -> None:
        """Mark what matches and store the first cancels. Raises UniqueViolation, NotAccepted, AcceptanceUnknown."""
        since = oldest_live_day(self._clock.now())
        committing = False
        try:
            async with self._database.transaction() as tx:
                await idempotency_store.insert_key(tx, key)
                await self._settlement.lock(tx, wanted.account_id)
                # waits for claims that have not committed yet: their orders would be missed
                await task_store.lock_unsent(tx, wanted.account_id)
                task_ids = await mass_cancel_store.matching_placements(tx, wanted, since=since)
                await removal_store.set_unwanted(tx, task_ids, "mass_cancel")
                orders = await mass_cancel_store.set_foreign_unwanted(tx, wanted, since=since)
                await self._removal.advance(tx, wanted.account_id, since=since, hurry=True)
                await mass_cancel_store.insert(tx, key.resource_id, wanted.account_id, task_ids=task_ids, orders=orders)
                committing = True
        except Unavailable as error:
            if committing:
                raise AcceptanceUnknown from error
            raise NotAccepted(f"nothing was cancelled: {error}") from error
