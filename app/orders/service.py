"""The door to the order engine: checks, makes the intent durable, wakes the sender, waits, and tells the truth.

Once ``accept`` has committed, the order is ours to bring to an end: the caller may hang up, the process may die. A
wait that ends changes nothing about what happens. The same key with the same request is the same resource for ever.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal
from uuid import UUID

from psycopg.errors import UniqueViolation

from app.broker.orders import OrderChanges
from app.broker.outcomes import Sent
from app.broker.port import WireRequest
from app.db.postgres import Database, Tx
from app.errors import Conflict, Unavailable
from app.kit.clock import Clock
from app.kit.ids import IdSource
from app.orders.documents import broker_document, task_document
from app.orders.engine import OrderEngine
from app.orders.intake import Intake, OrderLine, fingerprint_of
from app.orders.model import FINISHED, OnFilled, Operation, TaskStatus
from app.orders.preflight import Sequencing, margin_shortfall, waves_of
from app.orders.queries import OrderQueries
from app.orders.rules import OrderRules
from app.orders.store import accept
from app.orders.store.accept import IdempotencyKey, Kind, NewBatch, NewTask

_LOOK_AGAIN_S = 0.5
"""While waiting for a result: how often to look even without a signal (another replica may have done the work)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who asks, and under which idempotency key (None: the caller takes no protection against repeating itself)."""

    principal: str
    idem_key: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """``document`` is the task or batch as it is now; ``final``: it is at its end; ``replayed``: the key was known."""

    kind: Kind
    resource_id: UUID
    document: Mapping[str, Any]
    final: bool
    replayed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchOptions:
    """How a batch is to be treated. ``order``: as the legs were given, or what releases margin first."""

    rollback_on_failure: bool = True
    on_filled: OnFilled = "report"
    order: Sequencing = "as_given"
    check_margin: Literal["ask", "skip"] = "ask"


class NotAccepted(Unavailable):
    """The intent could not be stored. ``sent`` is ``unknown`` only when the commit itself was cut off."""

    default_code = "ORDER_NOT_ACCEPTED"

    def __init__(self, message: str, *, sent: Sent) -> None:
        super().__init__(message, code="DATABASE_UNAVAILABLE")
        self.sent = str(sent)
        self.retryable = "yes" if sent is Sent.NO else "after_check"


class OrderService:
    """What the API calls. Raises BadInput, Conflict (a reused key), NotFound, NotAccepted."""

    def __init__(
        self,
        *,
        database: Database,
        engine: OrderEngine,
        queries: OrderQueries,
        intake: Intake,
        rules: OrderRules,
        clock: Clock,
        ids: IdSource,
    ) -> None:
        self._database = database
        self._engine = engine
        self.queries = queries
        self._intake = intake
        self._rules = rules
        self._clock = clock
        self._ids = ids

    async def place(self, line: OrderLine, *, account_id: str, caller: Caller, wait_s: float) -> Answer:
        """Accept one order and wait up to ``wait_s`` for the broker's answer."""
        line = self.checked([line], account_id=account_id, loc=())[0]
        task = self._intake.place_task(line, account_id=account_id)
        fingerprint = fingerprint_of("place", account_id, [line])
        return await self._accept([task], batch=None, fingerprint=fingerprint, caller=caller, wait_s=wait_s)

    async def place_batch(
        self, lines: Sequence[OrderLine], *, account_id: str, options: BatchOptions, caller: Caller, wait_s: float
    ) -> Answer:
        """Accept up to twenty orders as one batch and wait up to ``wait_s`` for its end.

        With rollback the broker is asked first whether there is margin for all of it; if not, no leg is sent.
        """
        lines = self.checked(lines, account_id=account_id, loc=("orders",))
        fingerprint = fingerprint_of("batch", account_id, lines, **asdict(options))
        earlier = await self._replayed(caller, fingerprint, account_id=account_id, wait_s=wait_s)
        if earlier is not None:
            return earlier
        requests = [line.request for line in lines]
        broker = self._engine.broker(account_id)
        shortfall = None
        if options.check_margin == "ask" and options.rollback_on_failure and len(lines) > 1:
            shortfall = await margin_shortfall(broker, requests)
        waves = await waves_of(broker, requests, sequencing=options.order)
        batch = NewBatch(
            batch_id=self._ids.uuid(),
            account_id=account_id,
            rollback_on_failure=options.rollback_on_failure,
            on_filled=options.on_filled,
            total_orders=len(lines),
            deadline_s=min(self._rules.batch_deadline_s, 30.0 * len(lines)),
        )
        legs = [
            self._intake.place_task(line, account_id=account_id, batch_id=batch.batch_id, leg=leg, wave=wave)
            for leg, (line, wave) in enumerate(zip(lines, waves, strict=True))
        ]
        if shortfall is not None:
            legs = [replace(leg, status=TaskStatus.FAILED, error=shortfall.to_json()) for leg in legs]
        return await self._accept(legs, batch=batch, fingerprint=fingerprint, caller=caller, wait_s=wait_s)

    async def modify(
        self, order_id: str, changes: OrderChanges, *, account_id: str | None, caller: Caller, wait_s: float
    ) -> Answer:
        """Accept a modification of an order that the book has shown."""
        order = await self._known(order_id, account_id)
        self._intake.check_changes(changes, order)
        request = {"order_id": order_id, "variety": order["variety"], "changes": changes.to_json()}
        return await self._command(Operation.MODIFY, order, request, caller=caller, wait_s=wait_s)

    async def cancel(self, order_id: str, *, account_id: str | None, caller: Caller, wait_s: float) -> Answer:
        """Accept the cancellation of an order that the book has shown, under the order's own variety."""
        order = await self._known(order_id, account_id)
        request = {"order_id": order_id, "variety": order["variety"]}
        if order.get("parent_order_id"):
            request["parent_order_id"] = order["parent_order_id"]
        return await self._command(Operation.CANCEL, order, request, caller=caller, wait_s=wait_s)

    def checked(self, lines: Sequence[OrderLine], *, account_id: str, loc: tuple[str, ...]) -> list[OrderLine]:
        """The orders as they would be sent; nothing is stored. Raises BadInput, or NotFound for the account."""
        self._engine.signals(account_id)
        return self._intake.checked(lines, loc=loc)

    def preview(self, lines: Sequence[OrderLine], *, account_id: str, loc: tuple[str, ...]) -> list[WireRequest]:
        """The exact requests that the broker would get; nothing is stored or sent. Raises as ``checked``."""
        lines = self.checked(lines, account_id=account_id, loc=loc)
        return [self._engine.preview(account_id, line.request) for line in lines]

    async def history(self, order_id: str, *, account_id: str) -> list[Mapping[str, Any]]:
        """The states that the broker recorded for an order, oldest first. Raises BrokerError."""
        rows = await self._engine.broker(account_id).orders.order_history(order_id)
        return [broker_document(row, account_id=account_id) for row in rows]

    async def _command(
        self, operation: Operation, order: Mapping[str, Any], request: dict[str, Any], *, caller: Caller, wait_s: float
    ) -> Answer:
        account_id = str(order["account_id"])
        task = self._intake.command_task(operation, order, request)
        fingerprint = fingerprint_of(operation, account_id, [], request=request)
        return await self._accept([task], batch=None, fingerprint=fingerprint, caller=caller, wait_s=wait_s)

    async def _known(self, order_id: str, account_id: str | None) -> Mapping[str, Any]:
        order = await self.queries.order(order_id, account_id=account_id)
        self._engine.signals(str(order["account_id"]))
        return order

    async def _accept(
        self,
        new: Sequence[NewTask],
        *,
        batch: NewBatch | None,
        fingerprint: bytes,
        caller: Caller,
        wait_s: float,
    ) -> Answer:
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
            await self._store(new, batch=batch, key=key)
        except UniqueViolation:
            replayed = await self._replayed(caller, fingerprint, account_id=account_id, wait_s=wait_s)
            if replayed is None:
                raise
            return replayed
        self._engine.accepted(account_id)
        return await self._wait_for_end(kind, resource_id, account_id=account_id, wait_s=wait_s)

    async def _store(self, new: Sequence[NewTask], *, batch: NewBatch | None, key: IdempotencyKey | None) -> None:
        """Key, batch and tasks in one transaction and one round trip. Raises NotAccepted, UniqueViolation."""
        committing = False
        try:
            async with self._database.transaction() as tx:
                async with tx.pipeline():
                    await _insert(tx, new, batch=batch, key=key)
                committing = True
        except Unavailable as error:
            sent = Sent.UNKNOWN if committing else Sent.NO
            raise NotAccepted(f"the order could not be stored: {error}", sent=sent) from error

    async def _replayed(self, caller: Caller, fingerprint: bytes, *, account_id: str, wait_s: float) -> Answer | None:
        """What this key stands for already, as it is now; None for a new one. Raises Conflict for another request."""
        if caller.idem_key is None:
            return None
        async with self._database.connection() as connection:
            earlier = await accept.find_key(connection, caller.principal, caller.idem_key)
        if earlier is None:
            return None
        if earlier.fingerprint != fingerprint:
            raise Conflict("this Idempotency-Key was used for another request", code="IDEMPOTENCY_KEY_REUSED")
        answer = await self._wait_for_end(earlier.kind, earlier.resource_id, account_id=account_id, wait_s=wait_s)
        return replace(answer, replayed=True)

    async def _wait_for_end(self, kind: Kind, resource_id: UUID, *, account_id: str, wait_s: float) -> Answer:
        """The resource once it is at its end, or as it is when the wait is over."""
        load: Callable[[UUID], Awaitable[tuple[Mapping[str, Any], bool]]]
        load = self.queries.batch_now if kind == "batch" else self._task_now
        ends = self._clock.monotonic() + wait_s
        with self._engine.signals(account_id).waiter() as waiter:
            while True:
                document, final = await load(resource_id)
                left = ends - self._clock.monotonic()
                if final or left <= 0:
                    return Answer(kind=kind, resource_id=resource_id, document=document, final=final)
                await waiter.wait(min(left, _LOOK_AGAIN_S))

    async def _task_now(self, task_id: UUID) -> tuple[Mapping[str, Any], bool]:
        task = await self.queries.task(task_id)
        return task_document(task), task.status in FINISHED


async def _insert(tx: Tx, new: Sequence[NewTask], *, batch: NewBatch | None, key: IdempotencyKey | None) -> None:
    if key is not None:
        await accept.insert_key(tx, key)
    if batch is not None:
        await accept.insert_batch(tx, batch)
    await accept.insert_tasks(tx, new)
