"""Reads of all replicas together stay below what the broker allows, whichever of them sends."""

from __future__ import annotations

import asyncio
import contextlib

from app.errors import BrokerError
from simulator.server import RunningSimulator
from tests.order_environment import OrderEnvironment, open_order_environment


async def read_for(environment: OrderEnvironment, seconds: float) -> int:
    """Ask for margins and positions all the time, as doors with many batches do; how many reads were answered."""
    broker, answered = environment.account.broker, 0

    async def read_on() -> None:
        nonlocal answered
        while True:
            with contextlib.suppress(BrokerError):
                await broker.orders.available_margin("NSE")
                answered += 1

    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds), asyncio.TaskGroup() as readers:
            for _ in range(12):
                readers.create_task(read_on())
    return answered


async def violations(environment: OrderEnvironment) -> object:
    """Per class, how often the broker counted more than it allows."""
    return (await environment.sim.get("/_sim/stats")).json()["violations"]


async def test_two_replicas_do_not_read_faster_than_one_may(database_url: str, simulator: RunningSimulator) -> None:
    """Both read as fast as they are let; the order book of the owner is read meanwhile."""
    async with (
        open_order_environment(database_url, simulator.url) as first,
        open_order_environment(database_url, simulator.url) as second,
    ):
        before = await violations(first)
        counts = await asyncio.gather(read_for(first, 4.0), read_for(second, 4.0))
        assert await violations(first) == before
        assert min(counts) >= 3
        assert sum(counts) <= 4.0 / 0.150 + 4
        task = await first.place()
        assert task["status"] == "completed"


async def test_replicas_that_cannot_count_together_read_slower(database_url: str, simulator: RunningSimulator) -> None:
    """Without the count each of them keeps so far below the limit that a few stay below it together."""
    async with (
        open_order_environment(database_url, simulator.url) as first,
        open_order_environment(database_url, simulator.url) as second,
    ):
        async with first.database.transaction() as tx:
            await tx.execute("LOCK TABLE read_pace IN ACCESS EXCLUSIVE MODE")
            counts = await asyncio.gather(read_for(first, 4.0), read_for(second, 4.0))
        assert max(counts) <= 4.0 / 0.600 + 2
        assert min(counts) >= 2
