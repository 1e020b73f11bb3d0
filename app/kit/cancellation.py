"""A cancelled task must end, also when what it was leaving failed on the way out.

Closing a broken connection raises its own error in place of the CancelledError that it was closed for. A loop that
catches that error and goes on would never end; so whoever translates or swallows such errors asks here first.
"""

from __future__ import annotations

import asyncio


def end_if_cancelled() -> None:
    """Raises CancelledError when the running task has been asked to end."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
