"""A standby is promoted that lacks the last commits: what was sent reads as if it had never been."""

from __future__ import annotations

import asyncio
from uuid import UUID

from app.orders.state.model import FINISHED, TaskStatus
from simulator.server import RunningSimulator
from tests.order_environment import ACCOUNT, OrderEnvironment, open_order_environment
from tests.order_waits import after_the_lease, end_by_hints, end_of, now, reaches
from tests.waiting import until

FORGET = """UPDATE order_task SET status = 'pending', attempts = 0, fence = 0, sent = 'no', order_id = NULL,
  last_sent_at = NULL, finished_at = NULL, send_by = now() + make_interval(secs => %s)"""


async def forget(environment: OrderEnvironment, *, fresh_s: float) -> None:
    """Every task as it was accepted; ``fresh_s``: how much of its freshness is left."""
    async with environment.database.transaction() as tx:
        await tx.execute("DELETE FROM broker_order")
        await tx.execute("DELETE FROM order_attempt")
        await tx.execute(FORGET, (fresh_s,))


async def test_an_order_that_this_process_sent_is_not_sent_again_within_its_term(environment: OrderEnvironment) -> None:
    """The promotion was faster than the lease: no new term asks the book first, but the sender itself remembers."""
    task = await environment.place()
    await asyncio.sleep(0.5)
    await forget(environment, fresh_s=20)
    environment.engine.accepted(ACCOUNT, batch=False)
    ended = await end_of(environment, task)
    assert (ended["status"], ended["order_id"]) == ("completed", task["order_id"])
    assert len(await environment.ledger()) == 1


async def test_an_order_sent_before_a_restore_does_not_expire_unsent(
    database_url: str, simulator: RunningSimulator
) -> None:
    """Its freshness is over when the new owner comes; only the book may say what became of it."""
    async with open_order_environment(database_url, simulator.url) as environment:
        task = await environment.place()
        await environment.crash()
        await forget(environment, fresh_s=0)
    await after_the_lease(database_url)
    async with open_order_environment(database_url, simulator.url) as environment:
        ended = await end_of(environment, task)
        assert (ended["status"], ended["sent"], ended["order_id"]) == ("completed", "yes", task["order_id"])
        assert len(await environment.ledger()) == 1


async def test_an_unsent_order_expires_once_the_book_was_read(database_url: str, simulator: RunningSimulator) -> None:
    """Nothing was forgotten: the first read of the term shows nothing, and it ends as expired."""
    async with open_order_environment(database_url, simulator.url) as environment:
        await environment.crash()
        task = await environment.place(wait_s=0.0)
        async with environment.database.connection() as connection:
            await connection.execute("UPDATE order_task SET send_by = now()")
    await after_the_lease(database_url)
    async with open_order_environment(database_url, simulator.url) as environment:
        ended = await end_of(environment, task)
        assert (ended["status"], ended["sent"]) == ("expired", "no")
        assert await environment.ledger() == []


async def test_an_order_that_this_process_sent_does_not_expire_within_its_term(environment: OrderEnvironment) -> None:
    """Its freshness is over when the promotion is: it is in doubt, until the book shows it. It is not cancelled."""
    await environment.fault("stale_book", method="GET", path="/orders", times=-1, params={"ms": 60_000})
    task = await environment.place()
    await forget(environment, fresh_s=0)
    doubt = await reaches(environment, task, *FINISHED, TaskStatus.IN_DOUBT)
    assert (doubt["status"], doubt["sent"]) == ("in_doubt", "unknown")
    await environment.sim.delete("/_sim/faults")
    ended = await end_by_hints(environment, task)
    assert (ended["status"], ended["sent"], ended["order_id"]) == ("completed", "yes", task["order_id"])
    assert [row["state"] for row in await environment.ledger()] == ["OPEN"]


async def test_an_order_that_this_process_sent_is_not_called_withdrawn_unsent(environment: OrderEnvironment) -> None:
    """Taken back after the promotion: it may be at the exchange, and is cancelled there once the book shows it."""
    await environment.fault("stale_book", method="GET", path="/orders", times=-1, params={"ms": 60_000})
    task = await environment.place()
    await environment.engine.drain(timeout_s=2.0)  # nothing claims it before the client takes it back
    await forget(environment, fresh_s=20)
    taken_back = await environment.orders.withdrawals.withdraw(UUID(task["task_id"]))
    assert not taken_back.over
    assert (taken_back.document["status"], taken_back.document["sent"]) == ("in_doubt", "unknown")


async def test_an_order_that_was_called_unsent_is_taken_back_when_it_shows(environment: OrderEnvironment) -> None:
    """Forgotten, also by the process that sent it, and its freshness over: it expires, the book shows it, it is
    cancelled and alarmed."""
    await environment.fault("stale_book", method="GET", path="/orders", times=-1, params={"ms": 60_000})
    task = await environment.place()
    environment.parts.settlement.sends.forget(await now(environment, task))
    await forget(environment, fresh_s=0)

    async def has_status(status: str) -> bool:
        return (await environment.service.queries.task(UUID(task["task_id"]))).status == status

    await until(lambda: has_status("expired"))
    await environment.sim.delete("/_sim/faults")
    environment.orders.wakeups.on_order_hint(ACCOUNT)
    await until(lambda: has_status("completed"))

    async def is_cancelled() -> bool:
        return [row["state"] for row in await environment.ledger()] == ["CANCELLED"]

    await until(is_cancelled)
    assert environment.engine.counters.alarms["late_order"] == 1


async def test_a_refusal_that_was_none_is_seen(environment: OrderEnvironment) -> None:
    """400 with a text that proves a refusal, and yet the order is in the book."""
    answer = {"code": 400, "error_type": "InputException", "message": "Invalid price", "process": True}
    await environment.fault("status", params=answer)
    task = await environment.place()
    assert task["status"] == "failed"

    async def is_cancelled() -> bool:
        return [row["state"] for row in await environment.ledger()] == ["CANCELLED"]

    await until(is_cancelled)
    now = await environment.service.queries.task(UUID(task["task_id"]))
    assert (now.status, environment.engine.counters.alarms["late_order"]) == ("completed", 1)


async def test_a_second_order_under_the_tags_of_one_task_is_alarmed(environment: OrderEnvironment) -> None:
    """Turned away for its rate and booked all the same, later than the proof: the second try is the task's order."""
    answer = {"code": 429, "error_type": "NetworkException", "message": "Too many requests", "process": True}
    await environment.fault("status", params=answer)
    await environment.fault("late_visible", params={"ms": 3000})
    task = await environment.place()
    assert (task["status"], task["attempts"]) == ("completed", 2)
    await until(lambda: is_alarmed(environment, "mismatch"))
    assert len(await environment.ledger()) == 2


async def is_alarmed(environment: OrderEnvironment, kind: str) -> bool:
    environment.orders.wakeups.on_order_hint(ACCOUNT)
    return bool(environment.engine.counters.alarms[kind])
