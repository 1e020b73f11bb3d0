"""What the order engine counts for metrics: plain integers that only rise, kept where things happen.

A task is counted when its new status is decided, which is within the transaction that stores it: one that is undone by
a lost database is counted again when it is decided again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from app.kit.histogram import Histogram, LagCounter
from app.orders.state.model import Batch, Operation, Task, TaskStatus

TASK_BOUNDS_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
BATCH_BOUNDS_S = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)
WAIT_BOUNDS_S = (0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
_ANSWERED = frozenset({TaskStatus.COMPLETED, TaskStatus.FAILED})


def _per_operation() -> dict[Operation, LagCounter]:
    return {operation: LagCounter(TASK_BOUNDS_S) for operation in Operation}


@dataclass(slots=True)
class OrderCounters:
    """Over all accounts of this process."""

    tasks: Counter[tuple[str, str]] = field(default_factory=Counter)
    batches: Counter[str] = field(default_factory=Counter)
    alarms: Counter[str] = field(default_factory=Counter)
    batch_seconds: LagCounter = field(default_factory=lambda: LagCounter(BATCH_BOUNDS_S))
    broker_wait: LagCounter = field(default_factory=lambda: LagCounter(WAIT_BOUNDS_S))
    _task_seconds: dict[Operation, LagCounter] = field(default_factory=_per_operation)

    def settled(self, task: Task) -> None:
        """A task reached a new status; with the broker's answer, how long that took from its acceptance."""
        self.tasks[str(task.operation), str(task.status)] += 1
        if task.status in _ANSWERED and task.attempts:
            self._task_seconds[task.operation].observe((task.updated_at - task.created_at).total_seconds())

    def batch_settled(self, batch: Batch) -> None:
        """A batch reached a new status; ended ones are timed."""
        if batch.completed_at is not None:
            self.batches[str(batch.status)] += 1
            self.batch_seconds.observe((batch.completed_at - batch.created_at).total_seconds())

    def task_seconds(self) -> Mapping[str, Histogram]:
        return {str(operation): counter.snapshot() for operation, counter in self._task_seconds.items()}


@dataclass(slots=True)
class ReadCounters:
    """Counters for metrics; they only rise."""

    reads: int = 0
    failed_reads: int = 0
    late_orders: int = 0
    mismatches: int = 0
    orphans: int = 0
