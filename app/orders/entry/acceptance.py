"""Stores the request of a client exactly once, and answers a repeated request with the resource that it has made.

After the commit the engine finishes the order, also if the client disconnects or this process dies. So a failure
around the commit must not be answered with a server error: client libraries repeat those by themselves.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from uuid import UUID

from psycopg.errors import UniqueViolation

from app.db.postgres import CommitCutOff, Database
from app.errors import Conflict, ServiceError, Unavailable
from app.kit.answer_time import seconds_left
from app.kit.clock import Clock
from app.orders.engine.order_engine import OrderEngine
from app.orders.entry.idempotency import IdempotencyKey, Kind
from app.orders.entry.intent import Intent
from app.orders.entry.key_memory import KeyMemory
from app.orders.entry.lost_requests import LostRequests, Recovering
from app.orders.entry.not_accepted import AcceptanceUnknown, NotAccepted
from app.orders.entry.outcome_wait import Answer, FirstRead, OutcomeWait
from app.orders.entry.recovered_keys import Wanted
from app.orders.entry.risk_check import AfterLoss, KnownPositions, PositionsNeeded, RiskCheck
from app.orders.state import new_task_store
from app.orders.state.new_tasks import NewBatch, NewTask
from app.orders.state.tags import ClientKey, OrderKind, TagOrigin
from app.orders.views.queries import OrderQueries

_COMMIT_AGAIN_S = (0.1, 0.4, 1.5)
"""Pauses in seconds before the same rows are stored again after a lost commit; their ids prevent a second order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """The client that sends a request."""

    principal: str  # the client's stable name, which all of its API keys share
    idem_key: str | None = None  # None: a repeated request makes another order
    arrived_at: datetime | None = None  # when the request arrived, by the database's clock

    @property
    def key(self) -> ClientKey | None:
        """The key of its request; None without one."""
        return None if self.idem_key is None else ClientKey(principal=self.principal, idem_key=self.idem_key)

    def origin(self, account_id: str, *, leg: int | None = None) -> TagOrigin | None:
        """From what the tag of its order is derived; ``leg`` of a batch. None without a key."""
        if self.key is None:
            return None
        kind: OrderKind = "order" if leg is None else "leg"
        return TagOrigin(account_id=account_id, key=self.key, kind=kind, leg=leg or 0)


class Acceptance:
    """``accept`` stores a new request and waits for its outcome; ``replayed`` answers a repeated one."""

    def __init__(
        self,
        *,
        database: Database,
        engine: OrderEngine,
        queries: OrderQueries,
        risk_check: RiskCheck,
        clock: Clock,
        lost: LostRequests,
    ) -> None:
        self._database = database
        self._lost = lost
        self._risk_check = risk_check
        self._engine = engine
        self._wait = OutcomeWait(engine=engine, queries=queries, clock=clock)
        self.keys = KeyMemory(database)

    def stop_waiting(self) -> None:
        """Answer all waiting clients with the present state, and let no other client wait: the process stops."""
        self._wait.stop()

    async def accept(
        self,
        new: Sequence[NewTask],
        *,
        batch: NewBatch | None,
        fingerprint: bytes,
        caller: Caller,
        wait_s: float,
        wanted: Wanted | None = None,
    ) -> Answer:
        """Store the tasks, and their batch, under the client's key; wait up to ``wait_s`` seconds for the outcome.

        ``wanted``: the placements of the request, None for a modification or a cancel; after a loss of the database
        its key is looked for in the broker's order book.

        Raises NotAccepted, AcceptanceUnknown, BadInput (a limit on one order), Conflict: another request under the key,
        LimitReached (a limit on the account), NotAsSeen (a conditional command), Recovering, OrderDiffers.
        """
        account_id = new[0].account_id
        kind: Kind = "task" if batch is None else "batch"
        resource_id = new[0].task_id if batch is None else batch.batch_id
        key = None
        if caller.idem_key is not None:
            key = IdempotencyKey(
                principal=caller.principal,
                idem_key=caller.idem_key,
                fingerprint=fingerprint,
                kind=kind,
                resource_id=resource_id,
            )
        intent = Intent(tasks=new, batch=batch, key=key)
        replay = partial(self.replayed, caller, fingerprint, account_id=account_id, wait_s=wait_s, wanted=wanted)
        try:
            stored = await self.keys.store_under(key, partial(self._store, intent), replay=replay)
        except AfterLoss:
            replayed = await replay()
            if replayed is not None:
                return replayed
            stored = await self.keys.store_under(key, partial(self._store_proven, intent), replay=replay)
        if isinstance(stored, Answer):
            return stored
        self._engine.accepted(account_id, batch=batch is not None)
        if any(task.purpose == "replace" for task in new):  # such a cancel waits for a read
            self._engine.wakeups(account_id).read_book()
        return await self._wait.answer(kind, resource_id, account_id=account_id, wait_s=wait_s, first_read=stored)

    async def answer_after(
        self,
        error: ServiceError,
        fingerprint: bytes,
        *,
        caller: Caller,
        account_id: str,
        wait_s: float,
        wanted: Wanted | None = None,
    ) -> Answer:
        """The answer to another request under the key, where this one failed by ``error`` before it could be stored: it
        was accepted earlier, or meanwhile, and must not be called "not sent".

        Raises ``error`` where there is none, and as ``replayed``.
        """
        if caller.idem_key is None:
            raise error
        replay = partial(self.replayed, caller, fingerprint, account_id=account_id, wait_s=wait_s, wanted=wanted)
        return await self.keys.answer_after((caller.principal, caller.idem_key), error, replay=replay)

    async def answer(self, key: IdempotencyKey, *, account_id: str, wait_s: float) -> Answer:
        """The answer to a request that was stored under ``key`` just now, see ``OutcomeWait.answer``."""
        return await self._wait.answer(
            key.kind, key.resource_id, account_id=account_id, wait_s=wait_s, first_read="immediately"
        )

    async def try_out(self, new: Sequence[NewTask], *, batch: NewBatch | None = None) -> None:
        """Check the tasks, as if they came without a key; nothing is stored. Raises what ``accept`` does, and
        Unavailable."""
        try:
            await self._risk_check.try_out(Intent(tasks=new, batch=batch))
        except AfterLoss as error:
            raise Recovering("no order is accepted until the order book has shown what was sent", sent="no") from error

    async def replayed(
        self, caller: Caller, fingerprint: bytes, *, account_id: str, wait_s: float, wanted: Wanted | None = None
    ) -> Answer | None:
        """The answer to a request that was accepted before under the same key; None for a new key, or without one.

        ``wanted``: as in ``accept``. Raises Conflict when the key was used for another request, NotAccepted when the
        database is away, AcceptanceUnknown when it was lost while another request stored the key, Recovering,
        OrderDiffers.
        """
        earlier = None
        if caller.idem_key is not None:
            earlier = await self.keys.find(caller.principal, caller.idem_key)
        if earlier is None and wanted is not None:
            earlier = await self._lost.find(caller.key, fingerprint, wanted)
        if earlier is None:
            return None
        if earlier.fingerprint != fingerprint:
            raise Conflict("this Idempotency-Key was used for another request", code="IDEMPOTENCY_KEY_REUSED")
        answer = await self._wait.answer(
            earlier.kind, earlier.resource_id, account_id=account_id, wait_s=wait_s, first_read="immediately"
        )
        return replace(answer, replayed=True)

    async def _store_proven(self, intent: Intent) -> FirstRead:
        """Store a request of which the order book has no order; as ``_store``. Raises Recovering after another loss."""
        try:
            return await self._store(replace(intent, is_proven_new=True))
        except AfterLoss as error:
            raise Recovering("it is recovering") from error

    async def _store(self, intent: Intent) -> FirstRead:
        """Store the intent exactly once, also when the connection breaks during the commit; return when to read it.

        Raises UniqueViolation when the key was used before, NotAccepted, AcceptanceUnknown, and what ``admit`` raises.
        """
        commit_was_cut_off = False
        for delay in (0.0, *_COMMIT_AGAIN_S):
            if delay > seconds_left():
                break
            await asyncio.sleep(delay)
            try:
                await self._store_allowed(intent)
            except CommitCutOff:
                commit_was_cut_off = True
            except UniqueViolation:
                # The lost commit went through, and the order may be finished by now.
                if commit_was_cut_off and await self._is_stored(intent.tasks[0].task_id):
                    return "immediately"
                raise
            except Unavailable as error:
                if not commit_was_cut_off:
                    raise NotAccepted(f"the order could not be stored: {error}") from error
            else:
                return "after_a_change"
        raise AcceptanceUnknown

    async def _store_allowed(self, intent: Intent) -> None:
        """Store the intent; the positions are read only when they decide. Raises as ``_store_once``."""
        try:
            await self._store_once(intent, positions="unread")
        except PositionsNeeded:
            await self._store_once(intent, positions=await self._risk_check.read_positions(intent.account_id))

    async def _store_once(self, intent: Intent, *, positions: KnownPositions) -> None:
        """One transaction. Raises Unavailable, CommitCutOff, and as ``admit``."""
        async with self._database.transaction() as tx:
            await self._risk_check.admit(tx, intent, positions=positions)

    async def _is_stored(self, task_id: UUID) -> bool:
        try:
            async with self._database.connection() as connection:
                return await new_task_store.is_stored(connection, task_id)
        except Unavailable as error:
            raise AcceptanceUnknown from error
