"""How long an order is in doubt whose answer was lost after the exchange had taken it.

    make chaos ARGS=lost-answers                  ten minutes at three replicas
    make chaos ARGS="lost-answers --minutes 2"

Half of the orders fill at once, and a push tells of them; the others rest, and only the order book shows them.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import math
import random
import shutil
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psycopg

from chaos.fault_schedule import FaultSchedule
from chaos.load import SYMBOLS
from chaos.stack import ACCOUNTS, API_KEY, UNLIMITED, Stack, open_stack

CLIENTS = 4
PAUSE_S = 0.6
TIMEOUT_S = 12.0
SETTLE_S = 20.0
SHARE = 0.15
"""Of the answers that are lost: with many more of them the circuit breaker would stop the orders."""

FILLED = 0.5
"""Of the orders."""

BOUNDS = {"filled": {0.5: 0.3, 0.95: 1.0}, "resting": {0.95: 1.5}}
"""By kind of order: the share of doubts, and within how many seconds they must be over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubts:
    """Seconds from doubt to settlement, sorted, by kind of order; ``open``: those without an end."""

    filled: Sequence[float]
    resting: Sequence[float]
    open: int


async def run(minutes: float, directory: Path, *, replicas: int, seed: int) -> Doubts:
    """Trades for so many minutes, and reads how long the doubts lasted. The product's own times are not shortened."""
    async with open_stack(directory, replicas=replicas, seed=seed, times=UNLIMITED) as (stack, redis):
        schedule = FaultSchedule(stack, redis, seed=seed, longest_outage_s=0.0)
        try:
            await schedule.broker.set_prices()
            await schedule.broker.lose_answers(share=SHARE)
            with suppress(TimeoutError):
                async with asyncio.timeout(minutes * 60):
                    await trade(stack, seed=seed)
            await asyncio.sleep(SETTLE_S)
        finally:
            await schedule.close()
        return await asyncio.to_thread(read_doubts, stack.postgres.url)


async def trade(stack: Stack, *, seed: int) -> None:
    """Places orders on all accounts at all replicas until cancelled."""
    numbers = itertools.count()
    async with httpx.AsyncClient(trust_env=False, timeout=TIMEOUT_S, headers={"X-API-Key": API_KEY}) as http:

        async def client(rng: random.Random) -> None:
            while True:
                await asyncio.sleep(rng.expovariate(1 / PAUSE_S))
                replica = rng.choice(stack.replicas)
                headers = {"Idempotency-Key": f"lost-answer-{next(numbers):012d}"}
                await http.post(f"{replica.url}/orders", params={"wait": 0}, json=_order(rng), headers=headers)

        async with asyncio.TaskGroup() as tasks:
            for number in range(CLIENTS):
                tasks.create_task(client(random.Random(seed + number)))


def _order(rng: random.Random) -> dict[str, Any]:
    symbol, price = rng.choice(list(SYMBOLS.items()))
    side = rng.choice(["BUY", "SELL"])
    is_above = (side == "BUY") == (rng.random() < FILLED)  # a buyer above the market fills, a seller rests
    return {
        "account_id": rng.choice(list(ACCOUNTS)),
        "exchange": "NSE",
        "tradingsymbol": symbol,
        "transaction_type": side,
        "quantity": rng.randint(1, 30),
        "product": "MIS",
        "order_type": "LIMIT",
        "price": int(price * (1.02 if is_above else 0.98)),
    }


def read_doubts(database_url: str) -> Doubts:
    """From each task's first event of a doubt to the next event about it. Raises psycopg.Error."""
    with psycopg.connect(database_url, connect_timeout=5) as connection:
        rows = connection.execute(_DOUBTS).fetchall()
    ended = [(bool(filled), float(seconds)) for filled, seconds in rows if seconds is not None]
    return Doubts(
        filled=sorted(seconds for filled, seconds in ended if filled),
        resting=sorted(seconds for filled, seconds in ended if not filled),
        open=len(rows) - len(ended),
    )


def report(doubts: Doubts) -> tuple[list[str], bool]:
    """The lines, and whether every doubt ended within its bounds."""
    lines, is_good = [], doubts.open == 0
    for kind, bounds in BOUNDS.items():
        seconds: Sequence[float] = getattr(doubts, kind)
        if not seconds:
            lines.append(f"  {kind}: no doubt")
            is_good = False
            continue
        shown = ", ".join(f"p{share * 100:.0f} {_share(seconds, share):.2f} s" for share in (0.5, 0.95, 0.99))
        lines.append(f"  {kind}: {len(seconds)} doubts, {shown}")
        is_good = is_good and all(_share(seconds, share) < bound for share, bound in bounds.items())
    return [*lines, f"  without an end: {doubts.open}"], is_good


def _share(ordered: Sequence[float], share: float) -> float:
    return ordered[min(len(ordered), math.ceil(len(ordered) * share)) - 1]


def main(argv: Sequence[str]) -> int:
    """The exit code: 0 when all doubts ended in time. Data and logs are kept otherwise."""
    parser = argparse.ArgumentParser(prog="make chaos ARGS=lost-answers")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--replicas", type=int, default=3)
    given = parser.parse_args(argv)
    directory = Path(tempfile.mkdtemp(prefix="lost-answers-"))
    print(
        f"lost answers: {given.minutes:g} minutes, {given.replicas} replicas; data and logs in {directory}", flush=True
    )
    lines, is_good = report(asyncio.run(run(given.minutes, directory, replicas=given.replicas, seed=1)))
    print("\n".join(lines), flush=True)
    if is_good:
        shutil.rmtree(directory, ignore_errors=True)
    return 0 if is_good else 1


_DOUBTS = """
WITH task_event AS (
  SELECT (data ->> 'task_id')::uuid AS task_id, type, occurred_at,
    lead(occurred_at) OVER (PARTITION BY data ->> 'task_id' ORDER BY seq) AS next_at
  FROM event WHERE data ->> 'task_id' IS NOT NULL)
SELECT EXISTS (SELECT 1 FROM broker_order o WHERE o.task_id = d.task_id AND o.state = 'completed'),
  extract(epoch FROM d.next_at - d.occurred_at)
FROM task_event d WHERE d.type = 'order_in_doubt'
"""
