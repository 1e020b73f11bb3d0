"""How much time is left until a request must be answered, for everything that waits on the way to the answer.

A caller that needs several answers, of the database and of the broker, would else wait for each bound in turn.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_answer_by: ContextVar[float | None] = ContextVar("answer_by", default=None)


@contextmanager
def answering_within(seconds: float) -> Iterator[None]:
    """Everything that this block waits for is given up when the time is over, one wait after another."""
    token = _answer_by.set(asyncio.get_running_loop().time() + seconds)
    try:
        yield
    finally:
        _answer_by.reset(token)


def seconds_left() -> float:
    """Of the block's time; infinite outside of ``answering_within``, never negative."""
    answer_by = _answer_by.get()
    return float("inf") if answer_by is None else max(0.0, answer_by - asyncio.get_running_loop().time())
