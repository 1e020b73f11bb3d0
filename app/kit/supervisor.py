"""Named background tasks. One that ends without being stopped ends the process, in order.

A loop that dies unnoticed is how a service goes on answering ``ok`` while no tick arrives. So every loop is started
here, and nothing else in the service calls ``create_task``. When ``failed`` is set, the serving command stops and exits
with a code that makes the platform start the process again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from typing import Any

from loguru import logger


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskFailure:
    """A task that ended by itself; ``error`` None: without an exception, although it is meant to run for ever."""

    name: str
    error: BaseException | None


class Supervisor:
    """Starts and stops background tasks. ``failed`` is set when one ends by itself, and ``failures`` says which."""

    def __init__(self) -> None:
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._stopping = False
        self.failed: asyncio.Event = asyncio.Event()
        self.failures: list[TaskFailure] = []

    def start(self, name: str, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run a loop that is meant to live as long as the service. Names are unique."""
        if name in self._tasks and not self._tasks[name].done():
            coroutine.close()
            raise ValueError(f"a task named {name} is already running")
        task = asyncio.create_task(coroutine, name=name)
        self._tasks[name] = task
        task.add_done_callback(self._on_done)
        return task

    def _on_done(self, task: asyncio.Task[None]) -> None:
        if self._stopping:
            return
        name = task.get_name()
        error = None if task.cancelled() else task.exception()
        self.failures.append(TaskFailure(name=name, error=error))
        if error is None:
            logger.bind(task=name).error("background task ended although it should run for ever")
        else:
            logger.bind(task=name).opt(exception=error).error("background task crashed")
        self.failed.set()

    def states(self) -> Mapping[str, str]:
        """``running | done | cancelled | crashed`` by task name, for the liveness probe."""
        return {name: _state(task) for name, task in self._tasks.items()}

    async def stop(self, *, timeout: float = 5.0) -> list[str]:
        """Cancel all, last started first, and wait. Returns the names of tasks that did not end in time."""
        self._stopping = True
        running = [task for task in reversed(self._tasks.values()) if not task.done()]
        for task in running:
            task.cancel()
        if not running:
            return []
        _, pending = await asyncio.wait(running, timeout=timeout)
        return [task.get_name() for task in pending]


def _state(task: asyncio.Task[None]) -> str:
    if not task.done():
        return "running"
    if task.cancelled():
        return "cancelled"
    return "done" if task.exception() is None else "crashed"
