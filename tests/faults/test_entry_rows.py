"""Faults of entry, row by row of the fault table: one key many times, a key reused, a halt while orders queue."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import pytest

from app.errors import Conflict
from app.orders.state.model import TaskStatus
from simulator.server import RunningSimulator
from tests.order_environment import OPERATOR, SHORT_SETTINGS, OrderEnvironment, open_order_environment
from tests.order_waits import at_the_exchange, reaches


async def test_row_11_one_key_fifty_times_over_three_replicas(database_url: str, simulator: RunningSimulator) -> None:
    """Fifty concurrent requests under one key, spread over three replicas: fifty equal answers, one order."""
    async with (
        open_order_environment(database_url, simulator.url) as a,
        open_order_environment(database_url, simulator.url) as b,
        open_order_environment(database_url, simulator.url) as c,
    ):
        environments = [a, b, c]
        answers = await asyncio.gather(*(environments[n % 3].answer(key="k" * 16, wait_s=20) for n in range(50)))
        assert len({answer.resource_id for answer in answers}) == 1
        assert {answer.document["status"] for answer in answers} == {"completed"}
        assert len(await a.ledger()) == 1


async def test_row_12_the_same_key_with_another_price(environment: OrderEnvironment) -> None:
    """A reused key is a mistake of the caller's; nothing is sent for it."""
    await environment.place(key="k" * 16)
    with pytest.raises(Conflict) as caught:
        await environment.place(key="k" * 16, price=Decimal(1401))
    assert caught.value.code == "IDEMPOTENCY_KEY_REUSED"
    assert len(await environment.ledger()) == 1


async def test_row_24_a_halt_in_the_middle_of_a_queue(environment: OrderEnvironment) -> None:
    """A queue of forty, halted in its middle: nothing reaches the exchange later than a send after the commit."""
    await environment.fault("delay", times=-1, params={"ms": 200})  # one after the other: forty take eight seconds
    tasks = [await environment.place(wait_s=0, price=Decimal(1400 + number)) for number in range(40)]
    await at_the_exchange(environment, 2)
    done = await environment.orders.operators.halts.halt(
        None, mode="halt", open_orders="leave", reason="test", by=OPERATOR
    )
    for task in tasks:
        await reaches(environment, task, TaskStatus.COMPLETED, TaskStatus.HELD)
    ledger = await environment.ledger()
    assert 0 < len(ledger) < 40
    last_send_ends_ms = (done.halt.set_at.timestamp() + SHORT_SETTINGS.send_timeout_s) * 1000
    assert all(row["accepted_at_ms"] <= last_send_ends_ms for row in ledger)
    await asyncio.sleep(1.0)
    assert await environment.ledger() == ledger
