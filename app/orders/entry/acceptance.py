"""Makes an intent durable and waits for what becomes of it.

Once the commit is through, the order is ours to bring to an end: the caller may hang up, the process may die. From
then on no answer may read like a failure, because client libraries repeat failures by themselves: a database that
cannot be asked gives "not known yet", never a server error.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any, Literal
from uuid import UUID

from loguru import logger
from psycopg.errors import LockNotAvailable, UniqueViolation

from app.broker.outcomes import Sent
from app.db.bounded_connection import seconds_left
from app.db.postgres import Database, Tx
from app.errors import Conflict, Unavailable
from app.kit.clock import Clock
from app.orders.engine.order_engine import OrderEngine
from app.orders.entry import idempotency_store
from app.orders.entry.admission import Admission, MissingInput
from app.orders.entry.idempotency import IdempotencyKey, Kind
from app.orders.entry.intent import Intent
from app.orders.state import new_task_store
from app.orders.state.documents import task_document
from app.orders.state.model import FINISHED, BatchStatus, TaskStatus
from app.orders.state.new_tasks import NewBatch, NewTask
from app.orders.views.queries import OrderQueries

_LOOK_AGAIN_S = 0.5
"""While waiting for a result: how often to look even without a signal (another replica may have done the work)."""

KEYS_REMEMBERED = 10_000
"""The newest idempotency keys of this process: they can be answered while the database cannot be asked."""

Look = Literal["at_once", "after_a_change"]
"""When to look at what was stored, while waiting for its end."""

_COMMIT_AGAIN_S = (0.1, 0.4, 1.5)
"""When the connection broke during the commit: the same rows are offered again, their ids make that harmless."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who asks, and under which idempotency key (None: the caller takes no protection against repeating itself)."""

    principal: str
    idem_key: str | None = None
    arrived_at: datetime | None = None  # when the request arrived, by the database's clock


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """``document`` is the task or batch as it is now; ``final``: it is at its end; ``replayed``: the key was known."""

    kind: Kind
    resource_id: UUID
    document: Mapping[str, Any]
    final: bool
    replayed: bool = False


class NotAccepted(Unavailable):
    """The intent could not be stored, and nothing of it was."""

    def __init__(self, message: str) -> None:
        super().__init__(message, code="DATABASE_UNAVAILABLE")
        self.sent = str(Sent.NO)
        self.retryable = "yes"


class AcceptanceUnknown(Conflict):
    """The commit was cut off and nobody can be asked: the order may be stored, and may then be sent.

    Not a server error, because those are repeated by client libraries without thinking.
    """

    def __init__(self, what: str = "the database was lost during the commit") -> None:
        message = f"{what}; look at the order book and the tasks before trying again"
        super().__init__(message, code="ACCEPTANCE_UNKNOWN")
        self.sent = str(Sent.UNKNOWN)
        self.retryable = "after_check"


class Acceptance:
    """``accept`` stores and waits; ``replayed`` finds what a key already stands for."""

    def __init__(
        self, *, database: Database, engine: OrderEngine, queries: OrderQueries, admission: Admission, clock: Clock
    ) -> None:
        self._database = database
        self._admission = admission
        self._engine = engine
        self._queries = queries
        self._clock = clock
        self._stopping = False
        self._recent: OrderedDict[tuple[str, str], IdempotencyKey] = OrderedDict()

    def stop_waiting(self) -> None:
        """The process is about to end: whoever waits gets the present state, and nobody begins to wait."""
        self._stopping = True

    async def accept(
        self,
        new: Sequence[NewTask],
        *,
        batch: NewBatch | None,
        fingerprint: bytes,
        caller: Caller,
        wait_s: float,
    ) -> Answer:
        """Store the tasks (and their batch) under the caller's key.

        Raises NotAccepted, AcceptanceUnknown, Conflict (another request under the key, a limit), BadInput (a limit).
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
        try:
            look = await self._store(Intent(tasks=new, batch=batch, key=key))
        except (UniqueViolation, NotAccepted):
            replayed = await self.replayed(caller, fingerprint, account_id=account_id, wait_s=wait_s)
            if replayed is None:
                raise
            return replayed
        self._remember(key)
        self._engine.accepted(account_id, batch=batch is not None)
        return await self._wait_for_end(kind, resource_id, account_id=account_id, wait_s=wait_s, look=look)

    async def check_target(self, task: NewTask) -> None:
        """What ``accept`` would say of the order that the task is about. Raises NotAsSeen, Unavailable."""
        await self._admission.check_target(task)

    async def replayed(self, caller: Caller, fingerprint: bytes, *, account_id: str, wait_s: float) -> Answer | None:
        """What this key stands for already, as it is now; None for a new one. Raises Conflict for another request."""
        if caller.idem_key is None:
            return None
        earlier = await self._find_key(caller.principal, caller.idem_key)
        if earlier is None:
            return None
        if earlier.fingerprint != fingerprint:
            raise Conflict("this Idempotency-Key was used for another request", code="IDEMPOTENCY_KEY_REUSED")
        answer = await self._wait_for_end(
            earlier.kind, earlier.resource_id, account_id=account_id, wait_s=wait_s, look="at_once"
        )
        return replace(answer, replayed=True)

    async def _find_key(self, principal: str, idem_key: str) -> IdempotencyKey | None:
        """While the database is away, what this process remembers: a known key must not read like a new request."""
        try:
            async with self._database.connection() as connection:
                return await idempotency_store.find_key(connection, principal, idem_key)
        except Unavailable as error:
            remembered = self._recent.get((principal, idem_key))
            if remembered is None:
                raise NotAccepted(f"the order could not be stored: {error}") from error
            return remembered

    def _remember(self, key: IdempotencyKey | None) -> None:
        if key is None:
            return
        self._recent[key.principal, key.idem_key] = key
        if len(self._recent) > KEYS_REMEMBERED:
            self._recent.popitem(last=False)

    async def _store(self, intent: Intent) -> Look:
        """Store exactly once, also when the connection breaks during the commit; then it may have ended meanwhile.

        Raises UniqueViolation when the key was used before, BadInput, LimitReached, NotAccepted, AcceptanceUnknown.
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
                if commit_was_cut_off and await self._is_stored(intent.tasks[0].task_id):
                    return "at_once"
                raise
            except Unavailable as error:
                if not commit_was_cut_off:
                    raise NotAccepted(f"the order could not be stored: {error}") from error
            else:
                return "after_a_change"
        raise AcceptanceUnknown

    async def _store_allowed(self, intent: Intent) -> None:
        """Store it, fetching what admission wants to know in between. Raises Unavailable, CommitCutOff, and those."""
        try:
            await self._store_once(intent, partial(self._admission.admit, intent=intent))
        except MissingInput as error:
            if error.missing == "account_row":
                await self._admission.add_account(intent.account_id)
                await self._store_allowed(intent)  # once: the row stays
            else:
                positions = await self._admission.read_positions(intent.account_id)
                await self._store_once(
                    intent, partial(self._admission.admit_restricted, intent=intent, positions=positions)
                )

    async def _store_once(self, intent: Intent, admit: Callable[[Tx], Awaitable[None]]) -> None:
        """One transaction. Raises CommitCutOff when nobody knows whether it went through."""
        committing = False
        try:
            async with self._database.transaction() as tx:
                await admit(tx)
                committing = True
        except Unavailable as error:
            if committing:
                raise CommitCutOff from error
            if intent.key is not None and isinstance(error.__cause__, LockNotAvailable):
                # another request under this key has stored it and not committed yet: it may do so any moment
                raise AcceptanceUnknown("the same key is being stored at this moment") from error
            raise

    async def _is_stored(self, task_id: UUID) -> bool:
        try:
            async with self._database.connection() as connection:
                return await new_task_store.is_stored(connection, task_id)
        except Unavailable as error:
            raise AcceptanceUnknown from error

    async def _wait_for_end(
        self,
        kind: Kind,
        resource_id: UUID,
        *,
        account_id: str,
        wait_s: float,
        look: Look,
    ) -> Answer:
        """The resource once it is at its end, or as it is when the wait is over; never an error.

        What was stored a moment ago is first looked at when something has become of it: sending it comes first.
        """
        ends = self._clock.monotonic() + wait_s
        with self._engine.wakeups(account_id).waiter() as waiter:
            if look == "after_a_change" and not self._stopping:
                await waiter.wait(min(wait_s, _LOOK_AGAIN_S))
            while True:
                document, final = await self._present_state(kind, resource_id, account_id=account_id)
                left = ends - self._clock.monotonic()
                if final or left <= 0 or self._stopping:
                    return Answer(kind=kind, resource_id=resource_id, document=document, final=final)
                await waiter.wait(min(left, _LOOK_AGAIN_S))

    async def _present_state(self, kind: Kind, resource_id: UUID, *, account_id: str) -> tuple[Mapping[str, Any], bool]:
        try:
            if kind == "batch":
                return await self._queries.batch_now(resource_id)
            task = await self._queries.task(resource_id)
        except Unavailable as error:
            logger.warning("{} {} is stored and cannot be read: {}", kind, resource_id, error)
            return unreadable(kind, resource_id, account_id=account_id), False
        return task_document(task), task.status in FINISHED


class CommitCutOff(Exception):
    """The connection broke while the commit was on its way."""


def unreadable(kind: Kind, resource_id: UUID, *, account_id: str) -> Mapping[str, Any]:
    """What can be said of something that is stored while the database cannot be asked: nothing but that."""
    status = BatchStatus.RUNNING if kind == "batch" else TaskStatus.IN_DOUBT
    message = "it is stored, and its present state cannot be read while the database is away"
    return {
        f"{kind}_id": str(resource_id),
        "account_id": account_id,
        "status": str(status),
        "sent": str(Sent.UNKNOWN),
        "last_error": {"code": "DATABASE_UNAVAILABLE", "message": message},
    }
