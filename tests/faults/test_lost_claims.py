"""A claim was committed and its answer lost: what this process never sent is no doubt; anything else is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.orders.state.model import TaskStatus
from tests.faults.sender_steps import SenderSteps, sender_steps
from tests.order_environment import OrderEnvironment
from tests.order_waits import now

IN_DOUBT = (TaskStatus.IN_DOUBT, "unknown")


async def let_the_claim_run_out(environment: OrderEnvironment, steps: SenderSteps, *, owner: str | None = None) -> None:
    """What waiting would do. ``owner``: as if this process had claimed it."""
    async with environment.database.connection() as connection:
        await connection.execute(
            "UPDATE order_task SET claimed_until = clock_timestamp(), claimed_by = coalesce(%s, claimed_by)", (owner,)
        )
    await environment.fault("status", method="GET", path="/orders", params={"code": 500})
    await steps.sweep_without_a_book()


async def state_of(environment: OrderEnvironment, task: Mapping[str, Any]) -> tuple[TaskStatus, str]:
    found = await now(environment, task)
    return found.status, str(found.sent)


async def test_a_claim_whose_answer_was_lost_is_sent_again(environment: OrderEnvironment) -> None:
    """The database was lost in that moment: the claim is in it, and nothing left. No doubt stops the account."""
    steps = await sender_steps(environment)
    task = await environment.place(wait_s=0.0)
    assert await steps.claim() is not None
    await let_the_claim_run_out(environment, steps)
    assert await state_of(environment, task) == (TaskStatus.RETRYING, "no")
    async with environment.database.connection() as connection:
        await connection.execute("UPDATE order_task SET not_before = clock_timestamp()")
    again = await steps.claim()
    assert again is not None
    await steps.send(again)
    assert await state_of(environment, task) == (TaskStatus.COMPLETED, "yes")
    assert len(await environment.ledger()) == 1


async def test_a_claim_of_which_something_was_sent_is_a_doubt(environment: OrderEnvironment) -> None:
    """The request left, and the outcome could not be stored."""
    steps = await sender_steps(environment)
    task = await environment.place(wait_s=0.0)
    claimed = await steps.claim()
    assert claimed is not None
    await steps.send_only(claimed)
    await let_the_claim_run_out(environment, steps)
    assert await state_of(environment, task) == IN_DOUBT
    assert len(await environment.ledger()) == 1


async def test_a_claim_of_another_process_is_a_doubt(environment: OrderEnvironment) -> None:
    """Only the process that claimed a task knows whether it has sent it."""
    steps = await sender_steps(environment)
    task = await environment.place(wait_s=0.0)
    assert await steps.claim() is not None
    await let_the_claim_run_out(environment, steps, owner="another")
    assert await state_of(environment, task) == IN_DOUBT


async def test_a_claim_that_was_learned_of_too_late_sends_nothing(environment: OrderEnvironment) -> None:
    """Its sender goes on after all, when the task counts as unsent already."""
    steps = await sender_steps(environment)
    task = await environment.place(wait_s=0.0)
    claimed = await steps.claim()
    assert claimed is not None
    await let_the_claim_run_out(environment, steps)
    await steps.send(claimed, claimed_s_ago=10.0)
    assert await state_of(environment, task) == (TaskStatus.RETRYING, "no")
    assert await environment.ledger() == []
