"""What can no longer be sent keeps nothing else waiting, also before it is marked as ended."""

from __future__ import annotations

from decimal import Decimal

import pytest

from app.orders.state.model import TaskStatus
from tests.faults.sender_steps import sender_steps
from tests.faults.test_guards import next_claims
from tests.order_environment import OrderEnvironment
from tests.order_requests import order

ENDS = {
    "expired": "send_by = clock_timestamp() - interval '1 ms'",
    "unwanted": "unwanted_since = clock_timestamp(), unwanted_why = 'withdrawal'",
    "without a further attempt": "attempts = 9",
}


@pytest.mark.parametrize("status", [TaskStatus.PENDING, TaskStatus.RETRYING])
@pytest.mark.parametrize("change", ENDS.values(), ids=ENDS)
async def test_a_task_that_is_over_holds_no_later_one(
    change: str, status: TaskStatus, environment: OrderEnvironment
) -> None:
    """The next order of its instrument goes, although nothing has ended the one in front."""
    sender = await sender_steps(environment)
    over = await environment.place(wait_s=0.0)
    following = await environment.place(wait_s=0.0)
    async with environment.database.connection() as connection:
        await connection.execute(
            f"UPDATE order_task SET status = %s, {change} WHERE task_id = %s",  # noqa: S608 - our own text
            (status, over["task_id"]),
        )
    assert await next_claims(sender, 1) == [following["task_id"]]


@pytest.mark.parametrize(
    "change", ["UPDATE batch SET status = 'compensating'", "UPDATE order_task SET status = 'failed' WHERE leg = 0"]
)
async def test_a_leg_of_a_batch_that_is_undone_holds_no_later_order(change: str, environment: OrderEnvironment) -> None:
    """It is never sent, whether or not the batch's own loop has seen that yet."""
    sender = await sender_steps(environment)
    await environment.batch([order(tradingsymbol="SBIN", price=Decimal(500)), order()], wait_s=0.0)
    following = await environment.place(wait_s=0.0)
    async with environment.database.connection() as connection:
        await connection.execute(change)
    assert await next_claims(sender, 2) == [following["task_id"], None]


async def test_a_task_that_waits_for_its_next_attempt_keeps_its_place(environment: OrderEnvironment) -> None:
    """It will be sent: what came after it goes after it."""
    sender = await sender_steps(environment)
    first = await environment.place(wait_s=0.0)
    await environment.place(wait_s=0.0)
    async with environment.database.connection() as connection:
        await connection.execute(
            """UPDATE order_task SET status = 'retrying', not_before = clock_timestamp() + interval '5 s'
               WHERE task_id = %s""",
            (first["task_id"],),
        )
    assert await next_claims(sender, 1) == [None]
