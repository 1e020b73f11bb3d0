"""The kill switch: what it stops, what it lets through, and what is left of it afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, time
from decimal import Decimal
from uuid import UUID

import psycopg
import pytest

from app.db.postgres import Database, Tx
from app.errors import Unavailable
from app.kit.clock import IST, SystemClock, today
from app.orders.entry.acceptance import Caller
from app.orders.operators.halt_and_resume import HaltService
from app.orders.state.model import TaskError, TaskStatus
from tests.order_environment import ACCOUNT, OPERATOR, OrderEnvironment
from tests.order_waits import end_of, no_longer_fresh, now, reaches
from tests.waiting import until

ME = Caller(principal="t")


async def test_a_halted_order_says_so_and_is_sent_after_the_resume(environment: OrderEnvironment) -> None:
    """Held with the operator's reason, released while it is fresh."""
    operations = environment.orders.operators.halts
    await operations.halt(ACCOUNT, mode="halt", open_orders="leave", reason="looks odd", by=OPERATOR)
    task = await environment.place(wait_s=0)
    await reaches(environment, task, TaskStatus.HELD)
    held = await now(environment, task)
    assert held.last_error == TaskError(code="HALTED", message="halt is in force: looks odd")
    assert await operations.resume(ACCOUNT, reason="fine again", by=OPERATOR)
    await reaches(environment, task, TaskStatus.COMPLETED)
    assert len(await environment.ledger()) == 1


async def test_an_order_halted_for_too_long_expires_unsent(environment: OrderEnvironment) -> None:
    """A halt never turns into a burst of stale orders: what lost its freshness is expired with the halt's code."""
    operations = environment.orders.operators.halts
    await operations.halt(None, mode="halt", open_orders="leave", reason="test", by=OPERATOR)
    task = await reaches(environment, await environment.place(wait_s=0.0), TaskStatus.HELD)
    await no_longer_fresh(environment, task)
    task = await end_of(environment, task)
    assert (task["status"], task["sent"], task["last_error"]["code"]) == ("expired", "no", "HALTED")
    await operations.resume(None, reason="test", by=OPERATOR)
    assert (await environment.place())["status"] == "completed"
    assert len(await environment.ledger()) == 1


async def test_cancels_pass_every_halt(environment: OrderEnvironment) -> None:
    """The way out is never shut."""
    task = await environment.place()
    await environment.orders.operators.halts.halt(None, mode="halt", open_orders="leave", reason="test", by=OPERATOR)
    answer = await environment.service.cancel(task["order_id"], account_id=None, caller=ME, wait_s=20.0)
    assert answer.document["status"] == "completed"


async def test_a_halt_of_one_account_leaves_the_others_alone(environment: OrderEnvironment) -> None:
    """The switch of another account stops nothing here."""
    await environment.orders.operators.halts.halt("other", mode="halt", open_orders="leave", reason="test", by=OPERATOR)
    assert (await environment.place())["status"] == "completed"


async def test_lifting_one_scope_leaves_the_other_in_force(environment: OrderEnvironment) -> None:
    """Global and account switches are two: both must be lifted."""
    operations = environment.orders.operators.halts
    await operations.halt(None, mode="reduce_only", open_orders="leave", reason="a", by=OPERATOR)
    await operations.halt(ACCOUNT, mode="halt", open_orders="leave", reason="b", by=OPERATOR)
    assert await operations.resume(ACCOUNT, reason="test", by=OPERATOR)
    assert not await operations.resume(ACCOUNT, reason="test", by=OPERATOR)
    assert [(halt.scope, halt.mode) for halt in await operations.halts()] == [("*", "reduce_only")]
    task = await environment.place(wait_s=0)
    await reaches(environment, task, TaskStatus.HELD)


async def test_cancel_open_cancels_every_live_order_once(environment: OrderEnvironment) -> None:
    """Orders from elsewhere too, each under its own variety; a second call adds nothing to what is under way."""
    placed = [await environment.place(price=Decimal(1400 + number)) for number in range(3)]
    answer = await environment.sim.post(
        "/orders/regular",
        headers={"Authorization": "token simkey:simtoken"},
        data={"exchange": "NSE", "tradingsymbol": "INFY", "transaction_type": "BUY", "quantity": "1", "product": "MIS",
              "order_type": "LIMIT", "price": "1390"},
    )  # fmt: skip
    foreign = answer.json()["data"]["order_id"]

    async def foreign_seen() -> bool:
        environment.orders.wakeups.on_order_hint(ACCOUNT)
        page = await environment.service.queries.orders(ACCOUNT, after=None, limit=10)
        return any(row["order_id"] == foreign for row in page.data)

    await until(foreign_seen)
    operations = environment.orders.operators.halts
    first, second = await asyncio.gather(
        operations.halt(None, mode="halt", open_orders="cancel", reason="out", by=OPERATOR),
        operations.halt(None, mode="halt", open_orders="cancel", reason="out", by=OPERATOR),
    )
    cancelled = [*first.cancelled.get(ACCOUNT, ()), *second.cancelled.get(ACCOUNT, ())]
    assert sorted(cancelled) == sorted([foreign, *(task["order_id"] for task in placed)])

    async def all_cancelled() -> bool:
        return all(row["state"] == "CANCELLED" for row in await environment.ledger())

    await until(all_cancelled)


async def test_every_deed_is_in_a_trail_that_cannot_be_rewritten(environment: OrderEnvironment) -> None:
    """Who, when, under which request, before and after; not even SQL changes it."""
    operations = environment.orders.operators.halts
    await operations.halt(ACCOUNT, mode="halt", open_orders="leave", reason="first", by=OPERATOR)
    await operations.halt(ACCOUNT, mode="reduce_only", open_orders="leave", reason="second", by=OPERATOR)
    await operations.resume(ACCOUNT, reason="done", by=OPERATOR)
    page = await operations.audit(before=None, limit=2)
    assert [entry["action"] for entry in page.data] == ["resume", "kill"]
    assert page.data[1]["before"]["reason"] == "first"
    assert page.data[1]["after"]["mode"] == "reduce_only"
    assert (page.data[0]["principal"], page.data[0]["request_id"]) == ("operator", "req-1")
    assert page.next_cursor is not None
    rest = await operations.audit(before=UUID(page.next_cursor), limit=2)
    assert [entry["action"] for entry in rest.data] == ["kill"]
    assert rest.next_cursor is None
    for statement in ("UPDATE admin_audit SET principal = 'x'", "DELETE FROM admin_audit", "TRUNCATE admin_audit"):
        with pytest.raises(psycopg.errors.RaiseException, match="append-only"):
            async with environment.database.transaction() as tx:
                await tx.execute(statement)


class LostAfterOne(Database):
    """A database that takes one transaction and is away then."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._taken = False

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Tx]:
        if self._taken:
            raise Unavailable("the database connection failed", code="DATABASE_UNAVAILABLE")
        self._taken = True
        async with self._database.transaction() as tx:
            yield tx

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Tx]:
        async with self._database.connection() as connection:
            yield connection


async def test_a_halt_whose_cancels_were_cut_off_says_that_it_is_in_force(environment: OrderEnvironment) -> None:
    """An operator must know that nothing new is sent, and that what is open was not cancelled."""
    await environment.place()
    operations = HaltService(
        replace(environment.parts, database=LostAfterOne(environment.database)), listener=environment.engine
    )
    with pytest.raises(Unavailable, match="in force") as caught:
        await operations.halt(ACCOUNT, mode="halt", open_orders="cancel", reason="out", by=OPERATOR)
    assert caught.value.code == "HALT_INCOMPLETE"
    assert [halt.scope for halt in await environment.orders.operators.halts.halts()] == [ACCOUNT]


class NightClock(SystemClock):
    """One hour after midnight of the present day in India: the broker still shows the book of the day before."""

    def now(self) -> datetime:
        return datetime.combine(today(SystemClock()), time(1), IST)


async def test_a_halt_of_all_accounts_at_night_cancels_the_orders_of_the_day_before(
    environment: OrderEnvironment,
) -> None:
    """An AMO, or an order of a book that is not emptied yet, is kept under yesterday and lives all the same."""
    order_id = str((await environment.place())["order_id"])

    async def is_open() -> bool:
        return bool((await environment.service.queries.order(order_id))["state"] == "open")

    await until(is_open)
    async with environment.database.connection() as connection:
        await connection.execute("UPDATE broker_order SET trade_date = trade_date - 1")
        await connection.execute("UPDATE order_task SET trade_date = trade_date - 1")
    parts = replace(environment.parts, clock=NightClock())
    halts = HaltService(parts, listener=environment.engine)
    result = await halts.halt(None, mode="halt", open_orders="cancel", reason="at night", by=OPERATOR)
    assert result.cancelled == {ACCOUNT: (order_id,)}
