"""One outage of the database after another, under load: afterwards an order goes on every account at every replica.

    make chaos ARGS=outages                       5, 20, 35, 120 s and 10 minutes of each, at one and at three replicas
    make chaos ARGS="outages --longest 35"        without the longer ones
    make chaos ARGS="outages --shortest 120"      without the shorter ones and the freezes
    make chaos ARGS="outages --replicas 1"        at one replica

Each pool is cut off or frozen alone, both are, and the server itself stands still or is away. A freeze may begin at a
statement of an order's acceptance; when it ends everything that was held arrives.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

from chaos.checker import Violation, check
from chaos.history import History
from chaos.history_reader import read_history
from chaos.load import Load
from chaos.probes import Probes
from chaos.processes import server_processes, signal_processes
from chaos.proxy import Direction, Toxic
from chaos.stack import UNLIMITED, Stack, open_stack

SECONDS = (5.0, 20.0, 35.0, 120.0, 600.0)
FREEZE_S = 12.0
"""Longer than a lease, and than any answer may take."""

REPLICAS = (1, 3)
CLIENTS = 4
PAUSE_S = 1.5
"""Fewer orders than the broker takes: what has gathered during an outage must be gone soon after it."""

SETTLE_S = 180.0
"""After the last outage: the product's own windows are not shortened."""

CHECK_EVERY_S = 2.0
_UP: frozenset[Direction] = frozenset({"up"})
_DOWN: frozenset[Direction] = frozenset({"down"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Outage:
    """``name`` in words; ``toxics`` of the lines to the database, or ``server``: what happens to the server itself."""

    name: str
    seconds: float
    toxics: tuple[Toxic, ...] = ()
    server: str = ""


def outages(seconds: Sequence[float], *, freeze_s: float) -> list[Outage]:
    """Those of each length, then the freezes."""
    found = []
    for length in seconds:
        for pool in (b"ticker api", b"ticker engine", b""):
            name = f"{pool.decode() or 'both pools'} cut off for {length:g} s"
            found.append(Outage(name=name, seconds=length, toxics=(Toxic(kind="reset_peer", client=pool),)))
        found.append(Outage(name=f"the server away for {length:g} s", seconds=length, server="away"))
    for pool in (b"ticker api", b"ticker engine", b""):
        name = f"{pool.decode() or 'both pools'} frozen"
        found.append(Outage(name=name, seconds=freeze_s, toxics=(Toxic(kind="hold", client=pool),)))
    for statement in (b"BEGIN", b"INSERT INTO order_task", b"COMMIT"):
        for directions, where in ((_UP, "before"), (_DOWN, "after")):
            toxic = Toxic(kind="hold", since=statement, directions=directions)
            found.append(Outage(name=f"frozen {where} {statement.decode()}", seconds=freeze_s, toxics=(toxic,)))
    found.append(Outage(name="the server stopped", seconds=freeze_s, server="stopped"))
    found.append(Outage(name="one server process stopped", seconds=freeze_s, server="one process"))
    return found


@asynccontextmanager
async def happening(outage: Outage, stack: Stack) -> AsyncIterator[None]:
    """The outage lasts as long as the block."""
    stopped: list[int] = []
    if outage.server == "away":
        await stack.stop_postgres()
    elif outage.server:
        pids = server_processes(stack.postgres.child.pid)
        stopped = pids if outage.server == "stopped" else pids[-1:]
    signal_processes(stopped, signal.SIGSTOP)
    for one in stack.replicas:
        one.database.toxics = outage.toxics
        if any(toxic.since for toxic in outage.toxics):
            one.database.cut()  # a statement that is prepared already has no text on the line
    try:
        yield
    finally:
        for one in stack.replicas:
            one.database.toxics = ()
        signal_processes(stopped, signal.SIGCONT)
        if outage.server == "away":
            await stack.start_postgres()


async def run_outages(
    planned: Sequence[Outage],
    directory: Path,
    *,
    replicas: int,
    seed: int = 1,
    settings: Mapping[str, str] = MappingProxyType({}),
    settle_s: float = SETTLE_S,
) -> tuple[History, list[Violation]]:
    """All of them in turn at so many replicas; the history and what is wrong with it. ``settings`` of the replicas."""
    async with open_stack(directory, replicas=replicas, seed=seed, settings=settings, times=UNLIMITED) as (stack, _):
        probes, load = Probes(stack), Load(stack.replicas, seed=seed, pause_s=PAUSE_S)
        await probes.recover("the start")
        async with probes.following_health(), asyncio.TaskGroup() as trading:
            clients = trading.create_task(load.run(CLIENTS))
            for outage in planned:
                async with happening(outage, stack):
                    await asyncio.sleep(outage.seconds)
                await probes.recover(outage.name)
                slowest = max((one.seconds or -1.0 for one in probes.recoveries[-2 * replicas :]), default=0.0)
                print(f"  {replicas} replicas, {outage.name}: orders go after {slowest:.1f} s", flush=True)
            clients.cancel()
        return await _settle(stack, load, probes, settle_s=settle_s)


async def _settle(stack: Stack, load: Load, probes: Probes, *, settle_s: float) -> tuple[History, list[Violation]]:
    loop = asyncio.get_running_loop()
    ends_at = loop.time() + settle_s
    while True:
        rows = await asyncio.to_thread(read_history, stack.postgres.url, stack.simulator_url)
        history = replace(load.seen_by_clients(rows), observed=probes.observed(answers=load.late))
        found = check(history)
        if not found or loop.time() > ends_at:
            return history, found
        await asyncio.sleep(CHECK_EVERY_S)


def main(argv: Sequence[str]) -> int:
    """The exit code: 0 without a violation, 1 with one. Data and logs are kept after a violation."""
    parser = argparse.ArgumentParser(prog="make chaos ARGS=outages")
    parser.add_argument("--longest", type=float, default=SECONDS[-1], help="leave longer outages out (seconds)")
    parser.add_argument("--shortest", type=float, default=0.0, help="leave shorter ones out, freezes too (seconds)")
    parser.add_argument("--replicas", type=int, choices=REPLICAS, help="at so many replicas only")
    given = parser.parse_args(argv)
    lengths = [one for one in SECONDS if one <= given.longest]
    planned = [one for one in outages(lengths, freeze_s=FREEZE_S) if one.seconds >= given.shortest]
    violations = 0
    for replicas in REPLICAS if given.replicas is None else (given.replicas,):
        directory = Path(tempfile.mkdtemp(prefix="outages-"))
        print(f"outages: {len(planned)} at {replicas} replicas; data and logs in {directory}", flush=True)
        _, found = asyncio.run(run_outages(planned, directory, replicas=replicas))
        print("\n".join([f"violations: {len(found)}", *(f"  {one}" for one in found)]), flush=True)
        violations += len(found)
        if not found:
            shutil.rmtree(directory, ignore_errors=True)
    return 1 if violations else 0
