"""Waiting for a condition that a test can only poll."""

import asyncio
from collections.abc import Awaitable, Callable


async def until(check: Callable[[], Awaitable[bool]], *, within_s: float = 20.0, every_s: float = 0.02) -> None:
    """Poll until the check is true. Raises TimeoutError after ``within_s``, which no slow machine should reach."""
    async with asyncio.timeout(within_s):
        while not await check():
            await asyncio.sleep(every_s)
