"""A cancelled loop ends, whatever its connection raises while it is closed."""

from __future__ import annotations

import asyncio

import pytest

from app.kit.cancellation import cancel_requests, end_if_cancelled


class _BreaksOnExit:
    """A connection that is broken already: closing it raises."""

    async def __aenter__(self) -> None: ...

    async def __aexit__(self, *exc: object) -> None:
        raise OSError("already gone")


async def test_an_error_in_place_of_a_cancellation_still_ends_the_task() -> None:
    """Without the check the loop would catch the error and go on for ever."""

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


async def test_a_task_that_was_not_cancelled_goes_on() -> None:
    """The check does nothing otherwise."""
    end_if_cancelled()


async def test_a_cancelled_task_may_clean_up() -> None:
    """What runs after the cancellation is not stopped again, unless the task is cancelled again."""

    async def cleaning() -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            end_if_cancelled(beyond=cancel_requests())
        return "clean"

    task = asyncio.create_task(cleaning())
    await asyncio.sleep(0)
    task.cancel()
    assert await task == "clean"
