"""A cancelled task must end, also when something on the way swallowed the cancellation.

Two things do. Closing a broken connection raises its own error in place of the CancelledError that it was closed for.
And ``asyncio.wait_for`` of Python before 3.12, which libraries use, returns its result when that comes in the same
moment. A loop that goes on after either would never end, so code behind either of them checks here.
"""

from __future__ import annotations

import asyncio


def cancel_requests() -> int:
    """How often the running task was cancelled so far; above 0 while a cancelled task cleans up."""
    task = asyncio.current_task()
    return 0 if task is None else task.cancelling()


def end_if_cancelled(*, beyond: int = 0) -> None:
    """Raises CancelledError when the running task was cancelled more often than ``beyond``."""
    if cancel_requests() > beyond:
        raise asyncio.CancelledError
