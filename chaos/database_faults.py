"""The faults of PostgreSQL itself: restarts, outages, processes that stand still, slow commits. Each of them ends."""

from __future__ import annotations

import asyncio
import random
import signal
from collections import Counter

import psycopg

from chaos.processes import server_processes, signal_processes
from chaos.stack import Ending, Stack

OUTAGES_S = (35.0, 35.0, 120.0)
COMMIT_MS = 20
SLOW_S = 15.0


class DatabaseFaults:
    """Each method is one fault, from its beginning to its end. ``counts`` has the number of each kind."""

    def __init__(self, stack: Stack, *, counts: Counter[str], rng: random.Random, longest_s: float) -> None:
        self._stack = stack
        self._counts = counts
        self._random = rng
        self._lengths = [seconds for seconds in OUTAGES_S if seconds <= longest_s]
        self._stopped: set[int] = set()
        self._up = asyncio.Lock()  # held while the server is away

    async def restart(self) -> None:
        """Killed, or stopped in order, and started at once."""
        how: Ending = self._random.choice(["kill", "term"])
        await self._away(how, 0.0, "PostgreSQL crash" if how == "kill" else "PostgreSQL restart")

    async def outage(self) -> None:
        """Away for longer than a lease, and than most orders stay fresh."""
        if self._lengths:
            seconds = self._random.choice(self._lengths)
            await self._away("term", seconds, f"PostgreSQL away for {seconds:g} s")

    async def _away(self, how: Ending, seconds: float, name: str) -> None:
        async with self._up:
            self._counts[name] += 1
            self.end()
            await self._stack.stop_postgres(how)
            try:
                await asyncio.sleep(seconds)
            finally:
                await self._stack.start_postgres()

    async def stall(self) -> None:
        """One process of the server is stopped, and the client that has its connection waits."""
        pids = server_processes(self._stack.postgres.child.pid)[1:]
        if not pids or self._up.locked():
            return
        self._counts["server process stopped"] += 1
        pid = self._random.choice(pids)
        self._stopped.add(pid)
        signal_processes([pid], signal.SIGSTOP)
        await asyncio.sleep(self._random.uniform(2.0, 12.0))
        self._go_on(pid)

    async def slow_commits(self) -> None:
        """Every commit takes ``COMMIT_MS``, as on a slow disk: what lies between a statement and its commit shows."""
        if await self._set_commit_delay(COMMIT_MS):
            self._counts[f"commits of {COMMIT_MS} ms"] += 1
            await asyncio.sleep(SLOW_S)
            await self._set_commit_delay(0)

    async def _set_commit_delay(self, ms: int) -> bool:
        """Whether the server took it."""
        try:
            async with await psycopg.AsyncConnection.connect(
                self._stack.postgres.url, autocommit=True, connect_timeout=3
            ) as connection:
                await connection.execute(f"ALTER SYSTEM SET commit_delay = {ms * 1000:d}")
                await connection.execute("ALTER SYSTEM SET commit_siblings = 0")
                await connection.execute("SELECT pg_reload_conf()")
        except psycopg.Error:
            return False
        return True

    def end(self) -> None:
        """Whatever was stopped goes on."""
        for pid in tuple(self._stopped):
            self._go_on(pid)

    async def clear(self) -> None:
        """The server is up and as fast as before."""
        self.end()
        async with self._up:
            await self._set_commit_delay(0)

    def _go_on(self, pid: int) -> None:
        self._stopped.discard(pid)
        signal_processes([pid], signal.SIGCONT)
