"""A bound that holds."""

import asyncio

import pytest

from app.kit.probe import Probe


async def test_an_answer_in_time_is_passed_on() -> None:
    """And each new question is asked anew."""
    answers = iter([1, 2])

    async def question() -> int:
        return next(answers)

    probe = Probe(question, timeout_s=20)
    assert [await probe.ask(), await probe.ask()] == [1, 2]


async def test_what_does_not_let_itself_be_cancelled_is_not_waited_for() -> None:
    """As a driver that asks a hanging server to cancel."""
    released = asyncio.Event()

    async def stubborn() -> None:
        try:
            await released.wait()
        except asyncio.CancelledError:
            await released.wait()

    probe = Probe(stubborn, timeout_s=0.02)
    for _ in range(2):
        with pytest.raises(TimeoutError):
            await probe.ask()
    assert not released.is_set()  # it was not waited for: nobody else lets it end
    released.set()
    await asyncio.sleep(0)


async def test_those_who_ask_together_share_one_question() -> None:
    """A flood of probes is one round trip."""
    asked = 0

    async def question() -> int:
        nonlocal asked
        asked += 1
        await asyncio.sleep(0.01)
        return asked

    probe = Probe(question, timeout_s=20)
    assert await asyncio.gather(*(probe.ask() for _ in range(20))) == [1] * 20


async def test_an_error_reaches_those_who_asked() -> None:
    """And the next question is a new one."""

    async def broken() -> None:
        raise ConnectionError("gone")

    probe = Probe(broken, timeout_s=20)
    for _ in range(2):
        with pytest.raises(ConnectionError):
            await probe.ask()
