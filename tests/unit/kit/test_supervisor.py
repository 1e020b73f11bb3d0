"""A background task that ends by itself is a failure of the process; one that is stopped is none."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from app.kit.supervisor import Supervisor


async def returns() -> None:
    return


async def crashes() -> None:
    raise ValueError("broken")


async def cancels_itself() -> None:
    raise asyncio.CancelledError


async def for_ever() -> None:
    await asyncio.Event().wait()


async def ends_late() -> None:
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.Event().wait()
    await asyncio.sleep(0.2)


@pytest.mark.parametrize(
    ("loop", "error", "state"),
    [(returns, None, "done"), (crashes, ValueError, "crashed"), (cancels_itself, None, "cancelled")],
)
async def test_a_loop_that_ends_by_itself_is_a_failure(
    loop: Callable[[], Coroutine[Any, Any, None]], error: type[Exception] | None, state: str
) -> None:
    """Also one that counts as cancelled without having been stopped: its account would have no sender."""
    supervisor = Supervisor()
    supervisor.start("loop", loop())
    async with asyncio.timeout(20):
        await supervisor.failed.wait()
    (failure,) = supervisor.failures
    assert failure.name == "loop"
    assert type(failure.error) is (error or type(None))
    assert supervisor.states() == {"loop": state}


async def test_a_stopped_loop_is_no_failure() -> None:
    """The stop cancels all of them and waits."""
    supervisor = Supervisor()
    supervisor.start("one", for_ever())
    supervisor.start("two", for_ever())
    assert supervisor.states() == {"one": "running", "two": "running"}
    assert await supervisor.stop() == []
    assert supervisor.states() == {"one": "cancelled", "two": "cancelled"}
    assert (supervisor.failures, supervisor.failed.is_set()) == ([], False)


async def test_a_name_is_used_once_at_a_time() -> None:
    """Two loops under one name would be two senders of one account."""
    supervisor = Supervisor()
    supervisor.start("loop", for_ever())
    with pytest.raises(ValueError, match="already running"):
        supervisor.start("loop", for_ever())
    await supervisor.stop()


async def test_a_loop_that_does_not_end_in_time_is_named() -> None:
    """The stop is bounded, and names the tasks that did not end."""
    supervisor = Supervisor()
    supervisor.start("stubborn", ends_late())
    await asyncio.sleep(0)
    assert await supervisor.stop(timeout=0.05) == ["stubborn"]
    await asyncio.sleep(0.3)
