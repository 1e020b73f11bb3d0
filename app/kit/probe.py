"""A check with a bound that holds even when the check does not let itself be cancelled in time.

A database driver reacts to a cancellation by sending one to the server, which takes long when the server hangs. So the
check runs as a task of its own, and callers wait for the bound and no longer. One check runs at a time: callers that
come meanwhile share its result, so that a flood of requests for the health is one round trip.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Probe(Generic[T]):
    """``check`` is what is run; ``timeout_s`` bounds every wait for it."""

    def __init__(self, check: Callable[[], Coroutine[Any, Any, T]], *, timeout_s: float) -> None:
        self._check = check
        self._timeout_s = timeout_s
        self._running: asyncio.Task[T] | None = None

    async def run(self) -> T:
        """The result of the check. Raises TimeoutError when it takes too long, and what the check raises."""
        task = self._running
        if task is None or task.done():
            task = self._running = asyncio.create_task(self._check())
            task.add_done_callback(_take_exception)
        await asyncio.wait([task], timeout=self._timeout_s)
        if not task.done():
            task.cancel()
            raise TimeoutError
        if task.cancelled():
            raise TimeoutError
        return task.result()


def _take_exception(task: asyncio.Task[Any]) -> None:
    """An error that comes after the last caller has stopped waiting is dropped on purpose."""
    if not task.cancelled():
        task.exception()
