"""The ten checks of a chaos run, for a test: everything is finished, and nothing has happened that never must."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace

from chaos.checker import check
from chaos.history import History, Seen
from chaos.history_reader import read_history
from simulator.server import RunningSimulator


async def checked_history(database_url: str, simulator: RunningSimulator, *, within_s: float = 12.0) -> History:
    """The history once it has no violation; fails with the violations that are left after ``within_s``."""
    return await checked_history_with(list, database_url, simulator.url, within_s=within_s)


async def checked_history_with(
    seen: Callable[[], Sequence[Seen]], database_url: str, simulator_url: str, *, within_s: float
) -> History:
    """The same, together with what readers of the order stream have seen by then."""
    ends = asyncio.get_running_loop().time() + within_s
    while True:
        rows = await asyncio.to_thread(read_history, database_url, simulator_url)
        history = replace(rows, seen=seen())
        found = [str(violation) for violation in check(history)]
        if not found:
            return history
        assert asyncio.get_running_loop().time() < ends, "\n".join(found)
        await asyncio.sleep(0.1)
