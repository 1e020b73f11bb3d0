"""What a request wants stored. Values only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from app.broker.orders import Operation
from app.orders.entry.idempotency import IdempotencyKey
from app.orders.state.model import TaskStatus
from app.orders.state.new_tasks import NewBatch, NewTask


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """The rows of one request, which the risk check allows or refuses as a whole."""

    tasks: Sequence[NewTask]  # all of one account; the first one is the request's own
    batch: NewBatch | None = None  # None where the tasks are no batch
    key: IdempotencyKey | None = None  # None where the client sent none
    is_proven_new: bool = False  # after a loss of the database: the book has no order under its key

    @property
    def account_id(self) -> str:
        return self.tasks[0].account_id

    @property
    def placements(self) -> list[NewTask]:
        """The orders to send; a leg that is stored as failed, for want of margin, is none."""
        wanted = (task for task in self.tasks if task.operation is Operation.PLACE)
        return [task for task in wanted if task.status is TaskStatus.PENDING]

    @property
    def conditional(self) -> NewTask | None:
        """The task that applies to a certain version of an order only; None for others."""
        task = self.tasks[0]
        return None if task.only_if is None else task

    @property
    def modified(self) -> str | None:
        """The id of the order that it modifies; None for other operations."""
        task = self.tasks[0]
        return task.target_order_id if task.operation is Operation.MODIFY else None
