"""What a request wants stored, before it is known whether it may be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from app.broker.orders import Operation
from app.orders.entry.idempotency import IdempotencyKey
from app.orders.state.model import TaskStatus
from app.orders.state.new_tasks import NewBatch, NewTask


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """What is to be stored; all tasks belong to one account."""

    tasks: Sequence[NewTask]
    batch: NewBatch | None = None
    key: IdempotencyKey | None = None

    @property
    def account_id(self) -> str:
        return self.tasks[0].account_id

    @property
    def placements(self) -> list[NewTask]:
        """The orders that a client wants sent; a leg that failed beforehand is not one."""
        wanted = (task for task in self.tasks if task.operation is Operation.PLACE)
        return [task for task in wanted if task.status is TaskStatus.PENDING]

    @property
    def conditional(self) -> NewTask | None:
        """What is meant for a certain version of an order."""
        task = self.tasks[0]
        return None if task.only_if is None else task

    @property
    def modified(self) -> str | None:
        task = self.tasks[0]
        return task.target_order_id if task.operation is Operation.MODIFY else None
