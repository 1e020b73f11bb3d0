"""Waits for the outcome of an accepted request, and makes the answer that the client gets.

From the commit on no answer may look like a failure, because client libraries repeat failures by themselves. While the
database cannot be read, the answer says that the outcome is not known yet.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

from loguru import logger

from app.broker.outcomes import Sent
from app.errors import Unavailable
from app.kit.answer_time import seconds_left
from app.kit.clock import Clock
from app.orders.engine.order_engine import OrderEngine
from app.orders.entry.idempotency import Kind
from app.orders.state.documents import task_document
from app.orders.state.model import FINISHED, BatchStatus, TaskStatus
from app.orders.views.queries import OrderQueries

_READ_EVERY_S = 0.5
"""Between two reads while a client waits and no wake-up comes: another replica may have sent the order."""

FirstRead = Literal["immediately", "after_a_change"]
"""When a waiting client's resource is read first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The answer to a client's request."""

    kind: Kind
    resource_id: UUID
    document: Mapping[str, Any]  # the task or batch as it is now
    final: bool  # it is finished, so waiting longer would change nothing
    replayed: bool = False  # the request was accepted before, under the same key


class OutcomeWait:
    """``answer`` never raises Unavailable."""

    def __init__(self, *, engine: OrderEngine, queries: OrderQueries, clock: Clock) -> None:
        self._engine = engine
        self._queries = queries
        self._clock = clock
        self._stopping = False

    def stop(self) -> None:
        """Answer all waiting clients with the present state, and let no other client wait: the process stops."""
        self._stopping = True

    async def answer(
        self, kind: Kind, resource_id: UUID, *, account_id: str, wait_s: float, first_read: FirstRead
    ) -> Answer:
        """The resource once it is finished, or as it is after ``wait_s`` seconds.

        ``after_a_change``, for a resource that was stored just now: the sender needs the database first.
        """
        wait_s = min(wait_s, seconds_left())  # what came before may have used up more than it should
        ends = self._clock.monotonic() + wait_s
        with self._engine.wakeups(account_id).waiter() as waiter:
            if first_read == "after_a_change" and not self._stopping:
                await waiter.wait(min(wait_s, _READ_EVERY_S))
            while True:
                document, final = await self._present_state(kind, resource_id, account_id=account_id)
                left = ends - self._clock.monotonic()
                if final or left <= 0 or self._stopping:
                    return Answer(kind=kind, resource_id=resource_id, document=document, final=final)
                await waiter.wait(min(left, _READ_EVERY_S))

    async def _present_state(self, kind: Kind, resource_id: UUID, *, account_id: str) -> tuple[Mapping[str, Any], bool]:
        try:
            if kind == "batch":
                return await self._queries.batch_now(resource_id)
            if kind == "mass_cancel":
                return await self._queries.mass_cancel_now(resource_id)
            task = await self._queries.task(resource_id)
        except Unavailable as error:
            fields = {"account_id": account_id, f"{kind}_id": resource_id, "reason": error.message}
            logger.bind(**fields).warning("what was accepted could not be read back")
            return _unreadable(kind, resource_id, account_id=account_id), False
        return task_document(task), task.status in FINISHED


def _unreadable(kind: Kind, resource_id: UUID, *, account_id: str) -> Mapping[str, Any]:
    """The document of a stored resource that cannot be read: only its ids are known."""
    status = TaskStatus.IN_DOUBT if kind == "task" else BatchStatus.RUNNING
    message = "it is stored, and its present state cannot be read while the database is away"
    return {
        f"{kind}_id": str(resource_id),
        "account_id": account_id,
        "status": str(status),
        "sent": str(Sent.UNKNOWN),
        "last_error": {"code": "DATABASE_UNAVAILABLE", "message": message},
    }
