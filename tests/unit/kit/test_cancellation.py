"""A cancelled loop ends, whatever its connection raises while it is closed."""

from __future__ import annotations

import asyncio

import pytest

from app.kit.cancellation import end_if_cancelled


class _BreaksOnExit:
    """A connection that is broken already: closing it raises."""

    async def __aenter__(self) -> None: ...

    async def __aexit__(self, *exc: object) -> None:
        raise OSError("already gone")


async def test_an_error_in_place_of_a_cancellation_still_ends_the_task() -> None:
    """Without the question the loop would catch the error and go on for ever."""

    async def loop() -> None:
        while True:
            try:
                async with _BreaksOnExit():
                    await asyncio.Event().wait()
            except OSError:
                end_if_cancelled()

    task = asyncio.create_task(loop())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        async with asyncio.timeout(1):
            await task


async def test_a_task_that_nobody_cancelled_goes_on() -> None:
    """The question costs nothing otherwise."""
    end_if_cancelled()
