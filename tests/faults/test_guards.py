"""Each guard of the sender alone, at the moment that it exists for. ``mutate.py`` shows that each is needed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import uuid4

import pytest

from app.broker.orders import Operation
from app.broker.outcomes import Accepted, ChildOrder, InDoubt, NotSent, Sent
from app.db.leases import LeaseTimes
from app.kit.clock import IST
from app.orders.entry.acceptance import Caller
from app.orders.risk.halt_store import set_halt
from app.orders.state.engine_settings import CLEAN_READS_NEEDED
from app.orders.state.model import Task, TaskStatus
from app.orders.state.new_task_store import insert_tasks
from app.orders.state.new_tasks import NewTask
from simulator.server import RunningSimulator
from tests.faults.chaos_checks import checked_history
from tests.faults.sender_steps import SenderSteps, sender_steps
from tests.faults.test_crash_rows import resting
from tests.order_environment import ACCOUNT, SHORT_SETTINGS, OrderEnvironment, open_order_environment
from tests.order_requests import order
from tests.order_waits import after_the_lease, now, reaches, read_again, struck
from tests.waiting import until

CALLER = Caller(principal="t")
BUSY = {
    "code": 400,
    "error_type": "OrderException",
    "message": "Order cannot be cancelled as it is being processed. Try later.",
}


@pytest.fixture
async def patient(database_url: str, simulator: RunningSimulator) -> AsyncIterator[OrderEnvironment]:
    """An environment where a doubt pauses its instrument for longer than any test takes."""
    settings = replace(SHORT_SETTINGS, block_on_doubt_s=120.0)
    async with open_order_environment(database_url, simulator.url, settings=settings) as opened:
        await opened.set_price("NSE:INFY", 1500)
        yield opened


async def claimed(environment: OrderEnvironment, sender: SenderSteps) -> Task:
    await environment.place(wait_s=0.0)
    task = await sender.claim()
    assert task is not None
    return task


async def stored(environment: OrderEnvironment, task: Task) -> Task:
    return await environment.service.queries.task(task.task_id)


async def next_claims(sender: SenderSteps, count: int) -> list[str | None]:
    """The ids of the tasks that may be sent next, one after the other."""
    tasks = [await sender.claim() for _ in range(count)]
    return [None if task is None else str(task.task_id) for task in tasks]


async def test_a_pause_between_claim_and_send_sends_nothing(environment: OrderEnvironment) -> None:
    """More than a second after the claim another process may own the row: not sent, and recorded so."""
    sender = await sender_steps(environment)
    task = await claimed(environment, sender)
    await sender.send(task, claimed_s_ago=1.5)
    assert ((await stored(environment, task)).status, await environment.ledger()) == (TaskStatus.RETRYING, [])


async def test_a_lease_that_is_over_by_our_clock_sends_nothing(environment: OrderEnvironment) -> None:
    """Claimed a moment ago, but the lease is trusted no more."""
    sender = await sender_steps(environment, times=LeaseTimes(ttl_s=120.0, trust_s=0.0))
    task = await claimed(environment, sender)
    await sender.send(task)
    assert ((await stored(environment, task)).status, await environment.ledger()) == (TaskStatus.RETRYING, [])


async def test_an_answer_under_an_old_fence_changes_nothing(environment: OrderEnvironment) -> None:
    """The claim was lost and taken again: the old answer is kept with its attempt and changes no state."""
    sender = await sender_steps(environment)
    task = await claimed(environment, sender)
    async with environment.database.connection() as connection:
        await connection.execute("UPDATE order_task SET fence = fence + 1")
    await sender.store(task, Accepted(order_id="1"))
    after = await stored(environment, task)
    assert (after.status, after.order_id) == (TaskStatus.RUNNING, None)
    async with environment.database.connection() as connection:
        cursor = await connection.execute("SELECT outcome, order_id FROM order_attempt")
        assert await cursor.fetchone() == ("accepted", "1")


async def test_a_stale_order_is_not_claimed(environment: OrderEnvironment) -> None:
    """Its freshness ended in the queue: the claim itself passes it over."""
    sender = await sender_steps(environment)
    await environment.place(wait_s=0.0)
    async with environment.database.connection() as connection:
        await connection.execute("UPDATE order_task SET send_by = clock_timestamp()")
    assert await sender.claim() is None


async def test_a_halt_is_seen_by_the_claim_itself(environment: OrderEnvironment) -> None:
    """From its commit on no claim passes it, also of a sender that has not read it yet; a cancel does."""
    order_id = await resting(environment)
    sender = await sender_steps(environment)
    await environment.place(wait_s=0.0)
    async with environment.database.transaction() as tx:
        await set_halt(tx, scope=ACCOUNT, mode="halt", reason="test", set_by="test")
    assert await sender.claim() is None
    await environment.service.cancel(order_id, account_id=None, caller=CALLER, wait_s=0.0)
    task = await sender.claim()
    assert task is not None
    assert task.operation is Operation.CANCEL


async def test_a_new_term_sends_no_older_row_before_it_has_read_the_book(
    database_url: str, simulator: RunningSimulator
) -> None:
    """While the book cannot be read an order of before stays where it is; then it goes, once."""
    async with open_order_environment(database_url, simulator.url) as environment:
        await sender_steps(environment)
        task = await environment.place(wait_s=0.0)
        await after_the_lease(database_url)
        await environment.fault("status", method="GET", path="/orders", times=-1, params={"code": 502})
    async with open_order_environment(database_url, simulator.url) as environment:
        await struck(environment, "status")
        await asyncio.sleep(0.5)
        assert (await now(environment, task)).attempts == 0
        await environment.sim.delete("/_sim/faults")
        assert len((await checked_history(database_url, simulator)).ledger) == 1


async def test_a_read_that_began_before_the_doubt_proves_nothing(environment: OrderEnvironment) -> None:
    """Its answer comes after the doubt began, but it shows the book of before."""
    await read_again(environment, 1)
    await environment.fault("delay", method="GET", path="/orders", params={"ms": 1500})
    environment.orders.wakeups.on_order_hint(ACCOUNT)
    await struck(environment, "delay")
    reads = environment.engine.read_counters()[ACCOUNT].reads
    await environment.fault("delay", method="GET", path="/orders", times=-1, params={"ms": 60_000})
    await environment.fault("drop_before_read")
    task = await reaches(environment, await environment.place(wait_s=0.0), TaskStatus.IN_DOUBT)
    await until(lambda: has_read(environment, reads + 1))
    await asyncio.sleep(0.3)  # what was read is taken over
    assert (await now(environment, task)).clean_reads == 0


async def has_read(environment: OrderEnvironment, times: int) -> bool:
    return environment.engine.read_counters()[ACCOUNT].reads >= times


async def test_a_cancel_of_a_busy_order_is_repeated(environment: OrderEnvironment) -> None:
    """'Being processed' is said of busy and of finished orders alike: while the order lives the cancel is repeated."""
    order_id = await resting(environment)
    await environment.fault("status", method="DELETE", path="/orders/*", times=2, params=BUSY)
    answer = await environment.service.cancel(order_id, account_id=None, caller=CALLER, wait_s=20.0)
    assert (answer.document["status"], answer.document["attempts"]) == ("completed", 3)
    assert [row["state"] for row in await environment.ledger()] == ["CANCELLED"]


async def test_a_cancel_that_expires_after_a_doubt_does_not_say_that_it_was_not_sent(
    database_url: str, simulator: RunningSimulator
) -> None:
    """Its bytes left more than once; that its time is over takes nothing of that back."""
    settings = replace(SHORT_SETTINGS, freshness_cancel_s=2.0)
    async with open_order_environment(database_url, simulator.url, settings=settings) as environment:
        await environment.set_price("NSE:INFY", 1500)
        order_id = await resting(environment)
        await environment.fault("drop_before_read", method="DELETE", path="/orders/*", times=-1)
        answer = await environment.service.cancel(order_id, account_id=None, caller=CALLER, wait_s=20.0)
        assert (answer.document["status"], answer.document["sent"]) == ("expired", "unknown")


async def test_one_order_of_an_instrument_at_a_time(environment: OrderEnvironment) -> None:
    """The second waits for the first one's answer; another instrument does not."""
    sender = await sender_steps(environment)
    first = await claimed(environment, sender)
    second = await environment.place(wait_s=0.0)
    elsewhere = await environment.place(wait_s=0.0, tradingsymbol="SBIN")
    assert await next_claims(sender, 2) == [elsewhere["task_id"], None]
    await sender.send(first)
    assert await next_claims(sender, 2) == [second["task_id"], None]


async def in_doubt(environment: OrderEnvironment, sender: SenderSteps) -> None:
    """An order of INFY whose outcome is unknown."""
    doubtful = await claimed(environment, sender)
    await environment.fault("drop_before_read")
    await sender.send(doubtful)
    assert (await stored(environment, doubtful)).status is TaskStatus.IN_DOUBT


async def test_a_doubt_pauses_its_instrument_and_no_other(patient: OrderEnvironment) -> None:
    """Whether the first one is live is unknown: the next one of its instrument waits a while."""
    sender = await sender_steps(patient)
    await in_doubt(patient, sender)
    await patient.place(wait_s=0.0)
    elsewhere = await patient.place(wait_s=0.0, tradingsymbol="SBIN")
    assert await next_claims(sender, 2) == [elsewhere["task_id"], None]


async def test_an_exit_overtakes_entries_and_is_not_paused_by_a_doubt(patient: OrderEnvironment) -> None:
    """What is proven to make a position smaller goes first, also on an instrument where an entry is in doubt."""
    sender = await sender_steps(patient)
    await in_doubt(patient, sender)
    await patient.place(wait_s=0.0)
    elsewhere = await patient.place(wait_s=0.0, tradingsymbol="SBIN")
    way_out = exit_task()
    async with patient.database.transaction() as tx:
        await insert_tasks(tx, [way_out])
    assert await next_claims(sender, 3) == [str(way_out.task_id), elsewhere["task_id"], None]


def exit_task() -> NewTask:
    request = order(transaction_type="SELL")
    return NewTask(
        task_id=uuid4(),
        account_id=ACCOUNT,
        operation=Operation.PLACE,
        trade_date=datetime.now(IST).date(),
        instrument=request.instrument,
        request=request.to_json(),
        send_by=datetime.now(IST) + timedelta(seconds=30),
        tag_base="EXIT000000000000001",
        reduces=True,
    )


@pytest.mark.parametrize(("rollback", "goes_on"), [(True, False), (False, True)])
async def test_no_leg_of_a_batch_is_sent_after_one_that_failed(
    environment: OrderEnvironment, rollback: bool, goes_on: bool
) -> None:
    """Between a leg's refusal and the batch's own decision lies a moment in which the next leg must not go."""
    sender = await sender_steps(environment)
    await environment.fault("status", params={"code": 400, "error_type": "MarginException", "message": "No funds"})
    legs = [order(), order(tradingsymbol="SBIN")]
    await environment.batch(legs, wait_s=0.0, rollback=rollback)
    first = await sender.claim()
    assert first is not None
    await sender.send(first)
    assert (await stored(environment, first)).status is TaskStatus.FAILED
    assert (await sender.claim() is not None) is goes_on


async def test_an_order_taken_back_on_its_way_is_not_sent_again(environment: OrderEnvironment) -> None:
    """No byte had left and it could be tried again, but it was withdrawn."""
    sender = await sender_steps(environment)
    await environment.place(wait_s=0.0)
    async with environment.database.connection() as connection:
        await connection.execute(
            "UPDATE order_task SET status = 'retrying', unwanted_since = now(), unwanted_why = 'halt'"
        )
    assert await sender.claim() is None


async def test_a_tenth_attempt_has_no_tag_and_is_not_made(environment: OrderEnvironment) -> None:
    """An attempt's number is one digit of its tag: a session that keeps dying ends the order unsent instead."""
    sender = await sender_steps(environment)
    await environment.place(wait_s=0.0)
    async with environment.database.connection() as connection:
        await connection.execute("UPDATE order_task SET attempts = 9")
    assert await sender.claim() is None


async def test_slices_are_not_lost_when_the_book_is_faster_than_the_answer(environment: OrderEnvironment) -> None:
    """What the answer says of each slice, refused ones too, is stored although the task is completed already."""
    sender = await sender_steps(environment)
    task = await claimed(environment, sender)
    async with environment.database.connection() as connection:
        await connection.execute("UPDATE order_task SET status = 'completed', order_id = '1'")
    slices = (ChildOrder(order_id="1"), ChildOrder(error_type="MarginException", message="No funds"))
    await sender.store(task, Accepted(order_id="1", children=slices))
    after = await environment.service.queries.task(task.task_id)
    assert (after.status, after.children) == (TaskStatus.COMPLETED, slices)


async def test_a_doubt_from_before_this_book_is_never_proven_absent(environment: OrderEnvironment) -> None:
    """Yesterday's order is not in today's book, whatever became of it: many clean reads later it is still a doubt."""
    await environment.fault("drop_before_read")
    doubt = await reaches(environment, await environment.place(wait_s=0.0), TaskStatus.IN_DOUBT)
    async with environment.database.connection() as connection:
        await connection.execute("UPDATE order_task SET last_sent_at = last_sent_at - interval '1 day'")
    await read_again(environment, 2 * CLEAN_READS_NEEDED)
    assert (await now(environment, doubt)).status is TaskStatus.IN_DOUBT


async def test_a_new_owner_respects_the_second_of_the_last_one(database_url: str, simulator: RunningSimulator) -> None:
    """Eight orders and a hand-over within a second: the next owner's orders do not make it more than ten."""
    async with open_order_environment(database_url, simulator.url, owner="a") as a:
        await until(lambda: has_read(a, 1))
        async with open_order_environment(database_url, simulator.url, owner="b") as b:
            symbols = ["INFY", "SBIN", "TCS", "ITC", "WIPRO"]
            for number in range(18):
                await b.place(wait_s=0.0, tradingsymbol=symbols[number % 5])
            await until(lambda: eight_sent(a), every_s=0.005)
            await a.engine.drain(timeout_s=1.0)
            history = await checked_history(database_url, simulator)
        assert max(peaks.per_second for peaks in history.peaks) <= 10


async def test_a_new_owner_waits_out_the_second_of_one_that_died(
    database_url: str, simulator: RunningSimulator
) -> None:
    """A request without an answer may have left a moment ago."""
    async with open_order_environment(database_url, simulator.url, owner="a") as a:
        await a.place()
        await a.engine.drain(timeout_s=1.0)
        async with a.database.connection() as connection:
            await connection.execute("UPDATE order_attempt SET started_at = clock_timestamp(), finished_at = NULL")
        async with open_order_environment(database_url, simulator.url, owner="b") as b:
            await b.place(tradingsymbol="SBIN")
            async with b.database.connection() as connection:
                cursor = await connection.execute(
                    "SELECT extract(epoch FROM max(started_at) - min(started_at)) FROM order_attempt"
                )
                row = await cursor.fetchone()
    assert row is not None
    assert row[0] >= 1.0


async def eight_sent(environment: OrderEnvironment) -> bool:
    stats = (await environment.sim.get("/_sim/stats")).json()
    return any(peak["total"] >= 8 for peak in stats["orders"]["arrived"].values())


async def test_no_leg_goes_once_its_batch_is_taken_back(environment: OrderEnvironment) -> None:
    """Also where no leg has failed (a deadline, a doubt), and a leg comes back unsent after the withdrawal."""
    sender = await sender_steps(environment)
    await environment.batch([order(), order(tradingsymbol="SBIN")], wait_s=0.0)
    async with environment.database.connection() as connection:
        await connection.execute("UPDATE batch SET status = 'compensating'")
    assert await sender.claim() is None


async def test_a_cancel_that_may_have_left_once_is_not_called_unsent(environment: OrderEnvironment) -> None:
    """The first had no answer, the one after it found no connection: `sent` stays unknown."""
    order_id = await resting(environment)
    sender = await sender_steps(environment)
    await environment.service.cancel(order_id, account_id=None, caller=CALLER, wait_s=0.0)
    first = await sender.claim(Operation.CANCEL)
    assert first is not None
    await sender.store(first, InDoubt(reason="no answer"))
    async with environment.database.connection() as connection:  # the book shows that the order is still live
        await connection.execute("UPDATE order_task SET status = 'retrying' WHERE task_id = %s", (first.task_id,))
    second = await sender.claim(Operation.CANCEL)
    assert second is not None
    await sender.store(second, NotSent(reason="no connection"))
    after = await stored(environment, first)
    assert (after.status, after.attempts, after.sent) == (TaskStatus.RETRYING, 2, Sent.UNKNOWN)
