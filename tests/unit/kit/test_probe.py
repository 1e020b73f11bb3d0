"""A bound that holds."""

import asyncio

import pytest

from app.kit.probe import Probe


async def test_a_result_in_time_is_returned() -> None:
    """And each later call runs the check anew."""
    answers = iter([1, 2])

    async def check() -> int:
        return next(answers)

    probe = Probe(check, timeout_s=20)
    assert [await probe.run(), await probe.run()] == [1, 2]


async def test_a_check_that_resists_its_cancellation_does_not_delay_callers() -> None:
    """As a driver that waits for a hanging server to cancel."""
    released = asyncio.Event()

    async def stubborn() -> None:
        try:
            await released.wait()
        except asyncio.CancelledError:
            await released.wait()

    probe = Probe(stubborn, timeout_s=0.02)
    for _ in range(2):
        with pytest.raises(TimeoutError):
            await probe.run()
    assert not released.is_set()  # the check still runs: the callers did not wait for it
    released.set()
    await asyncio.sleep(0)


async def test_callers_at_the_same_time_share_one_check() -> None:
    """A flood of calls is one round trip."""
    runs = 0

    async def check() -> int:
        nonlocal runs
        runs += 1
        await asyncio.sleep(0.01)
        return runs

    probe = Probe(check, timeout_s=20)
    assert await asyncio.gather(*(probe.run() for _ in range(20))) == [1] * 20


async def test_an_error_reaches_the_callers() -> None:
    """And the next call runs the check again."""

    async def broken() -> None:
        raise ConnectionError("gone")

    probe = Probe(broken, timeout_s=20)
    for _ in range(2):
        with pytest.raises(ConnectionError):
            await probe.run()
