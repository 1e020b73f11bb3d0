"""Child processes of a benchmark: spawned, connected by a pipe, and killed when the block ends."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any

ANSWER_S = 120

_spawn = multiprocessing.get_context("spawn")


@contextmanager
def process(target: Any, *arguments: Any) -> Iterator[Connection]:
    """Runs ``target(*arguments, pipe)`` in a process of its own; yields the other end of the pipe."""
    here, there = _spawn.Pipe()
    started = _spawn.Process(target=target, args=(*arguments, there), daemon=True)
    started.start()
    try:
        yield here
        started.join(timeout=10)
    finally:
        started.kill()


def receive(pipe: Connection) -> Any:
    """What the process sends next. Raises SystemExit after ``ANSWER_S``."""
    if not pipe.poll(timeout=ANSWER_S):
        raise SystemExit(f"a process of the benchmark did not answer within {ANSWER_S} seconds")
    return pipe.recv()
