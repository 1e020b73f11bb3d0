"""One chaos run: start, trade under faults, let it settle, check, report.

    CHAOS_MINUTES=3 CHAOS_SEED=1 REPLICAS=3 make chaos

It ends after its minutes, the settling (at most SETTLE_S) and the checks, and stops everything that it started.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import psycopg

from chaos.checker import Violation, check
from chaos.fault_schedule import FaultSchedule
from chaos.history import History
from chaos.history_reader import Doubts, find_leaks, read_doubts, read_history
from chaos.load import Load
from chaos.loss_checks import check_after_loss
from chaos.loss_phase import lose_the_database
from chaos.probes import Probes
from chaos.processes import find_faketime
from chaos.stack import ACCOUNTS, Stack, open_stack
from chaos.subscribers import Subscriber

SETTLE_S = 60.0
"""After the last fault everything must be finished within this: the windows of ``SHORT_TIMES``, a lease, and a
reserve."""

CHECK_EVERY_S = 2.0
LOSS_FROM_MINUTES = 2.0
"""Shorter runs do not put the database back, which takes a minute more."""

CLIENTS = 10
PAUSE_S = 1.0
MAX_MINUTES = 24 * 60
MAX_REPLICAS = 8


class BadSetting(Exception):
    """An environment variable has a bad value; the text names it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The settings of a run. ``seed`` decides every choice of load and faults, but not the timing of processes."""

    minutes: float = 3.0
    seed: int = 1
    replicas: int = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The result of a run."""

    history: History
    violations: Sequence[Violation]
    doubts: Doubts
    faults: Mapping[str, int]
    """The number of each kind, as ``requests`` and ``streams``."""

    requests: Mapping[str, int]
    streams: Mapping[str, int]
    settled_s: float | None
    """How long after the last fault nothing was open any more; None when that was never so."""


def read_plan(environ: Mapping[str, str]) -> Plan:
    """The plan from the environment. Without CHAOS_SEED each run has another seed. Raises BadSetting."""
    minutes = _number(environ, "CHAOS_MINUTES", default=3.0, low=0.1, high=MAX_MINUTES)
    seed = _number(environ, "CHAOS_SEED", default=int(time.time()) % 1_000_000, low=0, high=2**31)
    replicas = _number(environ, "REPLICAS", default=3, low=1, high=MAX_REPLICAS)
    return Plan(minutes=minutes, seed=int(seed), replicas=int(replicas))


def _number(environ: Mapping[str, str], name: str, *, default: float, low: float, high: float) -> float:
    try:
        value = float(environ.get(name) or default)
    except ValueError:
        value = -1.0
    if not low <= value <= high:
        raise BadSetting(f"{name} must be a number from {low:g} to {high:g}, not {environ.get(name)!r}")
    return value


async def run(plan: Plan, directory: Path) -> Outcome:
    """Runs the plan. The data and logs of all processes go into ``directory``."""
    async with open_stack(directory, replicas=plan.replicas, seed=plan.seed) as (stack, redis_proxy):
        schedule = FaultSchedule(stack, redis_proxy, seed=plan.seed, longest_outage_s=plan.minutes * 60 / 4)
        load = Load(stack.replicas, seed=plan.seed, pause_s=PAUSE_S)
        readers = [
            Subscriber(f"{account}-{number}", account, stack.replicas, seed=plan.seed + number)
            for account in ACCOUNTS
            for number in range(2)
        ]
        probes = Probes(stack)
        await schedule.broker.set_prices()
        async with probes.following_health(), asyncio.TaskGroup() as tasks:
            reading = [tasks.create_task(reader.run()) for reader in readers]
            try:
                with suppress(TimeoutError):
                    async with asyncio.timeout(plan.minutes * 60), asyncio.TaskGroup() as trading:
                        trading.create_task(load.run(CLIENTS))
                        trading.create_task(schedule.run())
                await schedule.clear()
                await probes.recover("the last fault")
                await asyncio.to_thread(fill_market_orders, stack.simulator_url)
                history, settled_s = await _settle(stack, load, schedule, readers, probes)
                first, *others = ACCOUNTS
                await probes.test_walls(first, others)
                after_loss = await _lose(plan, stack, load, schedule, probes)
            finally:
                for task in reading:
                    task.cancel()
                await schedule.close()
        leaks = await asyncio.to_thread(find_leaks, directory, stack.secrets)
        history = replace(history, leaks=leaks, observed=replace(history.observed, walls=probes.walls))
        return Outcome(
            history=history,
            violations=[*check(history), *after_loss],
            doubts=await asyncio.to_thread(read_doubts, stack.postgres.url),
            faults=schedule.counts,
            requests=load.counts,
            streams=sum((reader.counts for reader in readers), Counter()),
            settled_s=settled_s,
        )


def fill_market_orders(simulator_url: str) -> int:
    """Fills the MARKET orders that a fault left partly filled; returns how many there were.

    At a real exchange no MARKET order rests for ever, and a batch that squares off with one ends only when it is
    filled.
    """
    with httpx.Client(base_url=simulator_url, trust_env=False, timeout=30) as simulator:
        ledger = simulator.get("/_sim/ledger").raise_for_status().json()
        resting = [row for row in ledger if row["state"] == "OPEN" and row["request"]["order_type"] == "MARKET"]
        for row in resting:
            fill = {"fill": row["unfilled_quantity"]}
            simulator.post(f"/_sim/orders/{row['order_id']}", json=fill).raise_for_status()
    return len(resting)


async def _settle(
    stack: Stack, load: Load, schedule: FaultSchedule, readers: Sequence[Subscriber], probes: Probes
) -> tuple[History, float | None]:
    """Checks until there is no violation, or SETTLE_S is over; returns the last history, and how long it took."""
    began = time.monotonic()
    while True:
        try:
            rows = await asyncio.to_thread(read_history, stack.postgres.url, stack.simulator_url)
        except (psycopg.Error, httpx.HTTPError) as error:
            raise RuntimeError(f"the result of the run cannot be read: {error}") from error
        seen = [one for reader in readers for one in reader.seen()]
        observed = probes.observed(answers=load.late, residuals=await probes.read_residuals())
        history = replace(load.seen_by_clients(rows), seen=seen, halts=schedule.halts, observed=observed)
        took = time.monotonic() - began
        if not check(history):
            return history, took
        if took > SETTLE_S:
            return history, None
        await asyncio.sleep(CHECK_EVERY_S)


async def _lose(plan: Plan, stack: Stack, load: Load, schedule: FaultSchedule, probes: Probes) -> Sequence[Violation]:
    """Puts the database back when the run is long enough for it; what is wrong then, also after ``SETTLE_S``."""
    if plan.minutes < LOSS_FROM_MINUTES:
        return []
    if not await lose_the_database(stack, schedule, load):
        return [Violation("C11", "an account did not recover from a loss of the database")]
    await probes.recover("the recovery from a loss of the database")
    await asyncio.to_thread(fill_market_orders, stack.simulator_url)
    began = time.monotonic()
    while True:
        rows = await asyncio.to_thread(read_history, stack.postgres.url, stack.simulator_url)
        found = check_after_loss(replace(load.seen_by_clients(rows), observed=probes.observed(answers=load.late)))
        if not found or time.monotonic() - began > SETTLE_S:
            return found
        await asyncio.sleep(CHECK_EVERY_S)


def report(plan: Plan, outcome: Outcome) -> list[str]:
    """The lines of the report, violations last."""
    history = outcome.history
    places = [task for task in history.tasks if task.operation == "place"]
    lines = [
        f"chaos: {plan.minutes:g} minutes, {plan.replicas} replicas, {len(ACCOUNTS)} accounts, seed {plan.seed}",
        f"  orders: {len(places)} accepted, {len(history.ledger)} at the exchange; {_counts(_by_status(places))}",
        f"  other tasks: {_counts(Counter(f'{t.operation} {t.status}' for t in history.tasks if t not in places))}"
        if len(places) < len(history.tasks)
        else "  other tasks: none",
        f"  batches: {len(history.batches)}; {_counts(Counter(batch.status for batch in history.batches))}",
        f"  events: {len(history.events)}; streams: {_counts(outcome.streams)}",
        f"  requests: {_counts(outcome.requests)}",
        f"  faults: {sum(outcome.faults.values())}; {_counts(outcome.faults)}",
        f"  doubts found in the book: {_times(outcome.doubts.found)}",
        f"  doubts that it never showed: {_times(outcome.doubts.given_up)}",
        "  worst second at the broker: " + ", ".join(f"{p.account_id} {p.per_second}" for p in history.peaks),
        "  settled " + ("never" if outcome.settled_s is None else f"{outcome.settled_s:.0f} s after the last fault"),
        f"violations: {len(outcome.violations)}",
    ]
    return lines + [f"  seed {plan.seed}: {violation}" for violation in outcome.violations]


def _by_status(tasks: Sequence[object]) -> Counter[str]:
    return Counter(str(getattr(task, "status", "")) for task in tasks)


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items())) or "none"


def _times(seconds: Sequence[float]) -> str:
    if not seconds:
        return "0"
    return f"{len(seconds)}, p50 {_share(seconds, 0.5):.2f} s, p99 {_share(seconds, 0.99):.2f} s"


def _share(ordered: Sequence[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def main() -> int:
    """The exit code: 0 without a violation, 1 with one, 2 for a bad setting, or in CI for want of a library.

    Data is kept after a violation.
    """
    try:
        plan = read_plan(os.environ)
    except BadSetting as error:
        print(f"chaos: {error}", file=sys.stderr)
        return 2
    if find_faketime() is None:
        print("chaos: libfaketime is not installed (Debian: faketime), so all clocks are alike", file=sys.stderr)
        if os.environ.get("CI"):
            return 2
    directory = Path(tempfile.mkdtemp(prefix="chaos-"))
    print(f"chaos: {plan.minutes:g} minutes with seed {plan.seed}; data and logs in {directory}", flush=True)
    outcome = asyncio.run(run(plan, directory))
    print("\n".join(report(plan, outcome)), flush=True)
    if outcome.violations:
        return 1
    shutil.rmtree(directory, ignore_errors=True)
    return 0
