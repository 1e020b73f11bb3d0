"""What this process has sent, whatever the database remembers.

A standby that was promoted without the last commits shows a task as unsent that was sent a second ago. No new lease
term begins then, so nothing reads the book first, and only the process that has sent it knows.
"""

from __future__ import annotations

from collections import OrderedDict
from uuid import UUID

from app.orders.state.model import Task

_SENDS_REMEMBERED = 100_000
"""Tasks whose last fence is kept, the oldest dropped first: those of at least a minute, however many accounts send. A
claim that runs out, and a commit that a database lost, are seconds old."""


class SendMemory:
    """The last fence under which bytes of a task may have left, by task."""

    def __init__(self) -> None:
        self._fences: OrderedDict[UUID, int] = OrderedDict()

    def remember(self, task: Task) -> None:
        """A request of this claim leaves now."""
        self._fences[task.task_id] = task.fence
        if len(self._fences) > _SENDS_REMEMBERED:
            self._fences.popitem(last=False)

    def forget(self, task: Task) -> None:
        """It is proven that no byte left."""
        self._fences.pop(task.task_id, None)

    def sent_after(self, task: Task, fence: int) -> bool:
        """Whether it was sent under a later fence than this one, by this process."""
        return self._fences.get(task.task_id, 0) > fence
