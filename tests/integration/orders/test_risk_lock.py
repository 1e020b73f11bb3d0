"""One decision at a time about an account's positions and counts, and what passes while only reductions do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from app.broker.orders import TransactionType
from app.errors import Conflict, Unavailable
from app.orders.risk import limit_store
from app.orders.risk.limits import RiskLimits
from app.orders.state.model import TaskStatus
from simulator.server import RunningSimulator
from tests.order_environment import ACCOUNT, OPERATOR, OrderEnvironment, open_order_environment
from tests.order_requests import order
from tests.order_waits import at_the_exchange, reaches, struck
from tests.waiting import until

SELL = TransactionType.SELL
REFUSED = order(quantity=1_000_000)
"""A leg that the broker refuses for want of margin."""


@asynccontextmanager
async def held_risk_lock(environment: OrderEnvironment) -> AsyncIterator[None]:
    """Another transaction decides about the account's positions at this moment."""
    async with environment.database.transaction() as tx:
        await limit_store.lock_account(tx, ACCOUNT)  # the row exists
    async with environment.database.transaction() as tx:
        await limit_store.lock_account(tx, ACCOUNT)
        yield


async def waits_for_a_lock(environment: OrderEnvironment) -> bool:
    """Whether a connection of this database waits for a row that another one has locked."""
    async with environment.database.connection() as connection:
        cursor = await connection.execute(
            """SELECT count(*) FROM pg_stat_activity
               WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%account_risk%'"""
        )
        row = await cursor.fetchone()
    return row is not None and row[0] > 0


async def hold_ten(environment: OrderEnvironment) -> None:
    """Buy ten, and see them filled."""
    bought = await environment.place(price=Decimal(1510))

    async def filled() -> bool:
        return bool((await environment.service.queries.order(bought["order_id"]))["state"] == "completed")

    await until(filled)


async def only_reduce(environment: OrderEnvironment) -> None:
    await environment.orders.operators.halts.halt(
        ACCOUNT, mode="reduce_only", open_orders="leave", reason="test", by=OPERATOR
    )


async def sold(environment: OrderEnvironment) -> list[int]:
    """The quantities that were sold, by order."""
    rows = await environment.ledger()
    return [row["filled_quantity"] for row in rows if row["request"]["transaction_type"] == "SELL"]


async def test_an_exit_under_reduce_only_waits_for_the_risk_lock(environment: OrderEnvironment) -> None:
    """What another transaction is assigned at this moment is counted before the exit is proven."""
    await hold_ten(environment)
    await only_reduce(environment)
    async with held_risk_lock(environment):
        selling = asyncio.create_task(environment.place(wait_s=0.0, transaction_type=SELL, price=Decimal(1600)))

        async def waits_or_is_done() -> bool:
            return selling.done() or await waits_for_a_lock(environment)

        await until(waits_or_is_done)
        assert not selling.done()
    await reaches(environment, await selling, TaskStatus.COMPLETED)


async def test_the_risk_lock_of_one_account_stops_no_other(environment: OrderEnvironment) -> None:
    """Accounts are decided about side by side."""
    async with environment.database.transaction() as tx:
        await limit_store.lock_account(tx, "other")
    async with held_risk_lock(environment), asyncio.timeout(10), environment.database.transaction() as tx:
        await limit_store.lock_account(tx, "other")


async def test_a_square_off_waits_for_the_risk_lock(environment: OrderEnvironment) -> None:
    """The same for the order by which a batch closes what has filled."""
    await environment.fault("delay", method="GET", path="/portfolio/positions", params={"ms": 1500})
    batch = await environment.batch([order(price=Decimal(1510)), REFUSED], on_filled="square_off", wait_s=0.0)
    async with held_risk_lock(environment):

        async def waits_or_has_sold() -> bool:
            return bool(await sold(environment)) or await waits_for_a_lock(environment)

        await until(waits_or_has_sold)
        assert await sold(environment) == []

    async def ended() -> bool:
        return (await environment.service.queries.batch_now(UUID(batch["batch_id"])))[1]

    await until(ended)
    assert await sold(environment) == [10]


@pytest.mark.parametrize(
    "limits",
    [RiskLimits(max_identical=3), RiskLimits(max_open_orders=3), RiskLimits()],
    ids=["identical", "open orders", "none: an exit that is fixed at this moment counts it"],
)
async def test_an_order_waits_for_the_risk_lock(
    database_url: str, simulator: RunningSimulator, limits: RiskLimits
) -> None:
    """Else two replicas would count the same orders at once, and both would pass."""
    async with open_order_environment(database_url, simulator.url, limits=limits) as environment:
        async with held_risk_lock(environment):
            placing = asyncio.create_task(environment.place(wait_s=0.0))

            async def waits_or_is_done() -> bool:
                return placing.done() or await waits_for_a_lock(environment)

            await until(waits_or_is_done)
            assert not placing.done()
        await reaches(environment, await placing, TaskStatus.COMPLETED)


async def test_a_square_off_passes_reduce_only(environment: OrderEnvironment) -> None:
    """A leg has filled and the positions cannot be read when the mode is set: the fill is closed all the same."""
    await environment.fault("status", method="GET", path="/portfolio/positions", times=-1, params={"code": 502})
    batch = await environment.batch([order(price=Decimal(1510)), REFUSED], on_filled="square_off", wait_s=0.0)
    await struck(environment, "status")
    await only_reduce(environment)
    await environment.sim.delete("/_sim/faults")

    async def ended() -> bool:
        return (await environment.service.queries.batch_now(UUID(batch["batch_id"])))[1]

    await until(ended)
    document, _ = await environment.service.queries.batch_now(UUID(batch["batch_id"]))
    assert (document["status"], document["residual"]) == ("rolled_back_with_fills", [])
    assert await sold(environment) == [10]


async def test_a_repeated_key_is_one_order_under_reduce_only(environment: OrderEnvironment) -> None:
    """One after the other, and twenty at once: the mode is for emergencies, in which clients repeat."""
    await hold_ten(environment)
    await only_reduce(environment)
    exit_order: dict[str, Any] = {"transaction_type": SELL, "price": Decimal(1600), "quantity": 1}
    first = await environment.answer(key="a" * 16, **exit_order)
    again = await environment.answer(key="a" * 16, **exit_order)
    assert (again.resource_id, again.replayed, first.replayed) == (first.resource_id, True, False)
    tries = [environment.answer(key="b" * 16, **exit_order) for _ in range(20)]
    answers = await asyncio.gather(*tries, return_exceptions=True)
    failed = [one for one in answers if isinstance(one, BaseException)]
    assert all(isinstance(one, (Conflict, Unavailable)) for one in failed)  # the key was being stored at that moment
    found = [one for one in answers if not isinstance(one, BaseException)]
    assert len({one.resource_id for one in found}) == 1
    assert sum(not one.replayed for one in found) == 1
    await at_the_exchange(environment, 3)
    assert len(await sold(environment)) == 2


async def test_nothing_is_a_reduction_where_nothing_is_held(environment: OrderEnvironment) -> None:
    """Not even the sale of one."""
    await only_reduce(environment)
    task = await environment.place(wait_s=0.0, transaction_type=SELL, quantity=1, price=Decimal(1490))
    await reaches(environment, task, TaskStatus.HELD)
    assert await environment.ledger() == []
