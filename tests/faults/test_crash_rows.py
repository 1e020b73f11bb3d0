"""The process dies at every labelled point of an order's way; the next one brings everything to its true end, once.

``CRASH_REPEATS`` in the environment repeats each point, for longer runs.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from dataclasses import replace
from decimal import Decimal
from uuid import UUID

import psycopg
import pytest

from app.broker.orders import OrderChanges
from app.orders.entry.acceptance import Caller
from app.orders.entry.not_accepted import NotAccepted
from app.orders.state.model import TaskStatus
from chaos.proxy import Direction, FaultProxy, Toxic, open_proxy
from simulator.server import RunningSimulator
from tests.faults.chaos_checks import checked_history
from tests.order_environment import ACCOUNT, SHORT_SETTINGS, OrderEnvironment, open_order_environment
from tests.order_requests import order
from tests.order_waits import after_the_lease, at_the_exchange, end_of, owns, reaches, read_again, struck
from tests.waiting import until

SETTINGS = replace(
    SHORT_SETTINGS, send_timeout_s=1.0, in_doubt_window_s=1.5, claim_lease_s=1.2, block_on_doubt_s=1.0, audit_s=0.3
)
CALLER = Caller(principal="t")
REPEATS = int(os.environ.get("CRASH_REPEATS", "1"))
DOWN: frozenset[Direction] = frozenset({"down"})
UP: frozenset[Direction] = frozenset({"up"})


async def resting(environment: OrderEnvironment) -> str:
    """A live order; its id."""
    task = await environment.place()
    order_id = str(task["order_id"])

    async def shown() -> bool:
        return bool((await environment.service.queries.order(order_id))["state"] == "open")

    await until(shown)
    return order_id


async def accepted_unsent(environment: OrderEnvironment, line: FaultProxy, database_url: str) -> None:
    await resting(environment)  # while something is live the book is read often, should the crash cut a request off
    await environment.place(wait_s=0.0)


async def claimed_and_nothing_arrived(environment: OrderEnvironment, line: FaultProxy, database_url: str) -> None:
    await resting(environment)  # while something is live the book is read often
    line.toxics = (Toxic(kind="timeout", directions=UP),)
    await reaches(environment, await environment.place(wait_s=0.0), TaskStatus.RUNNING, TaskStatus.IN_DOUBT)


async def sent_and_not_read(environment: OrderEnvironment, line: FaultProxy, database_url: str) -> None:
    await resting(environment)  # while something is live the book is read often
    await environment.fault("hang", params={"ms": 4000, "process": False})
    await environment.place(wait_s=0.0)
    await struck(environment, "hang")


async def placed_and_not_answered(environment: OrderEnvironment, line: FaultProxy, database_url: str) -> None:
    await environment.fault("hang", params={"ms": 4000})
    await environment.place(wait_s=0.0)
    await at_the_exchange(environment, 1)


async def answer_lost_on_the_line(environment: OrderEnvironment, line: FaultProxy, database_url: str) -> None:
    line.toxics = (Toxic(kind="timeout", directions=DOWN),)
    await environment.place(wait_s=0.0)
    await at_the_exchange(environment, 1)


async def answer_half_read(environment: OrderEnvironment, line: FaultProxy, database_url: str) -> None:
    line.toxics = (Toxic(kind="slicer", directions=DOWN, size=8, delay_ms=40),)
    await environment.place(wait_s=0.0)
    await at_the_exchange(environment, 1)
    await asyncio.sleep(0.1)  # of the second that the slices take


async def answer_read_and_not_stored(environment: OrderEnvironment, line: FaultProxy, database_url: str) -> None:
    async with await psycopg.AsyncConnection.connect(database_url) as other:
        await environment.place(tradingsymbol="SBIN", price=Decimal(700))  # the account's log exists
        await other.execute("SELECT 1 FROM account_seq FOR UPDATE")
        await environment.place(wait_s=0.0)
        await at_the_exchange(environment, 2)
        await asyncio.sleep(0.1)  # for the answer's way
        await environment.crash()


async def stored_and_not_reported(environment: OrderEnvironment, line: FaultProxy, database_url: str) -> None:
    task = await environment.place(wait_s=0.0)

    async def done() -> bool:
        return (await environment.service.queries.task(UUID(task["task_id"]))).status == "completed"

    await until(done, every_s=0.001)


async def in_the_middle_of_a_read(environment: OrderEnvironment, line: FaultProxy, database_url: str) -> None:
    await environment.fault("delay", method="GET", path="/orders", times=-1, params={"ms": 1000})
    await environment.fault("drop_after_accept")
    await reaches(environment, await environment.place(wait_s=0.0), TaskStatus.IN_DOUBT)
    await struck(environment, "delay")


async def cancel_sent_and_not_answered(environment: OrderEnvironment, line: FaultProxy, database_url: str) -> None:
    order_id = await resting(environment)
    await environment.fault("hang", method="DELETE", path="/orders/*", params={"ms": 4000})
    await environment.service.cancel(order_id, account_id=None, caller=CALLER, wait_s=0.0)
    await struck(environment, "hang")


async def modify_sent_and_not_answered(environment: OrderEnvironment, line: FaultProxy, database_url: str) -> None:
    order_id = await resting(environment)
    await environment.fault("hang", method="PUT", path="/orders/*", params={"ms": 4000})
    changes = OrderChanges(quantity=12)
    await environment.service.modify(order_id, changes, account_id=None, caller=CALLER, wait_s=0.0)
    await struck(environment, "hang")


async def between_the_legs(environment: OrderEnvironment, line: FaultProxy, database_url: str) -> None:
    await environment.batch([order(price=Decimal(1400 + leg)) for leg in range(6)], wait_s=0.0)
    await at_the_exchange(environment, 2)


async def between_the_cancels(environment: OrderEnvironment, line: FaultProxy, database_url: str) -> None:
    await environment.fault("reject", after=4, params={"message": "RMS:Blocked"})
    await environment.fault("delay", method="DELETE", path="/orders/*", times=-1, params={"ms": 300})
    await environment.batch([order(price=Decimal(1400 + leg)) for leg in range(5)], wait_s=0.0)
    await struck(environment, "delay", 2)


Point = Callable[[OrderEnvironment, FaultProxy, str], Awaitable[None]]
POINTS: tuple[Point, ...] = (
    accepted_unsent, claimed_and_nothing_arrived, sent_and_not_read, placed_and_not_answered, answer_lost_on_the_line,
    answer_half_read, answer_read_and_not_stored, stored_and_not_reported, in_the_middle_of_a_read,
    cancel_sent_and_not_answered, modify_sent_and_not_answered, between_the_legs, between_the_cancels,
)  # fmt: skip


@pytest.mark.parametrize("repeat", range(REPEATS))
@pytest.mark.parametrize("point", POINTS, ids=lambda point: point.__name__)
async def test_row_14_a_crash_at_any_point_doubles_and_loses_nothing(
    point: Point, repeat: int, database_url: str, simulator: RunningSimulator
) -> None:
    """kill -9 there, then a new process: every task and batch finished, with the true outcome, one order at most."""
    async with open_proxy(simulator.port) as line:
        async with open_order_environment(
            database_url, f"http://127.0.0.1:{line.port}", settings=SETTINGS
        ) as environment:
            environment.sim.base_url = simulator.url
            await environment.set_price("NSE:INFY", 1500)
            await read_again(environment, 1)  # before the first read of a deployment nothing is sent
            await point(environment, line, database_url)
            await environment.crash()
        line.toxics = ()
        await after_the_lease(database_url)
        async with open_order_environment(database_url, f"http://127.0.0.1:{line.port}", settings=SETTINGS):
            history = await checked_history(database_url, simulator, within_s=30)
        assert len(history.tasks) >= 1


async def test_row_15_a_lease_lost_during_a_send_leaves_the_row_to_the_book(
    database_url: str, simulator: RunningSimulator
) -> None:
    """The next owner does not send the row that was being sent: the book brings it to its end; others go on."""
    async with (
        open_order_environment(database_url, simulator.url, settings=SETTINGS, owner="a") as a,
        open_order_environment(database_url, simulator.url, settings=SETTINGS, owner="b") as b,
    ):
        await until(lambda: one_owns(a, b))
        old, new = (a, b) if a.engine.is_owner(ACCOUNT) else (b, a)
        await old.fault("delay", params={"ms": 600})
        task = await old.place(wait_s=0.0)
        await struck(old, "delay")
        await old.engine.drain(timeout_s=0.0)  # the send goes on, the lease does not
        await owns(new)
        ended = await end_of(new, task)
        assert (ended["status"], ended["attempts"]) == ("completed", 1)
        assert (await new.place())["status"] == "completed"
        assert len((await checked_history(database_url, simulator)).ledger) == 2


async def one_owns(*environments: OrderEnvironment) -> bool:
    return any(environment.engine.is_owner(ACCOUNT) for environment in environments)


async def test_row_16_the_database_away_under_load(database_url: str, simulator: RunningSimulator) -> None:
    """Nothing is accepted meanwhile and the answer says `sent: no`; what was in flight is resolved; no double."""
    port = int(database_url.rpartition("/")[0].rpartition(":")[2])
    async with open_proxy(port) as database:
        through = database_url.replace(f":{port}/", f":{database.port}/")
        async with open_order_environment(through, simulator.url, settings=SETTINGS) as environment:
            answers: list[str] = []
            load = [asyncio.create_task(try_to_place(environment, number, answers)) for number in range(30)]
            await until(lambda: were_reported(answers, "stored", 5))
            database.stop_listening()
            database.cut()
            await until(lambda: were_reported(answers, "no", 5))
            await database.start_listening()
            await asyncio.gather(*load)
            history = await checked_history(database_url, simulator, within_s=30)
        assert len(history.tasks) >= answers.count("stored")


async def were_reported(answers: list[str], what: str, times: int) -> bool:
    return answers.count(what) >= times


async def try_to_place(environment: OrderEnvironment, number: int, answers: list[str]) -> None:
    """What a caller is answered: that it is stored, or whether it was sent."""
    await asyncio.sleep(number * 0.08)
    try:
        await environment.place(wait_s=0.0, tradingsymbol=["INFY", "SBIN"][number % 2], price=Decimal(1400))
    except NotAccepted as error:
        answers.append(str(error.sent))
    else:
        answers.append("stored")


async def test_row_17_a_database_that_forgot_its_last_seconds(database_url: str, simulator: RunningSimulator) -> None:
    """Promoted without the last commits: orders whose task is gone are listed as orphans, and nothing is sent again."""
    async with open_order_environment(database_url, simulator.url, settings=SETTINGS) as environment:
        known = await environment.place()
        forgotten = await environment.place()
        await environment.crash()
        async with environment.database.connection() as connection:
            await connection.execute("DELETE FROM broker_order")
            await connection.execute("DELETE FROM order_attempt")
            await connection.execute("DELETE FROM order_task WHERE task_id = %s", (forgotten["task_id"],))
            await connection.execute(
                """UPDATE order_task SET status = 'pending', attempts = 0, sent = 'no', order_id = NULL,
                     finished_at = NULL, send_by = now() + interval '20 s'"""
            )
            await connection.execute("DELETE FROM event")  # they were in the same commits
            await connection.execute("DELETE FROM account_seq")
            await connection.execute("UPDATE lease SET expires_at = clock_timestamp()")
    async with open_order_environment(database_url, simulator.url, settings=SETTINGS) as environment:
        assert (await end_of(environment, known))["order_id"] == known["order_id"]
        history = await checked_history(database_url, simulator)
        assert history.orphans == {forgotten["order_id"]}
        assert len(history.ledger) == 2
