"""The simulator as a process of its own, for tests that kill it."""

import asyncio
import contextlib
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

NOON = "2026-07-06T12:00:00+05:30"
START_S = 30


@dataclass(frozen=True, slots=True)
class Program:
    process: asyncio.subprocess.Process
    url: str

    async def kill(self) -> None:
        """Ends it by SIGKILL."""
        self.process.send_signal(signal.SIGKILL)
        await self.process.communicate()


@contextlib.asynccontextmanager
async def simulator_program(state_dir: Path, *arguments: str, start: str = NOON) -> AsyncIterator[Program]:
    """`python -m simulator` with a state directory, two accounts, no simulated prices, no request limits."""
    options = ("--port", "0", "--accounts", "2", "--ticks-per-second", "0", "--rate-limits", "off")
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "simulator",
        *options,
        *("--state-dir", str(state_dir), "--start-time", start, *arguments),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(START_S):
            line = (await process.stdout.readline()).decode()
        found = re.search(r"http://127\.0\.0\.1:\d+", line)
        assert found is not None, line
        yield Program(process, found[0])
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()
