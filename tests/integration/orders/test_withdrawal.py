"""Withdrawing a placement in every state: nothing of it stays live, and nothing is cancelled twice."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from app.broker.orders import OrderChanges
from app.errors import Conflict, NotFound
from app.orders.entry.acceptance import Caller
from app.orders.state.model import TaskStatus
from simulator.server import RunningSimulator
from tests.faults.chaos_checks import checked_history
from tests.order_environment import ACCOUNT, OPERATOR, OrderEnvironment
from tests.order_requests import order
from tests.order_waits import reaches
from tests.waiting import until


def id_of(task: Mapping[str, Any]) -> UUID:
    return UUID(task["task_id"])


async def states(environment: OrderEnvironment) -> list[str]:
    return [row["state"] for row in await environment.ledger()]


async def all_cancelled(environment: OrderEnvironment) -> bool:
    found = await states(environment)
    return bool(found) and set(found) == {"CANCELLED"}


async def cancels(environment: OrderEnvironment) -> int:
    page = await environment.service.queries.tasks(ACCOUNT, status=None, before=None, limit=100)
    return sum(task["operation"] == "cancel" for task in page.data)


async def test_an_unsent_task_is_withdrawn_immediately(
    database_url: str, simulator: RunningSimulator, environment: OrderEnvironment
) -> None:
    """Held by a halt, taken back, and not sent when the halt is lifted."""
    operations = environment.orders.operators.halts
    await operations.halt(ACCOUNT, mode="halt", open_orders="leave", reason="test", by=OPERATOR)
    task = await environment.place(wait_s=0.0)
    await reaches(environment, task, TaskStatus.HELD)
    done = await environment.orders.withdrawals.withdraw(id_of(task))
    assert (done.over, done.document["status"], done.document["sent"]) == (True, "cancelled", "no")
    await operations.resume(ACCOUNT, reason="test", by=OPERATOR)
    again = await environment.orders.withdrawals.withdraw(id_of(task))
    assert (again.over, again.document["status"]) == (True, "cancelled")
    assert (await checked_history(database_url, simulator)).ledger == []
    assert [kind for _, kind, _ in await environment.events()] == ["order_cancelled"]


async def test_an_order_in_doubt_is_cancelled_when_it_shows(
    database_url: str, simulator: RunningSimulator, environment: OrderEnvironment
) -> None:
    """Its id is unknown yet; once the book has shown it, one cancel goes out by itself."""
    await environment.fault("late_visible", params={"ms": 3000})
    await environment.fault("drop_after_accept")
    task = await environment.place(wait_s=0.0)
    await reaches(environment, task, TaskStatus.IN_DOUBT)
    done = await environment.orders.withdrawals.withdraw(id_of(task))
    assert (done.over, done.document["status"], done.document["cancel_on_sight"]) == (False, "in_doubt", True)
    await until(lambda: all_cancelled(environment))
    assert len((await checked_history(database_url, simulator)).ledger) == 1
    assert await cancels(environment) == 1


async def test_an_order_being_sent_is_cancelled_when_it_is_answered(
    database_url: str, simulator: RunningSimulator, environment: OrderEnvironment
) -> None:
    """The answer brings the id, and the wish is already there."""
    await environment.fault("delay", params={"ms": 800})
    task = await environment.place(wait_s=0.0)
    await reaches(environment, task, TaskStatus.RUNNING)
    assert not (await environment.orders.withdrawals.withdraw(id_of(task))).over
    await until(lambda: all_cancelled(environment))
    await checked_history(database_url, simulator)


async def test_a_live_order_is_cancelled_once(
    database_url: str, simulator: RunningSimulator, environment: OrderEnvironment
) -> None:
    """However often it is asked for; afterwards there is nothing more to do."""
    task = await environment.place()
    other = await environment.place(price=Decimal(1401))
    withdrawals = environment.orders.withdrawals
    for _ in range(3):
        await withdrawals.withdraw(id_of(task))

    async def is_over() -> bool:
        return (await withdrawals.withdraw(id_of(task))).over

    await until(is_over)
    history = await checked_history(database_url, simulator)
    assert {order.order_id: order.state for order in history.orders} == {
        task["order_id"]: "cancelled",
        other["order_id"]: "open",
    }
    assert await cancels(environment) == 1


async def test_a_filled_order_stays_filled(environment: OrderEnvironment) -> None:
    """Nothing is cancelled, and nothing is said to be."""
    task = await environment.place(price=Decimal(1500))

    async def is_filled() -> bool:
        return await states(environment) == ["COMPLETE"]

    await until(is_filled)

    async def is_over() -> bool:
        return (await environment.orders.withdrawals.withdraw(id_of(task))).over

    await until(is_over)
    assert (await environment.orders.withdrawals.withdraw(id_of(task))).document["status"] == "completed"


async def test_a_leg_that_is_taken_back_takes_its_batch_along(
    database_url: str, simulator: RunningSimulator, environment: OrderEnvironment
) -> None:
    """A batch that rolls back as a whole does so for a leg that its caller no longer wants."""
    await environment.fault("delay", times=-1, params={"ms": 300})
    batch = await environment.batch([order(), order(price=Decimal(1401))], wait_s=0.0)
    await environment.orders.withdrawals.withdraw(id_of(batch["orders"][1]))
    history = await checked_history(database_url, simulator)
    assert [one.status for one in history.batches] == ["rolled_back"]


async def test_a_halt_that_cancels_also_cancels_what_shows_later(
    database_url: str, simulator: RunningSimulator, environment: OrderEnvironment
) -> None:
    """The order that was in doubt when everything was to be cancelled does not stay behind alive."""
    await environment.fault("late_visible", params={"ms": 3000})
    await environment.fault("drop_after_accept")
    task = await environment.place(wait_s=0.0)
    await reaches(environment, task, TaskStatus.IN_DOUBT)
    done = await environment.orders.operators.halts.halt(
        ACCOUNT, mode="halt", open_orders="cancel", reason="out", by=OPERATOR
    )
    assert done.unanswered == {ACCOUNT: 1}
    await until(lambda: all_cancelled(environment))
    await checked_history(database_url, simulator)


async def test_only_placements_are_withdrawn(environment: OrderEnvironment) -> None:
    """A modification is undone by another one; an unknown task is unknown."""
    task = await environment.place()

    async def is_shown() -> bool:
        page = await environment.service.queries.orders(ACCOUNT, after=None, limit=10)
        return any(row["status"] == "OPEN" for row in page.data)

    await until(is_shown)
    changed = await environment.service.modify(
        task["order_id"], OrderChanges(price=Decimal(1399)), account_id=None, caller=Caller(principal="t"), wait_s=20.0
    )
    with pytest.raises(Conflict) as caught:
        await environment.orders.withdrawals.withdraw(id_of(changed.document))
    assert caught.value.code == "NOT_A_PLACEMENT"
    with pytest.raises(NotFound):
        await environment.orders.withdrawals.withdraw(UUID(int=1))
