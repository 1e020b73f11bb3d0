"""Waiting for what a test of the order engine names: a task's status, a fault that has struck, orders at the exchange.

Each wait has a bound that only a broken engine reaches; none of them says how fast something must be.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import psycopg

from app.orders.state.documents import task_document
from app.orders.state.model import FINISHED, Task, TaskStatus
from tests.order_environment import ACCOUNT, OrderEnvironment
from tests.waiting import until


async def now(environment: OrderEnvironment, task: Mapping[str, Any]) -> Task:
    """The task as it is stored at this moment."""
    return await environment.service.queries.task(UUID(task["task_id"]))


async def reaches(environment: OrderEnvironment, task: Mapping[str, Any], *statuses: TaskStatus) -> Mapping[str, Any]:
    """The task document once its status is one of these."""

    async def is_there() -> bool:
        return (await now(environment, task)).status in statuses

    await until(is_there)
    return task_document(await now(environment, task))


async def end_of(environment: OrderEnvironment, task: Mapping[str, Any]) -> Mapping[str, Any]:
    """The task document once the task is finished."""
    return await reaches(environment, task, *FINISHED)


async def end_by_hints(environment: OrderEnvironment, task: Mapping[str, Any]) -> Mapping[str, Any]:
    """The same, with pushes that make the book be read meanwhile, not only at a doubt's own ever longer distances."""

    async def ended() -> bool:
        environment.orders.wakeups.on_order_hint(ACCOUNT)
        return (await now(environment, task)).status in FINISHED

    await until(ended)
    return task_document(await now(environment, task))


async def read_again(environment: OrderEnvironment, times: int) -> None:
    """Until pushes have made the book be read so many times more."""
    before = environment.engine.read_counters()[ACCOUNT].reads

    async def so_often() -> bool:
        environment.orders.wakeups.on_order_hint(ACCOUNT)
        return environment.engine.read_counters()[ACCOUNT].reads >= before + times

    await until(so_often)


async def owns(environment: OrderEnvironment) -> None:
    """Until this environment is the account's owner."""

    async def is_owner() -> bool:
        return environment.engine.is_owner(ACCOUNT)

    await until(is_owner)


async def struck(environment: OrderEnvironment, kind: str, times: int = 1) -> None:
    """Until faults of this kind have met so many requests."""

    async def so_often() -> bool:
        faults = (await environment.sim.get("/_sim/faults")).json()
        return bool(sum(fault["struck"] for fault in faults if fault["kind"] == kind) >= times)

    await until(so_often)


async def at_the_exchange(environment: OrderEnvironment, count: int) -> None:
    """Until the exchange has accepted so many orders."""

    async def so_many() -> bool:
        return len(await environment.ledger()) >= count

    await until(so_many)


async def after_the_lease(database_url: str) -> None:
    """The dead owner's lease and claims are over: what waiting would do."""
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
        await connection.execute("UPDATE lease SET expires_at = clock_timestamp()")
        await connection.execute("UPDATE order_task SET claimed_until = clock_timestamp() WHERE status = 'running'")


async def no_longer_fresh(environment: OrderEnvironment, task: Mapping[str, Any]) -> None:
    """The task's time to be sent is over: what waiting would do."""
    async with environment.database.connection() as connection:
        await connection.execute(
            "UPDATE order_task SET send_by = clock_timestamp() WHERE task_id = %s", (UUID(task["task_id"]),)
        )
