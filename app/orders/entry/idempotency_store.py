"""SQL of accepting: the intent becomes durable, with its idempotency key, in one round trip and one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal
from uuid import UUID

from psycopg.types.json import Jsonb

from app.db.postgres import Tx
from app.orders.state.model import OnFilled, Operation, Purpose, TaskStatus

Kind = Literal["task", "batch"]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewTask:
    """A task as it is first written. ``fresh_s`` counts from the commit: after that it is never sent.

    ``replaces``: the order that has to end, without filling any further, before this one may go.
    ``only_if``: versions of the order that it is ``about``, one of which must be the present one when it is stored.
    """

    task_id: UUID
    account_id: str
    operation: Operation
    trade_date: date
    instrument: str
    request: dict[str, Any]
    fresh_s: float
    batch_id: UUID | None = None
    leg: int | None = None
    wave: int = 0
    purpose: Purpose = "client"
    user_tag: str | None = None
    tag_base: str | None = None
    target_order_id: str | None = None
    reduces: bool = False
    supersedes: UUID | None = None
    status: TaskStatus = TaskStatus.PENDING
    error: dict[str, Any] | None = None
    only_if: frozenset[str] | None = None
    replaces: str | None = None

    @property
    def about(self) -> str | None:
        """The order that it changes, cancels or takes the place of."""
        return self.target_order_id or self.replaces

    @property
    def priority(self) -> int:
        """Lower goes first: exits go with the cancels, before modifications, before what opens a position."""
        return Operation.CANCEL.priority if self.reduces else self.operation.priority


@dataclass(frozen=True, slots=True, kw_only=True)
class NewBatch:
    batch_id: UUID
    account_id: str
    rollback_on_failure: bool
    on_filled: OnFilled
    total_orders: int
    deadline_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class IdempotencyKey:
    """Who used which key for what; the fingerprint tells a repetition from another request under the same key."""

    principal: str
    idem_key: str
    fingerprint: bytes
    kind: Kind
    resource_id: UUID


async def insert_key(tx: Tx, key: IdempotencyKey) -> None:
    """Raises psycopg.errors.UniqueViolation when the key was used before (waits for a concurrent user's commit)."""
    await tx.execute(
        "INSERT INTO idempotency_key (principal, idem_key, fingerprint, kind, resource_id) VALUES (%s, %s, %s, %s, %s)",
        (key.principal, key.idem_key, key.fingerprint, key.kind, key.resource_id),
    )


async def find_key(tx: Tx, principal: str, idem_key: str) -> IdempotencyKey | None:
    cursor = await tx.execute(
        "SELECT fingerprint, kind, resource_id FROM idempotency_key WHERE principal = %s AND idem_key = %s",
        (principal, idem_key),
    )
    row = await cursor.fetchone()
    if row is None:
        return None
    return IdempotencyKey(
        principal=principal, idem_key=idem_key, fingerprint=bytes(row[0]), kind=row[1], resource_id=row[2]
    )


async def is_stored(tx: Tx, task_id: UUID) -> bool:
    cursor = await tx.execute("SELECT 1 FROM order_task WHERE task_id = %s", (task_id,))
    return await cursor.fetchone() is not None


async def insert_batch(tx: Tx, batch: NewBatch) -> None:
    await tx.execute(
        """INSERT INTO batch (batch_id, account_id, status, rollback_on_failure, on_filled, total_orders, deadline_at)
           VALUES (%s, %s, 'running', %s, %s, %s, now() + make_interval(secs => %s))""",
        (
            batch.batch_id,
            batch.account_id,
            batch.rollback_on_failure,
            batch.on_filled,
            batch.total_orders,
            batch.deadline_s,
        ),
    )


async def insert_tasks(tx: Tx, tasks: Sequence[NewTask]) -> None:
    async with tx.cursor() as cursor:
        await cursor.executemany(
            """INSERT INTO order_task (task_id, account_id, operation, status, batch_id, leg, wave, purpose, trade_date,
                 instrument, request, user_tag, tag_base, target_order_id, priority, reduces, supersedes, send_by,
                 last_error, finished_at, replaces, replaces_filled)
               VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s,
                 now() + make_interval(secs => %s), %s, CASE WHEN %s THEN now() END, %s,
                 (SELECT b.filled_quantity FROM broker_order b WHERE b.account_id = %s AND b.order_id = %s
                  ORDER BY b.trade_date DESC LIMIT 1))""",
            [_values(task) for task in tasks],
        )


def _values(task: NewTask) -> tuple[Any, ...]:
    return (
        task.task_id,
        task.account_id,
        task.operation,
        task.status,
        task.batch_id,
        task.leg,
        task.wave,
        task.purpose,
        task.trade_date,
        task.instrument,
        Jsonb(task.request),
        task.user_tag,
        task.tag_base,
        task.target_order_id,
        task.priority,
        task.reduces,
        task.supersedes,
        task.fresh_s,
        None if task.error is None else Jsonb(task.error),
        task.status is not TaskStatus.PENDING,
        task.replaces,
        task.account_id,
        task.replaces,
    )


async def deployment_code(tx: Tx, *, fresh: str) -> str:
    """The two characters that every tag of this database begins with; ``fresh`` is used when there are none yet."""
    await tx.execute("INSERT INTO deployment (code) VALUES (%s) ON CONFLICT DO NOTHING", (fresh,))
    cursor = await tx.execute("SELECT code FROM deployment")
    row = await cursor.fetchone()
    if row is None:
        raise LookupError("deployment has no row")
    return str(row[0])
