"""Waiting for a condition that a test can only poll, and loops that run meanwhile."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any


async def until(check: Callable[[], Awaitable[bool]], *, within_s: float = 20.0, every_s: float = 0.02) -> None:
    """Poll until the check is true. Raises TimeoutError after ``within_s``, which no slow machine should reach."""
    async with asyncio.timeout(within_s):
        while not await check():
            await asyncio.sleep(every_s)


@asynccontextmanager
async def running_tasks(*loops: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """These loops run while the block lasts; then they are cancelled, and any other error of theirs is raised."""
    tasks = [asyncio.create_task(loop) for loop in loops]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError):
                await task
