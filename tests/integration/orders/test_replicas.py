"""Several replicas on one database: any of them accepts, one of them sends."""

from __future__ import annotations

from decimal import Decimal

from app.db.leases import LeaseTimes
from app.kit.clock import IST
from app.kite.pace import BrokerLimits
from app.orders.entry.acceptance import Caller
from app.orders.sending.sent_today_store import sent_today
from app.orders.state.task_store import database_now
from simulator.server import RunningSimulator
from tests.order_environment import ACCOUNT, OrderEnvironment, open_order_environment
from tests.order_waits import after_the_lease, at_the_exchange, end_of
from tests.waiting import until


async def owner_among(*environments: OrderEnvironment) -> OrderEnvironment:
    async def found() -> bool:
        return sum(environment.engine.is_owner(ACCOUNT) for environment in environments) == 1

    await until(found)
    return next(environment for environment in environments if environment.engine.is_owner(ACCOUNT))


async def test_a_replica_that_does_not_send_still_answers(database_url: str, simulator: RunningSimulator) -> None:
    """The order goes through the owner, the answer comes from where it was asked."""
    async with (
        open_order_environment(database_url, simulator.url) as a,
        open_order_environment(database_url, simulator.url) as b,
    ):
        owner = await owner_among(a, b)
        other = b if owner is a else a
        assert (await other.place())["status"] == "completed"
        assert not other.engine.is_owner(ACCOUNT)


async def test_a_dead_owner_is_replaced_and_nothing_is_doubled(database_url: str, simulator: RunningSimulator) -> None:
    """The owner's loops die while it sends; the other replica takes over and ends every task."""
    async with (
        open_order_environment(database_url, simulator.url) as a,
        open_order_environment(database_url, simulator.url) as b,
    ):
        owner = await owner_among(a, b)
        other = b if owner is a else a
        await owner.fault("delay", times=-1, params={"ms": 300})
        tasks = [await other.place(wait_s=0.0) for _ in range(6)]
        await at_the_exchange(owner, 1)
        await owner.crash()
        await owner.sim.delete("/_sim/faults")
        ends = [(await end_of(other, task))["status"] for task in tasks]
        tags = [row["tag"][:19] for row in await other.ledger()]
        assert len(tags) == len(set(tags))
        assert ends.count("completed") == len(tags)


async def test_an_owner_that_leaves_in_order_is_replaced_immediately(
    database_url: str, simulator: RunningSimulator
) -> None:
    """Drain hands the lease over: the other replica sends long before the lease's end."""
    leases = LeaseTimes(ttl_s=120.0, trust_s=100.0, renew_every_s=0.3, try_every_s=0.1)
    async with (
        open_order_environment(database_url, simulator.url, leases=leases) as a,
        open_order_environment(database_url, simulator.url, leases=leases) as b,
    ):
        owner = await owner_among(a, b)
        other = b if owner is a else a
        assert await owner.engine.drain(timeout_s=10.0)
        task = await other.place()
        assert task["status"] == "completed"
        assert other.engine.is_owner(ACCOUNT)


async def test_a_new_owner_learns_what_was_sent_within_the_minute(
    database_url: str, simulator: RunningSimulator
) -> None:
    """Of every kind: the broker counts 400 a minute for the account, not for each process."""
    async with open_order_environment(database_url, simulator.url) as environment:
        task = await environment.place()
        await environment.service.cancel(
            str(task["order_id"]), account_id=None, caller=Caller(principal="t"), wait_s=5.0
        )
        async with environment.database.connection() as connection:
            sent = await sent_today(
                connection, ACCOUNT, trade_date=(await database_now(connection)).astimezone(IST).date()
            )
    assert sent.places == 1
    assert len(sent.ages_s) == 2
    assert all(0 <= age_s < 20 for age_s in sent.ages_s)


async def test_a_new_owner_counts_the_minute_of_the_last_one(database_url: str, simulator: RunningSimulator) -> None:
    """Its own limit begins with what the account has used, not with an empty minute."""
    async with open_order_environment(database_url, simulator.url) as first:
        for number in range(3):
            await first.place(price=Decimal(1400 + number))
        await first.engine.drain(timeout_s=10.0)
        four_placements = BrokerLimits(orders_per_minute=5)  # the fifth is kept for cancels
        async with open_order_environment(database_url, simulator.url, pace=four_placements) as second:
            assert (await second.place())["status"] == "completed"
            assert (await second.place(wait_s=1.0))["status"] == "pending"
            assert len(await second.ledger()) == 4


async def test_a_claim_needs_the_present_term(database_url: str, simulator: RunningSimulator) -> None:
    """A sender whose lease was taken away claims nothing, even before it has noticed."""
    async with open_order_environment(database_url, simulator.url) as environment:
        await owner_among(environment)
        async with environment.database.connection() as connection:
            await connection.execute(
                "UPDATE lease SET owner = 'thief', term = term + 1, expires_at = now() + interval '1 min'"
            )
        task = await environment.place(wait_s=0.5)
        assert (task["status"], task["attempts"]) == ("pending", 0)
        assert await environment.ledger() == []


async def test_orders_of_a_forgotten_past_wait_for_the_book(database_url: str, simulator: RunningSimulator) -> None:
    """A restored database may show an order as pending that was sent: a new term reads the book before it sends it."""
    async with open_order_environment(database_url, simulator.url) as environment:
        task = await environment.place()
        await environment.crash()
        async with environment.database.connection() as connection:  # what a lost commit leaves behind
            await connection.execute("DELETE FROM broker_order")
            await connection.execute("DELETE FROM order_attempt")
            await connection.execute(
                """UPDATE order_task SET status = 'pending', attempts = 0, sent = 'no', order_id = NULL,
                     finished_at = NULL, send_by = now() + interval '20 s'"""
            )
    await after_the_lease(database_url)
    async with open_order_environment(database_url, simulator.url) as environment:
        ended = await end_of(environment, task)
        assert (ended["status"], ended["order_id"]) == ("completed", task["order_id"])
        assert len(await environment.ledger()) == 1
