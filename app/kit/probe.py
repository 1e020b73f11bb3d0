"""A question with a bound that holds even when what is asked does not let itself be cancelled in time.

A database driver answers a cancellation by asking the server to cancel, which takes its own time when the server hangs.
So the question runs as a task of its own; who asks waits for the bound and no longer. One question is under way at a
time: whoever asks meanwhile shares its answer, and a flood of askers is still one round trip.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Probe(Generic[T]):
    """``ask`` raises TimeoutError after ``timeout_s``, and what the question itself raises."""

    def __init__(self, question: Callable[[], Coroutine[Any, Any, T]], *, timeout_s: float) -> None:
        self._question = question
        self._timeout_s = timeout_s
        self._asked: asyncio.Task[T] | None = None

    async def ask(self) -> T:
        task = self._asked
        if task is None or task.done():
            task = self._asked = asyncio.create_task(self._question())
            task.add_done_callback(_take_exception)
        await asyncio.wait([task], timeout=self._timeout_s)
        if not task.done():
            task.cancel()
            raise TimeoutError
        if task.cancelled():
            raise TimeoutError
        return task.result()


def _take_exception(task: asyncio.Task[Any]) -> None:
    """An error that arrives after everybody stopped waiting is told to nobody, on purpose."""
    if not task.cancelled():
        task.exception()
