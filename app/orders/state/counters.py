"""What the order engine counts for metrics: integers that only rise, counted where the event happens.

A task is counted when its new status is decided, inside the transaction that stores it. If the database is lost and the
transaction undone, the task is counted again when its status is decided again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from app.broker.orders import Operation
from app.kit.histogram import Histogram, LagCounter
from app.orders.state.model import Batch, Task, TaskStatus

TASK_BOUNDS_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
BATCH_BOUNDS_S = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)
WAIT_BOUNDS_S = (0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
_ANSWERED = frozenset({TaskStatus.COMPLETED, TaskStatus.FAILED})


def _per_operation() -> dict[Operation, LagCounter]:
    return {operation: LagCounter(TASK_BOUNDS_S) for operation in Operation}


@dataclass(slots=True)
class OrderCounters:
    """Of all accounts of this process."""

    tasks: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Tasks that reached a status, by operation and status."""
    batches: Counter[str] = field(default_factory=Counter)
    """Batches that ended, by status."""
    alarms: Counter[str] = field(default_factory=Counter)
    """New alarms, by kind."""
    account_failures: Counter[str] = field(default_factory=Counter)
    """Errors that ended the loops of an account, by account."""
    batch_seconds: LagCounter = field(default_factory=lambda: LagCounter(BATCH_BOUNDS_S))
    """Seconds from a batch's acceptance to its end."""
    broker_wait: LagCounter = field(default_factory=lambda: LagCounter(WAIT_BOUNDS_S))
    """Seconds that a task waited for the broker's rate limit before it was claimed."""
    _task_seconds: dict[Operation, LagCounter] = field(default_factory=_per_operation)

    def settled(self, task: Task) -> None:
        """Count a task's new status; for a task that was sent and answered, also the seconds since its acceptance."""
        self.tasks[str(task.operation), str(task.status)] += 1
        if task.status in _ANSWERED and task.attempts:
            self._task_seconds[task.operation].observe((task.updated_at - task.created_at).total_seconds())

    def batch_settled(self, batch: Batch) -> None:
        """Count a batch that ended, and the seconds since its acceptance. An open batch is not counted."""
        if batch.completed_at is not None:
            self.batches[str(batch.status)] += 1
            self.batch_seconds.observe((batch.completed_at - batch.created_at).total_seconds())

    def task_seconds(self) -> Mapping[str, Histogram]:
        """Seconds from acceptance to the broker's answer, by operation."""
        return {str(operation): counter.snapshot() for operation, counter in self._task_seconds.items()}


@dataclass(slots=True)
class ReadCounters:
    """What the reconciler of one account counts. The circuit breakers compare the first two to see a read succeed."""

    reads: int = 0  # order books received
    failed_reads: int = 0  # reads of the order book or trade book that failed
    late_orders: int = 0  # orders that appeared after their task was given up
    book_unreadable: str | None = None  # why the newest reads of the order book prove no absence; None: they do
