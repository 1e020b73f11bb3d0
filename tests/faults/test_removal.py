"""One way to get rid of an order: whatever marks it as unwanted, it is cancelled until the book shows its end."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import httpx
import pytest

from app.broker.orders import Operation
from app.orders.state import removal_store
from app.orders.state.model import TaskStatus
from simulator.server import RunningSimulator
from tests.faults.chaos_checks import checked_history
from tests.faults.sender_steps import sender_steps
from tests.faults.test_crash_rows import resting
from tests.faults.test_replacements import cancel_of, put_in_place_of, tasks_of
from tests.order_environment import ACCOUNT, OPERATOR, SHORT_SETTINGS, OrderEnvironment, open_order_environment
from tests.order_requests import order
from tests.order_rows import insert_order
from tests.order_waits import after_the_lease, end_of, now, reaches, read_again, struck
from tests.waiting import until

CANCELS = {"method": "DELETE", "path": "/orders/*"}
BOOK = {"method": "GET", "path": "/orders"}
NOT_NOW = {"code": 400, "error_type": "OrderException", "message": "Order cannot be cancelled at the moment."}
UNKNOWN = {"code": 400, "error_type": "OrderException", "message": "Couldn't find that `order_id`."}
NO_FUNDS = {"code": 400, "error_type": "MarginException", "message": "Insufficient funds."}


async def states(environment: OrderEnvironment) -> list[str]:
    return [str(row["state"]) for row in await environment.ledger()]


async def until_gone(environment: OrderEnvironment) -> None:
    """Until every order at the exchange is cancelled."""

    async def gone() -> bool:
        found = await states(environment)
        return bool(found) and set(found) == {"CANCELLED"}

    await until(gone)


async def until_shown(environment: OrderEnvironment, order_id: str) -> None:
    async def is_shown() -> bool:
        return bool((await environment.service.queries.order(order_id))["status"] == "OPEN")

    await until(is_shown)


async def kill(environment: OrderEnvironment) -> Mapping[str, tuple[str, ...]]:
    """Halt the account and cancel what is open; the orders for which a cancel was stored."""
    halts = environment.orders.operators.halts
    return (await halts.halt(ACCOUNT, mode="halt", open_orders="cancel", reason="out", by=OPERATOR)).cancelled


async def withdraw(environment: OrderEnvironment, task: Mapping[str, Any]) -> None:
    await environment.orders.withdrawals.withdraw(UUID(task["task_id"]))


async def alarms(environment: OrderEnvironment) -> list[tuple[str, str]]:
    found = await environment.orders.operators.resolutions.alarms(limit=10)
    return [(alarm.kind, alarm.subject) for alarm in found]


@pytest.fixture
async def alarming(database_url: str, simulator: RunningSimulator) -> AsyncIterator[OrderEnvironment]:
    """An environment in which an unwanted order raises its alarm at once."""
    settings = replace(SHORT_SETTINGS, alarm_unwanted_age_s=0.5)
    async with open_order_environment(database_url, simulator.url, settings=settings) as environment:
        await environment.set_price("NSE:INFY", 1500)
        yield environment


async def test_a_refused_cancel_of_a_halt_is_followed_by_another(
    database_url: str, simulator: RunningSimulator, environment: OrderEnvironment
) -> None:
    """The broker refuses it twice, in words that speak of no end; nobody asks again."""
    order_id = await resting(environment)
    await environment.fault("status", **CANCELS, times=2, params=NOT_NOW)
    assert await kill(environment) == {ACCOUNT: (order_id,)}
    await until_gone(environment)
    await checked_history(database_url, simulator)


async def place_elsewhere(simulator: RunningSimulator, *, tag: str) -> str:
    """A resting order of another application; its id."""
    form = {**order(price=Decimal(1400)).to_json(), "tag": tag}
    form = {
        name: str(value) for name, value in form.items() if value is not None and name not in {"variety", "autoslice"}
    }
    headers = {"Authorization": "token simkey:simtoken", "X-Kite-Version": "3"}
    async with httpx.AsyncClient(base_url=simulator.url, trust_env=False, headers=headers) as kite:
        placed = await kite.post("/orders/regular", data=form)
    return str(placed.json()["data"]["order_id"])


async def test_an_order_of_another_application_is_cancelled_again_too(
    environment: OrderEnvironment, simulator: RunningSimulator
) -> None:
    """A halt cancels it as well; it has no task, and its wish is kept with its row."""
    order_id = await place_elsewhere(simulator, tag="theirs")

    async def shown() -> bool:
        environment.orders.wakeups.on_order_hint(ACCOUNT)
        page = await environment.service.queries.orders(ACCOUNT, after=None, limit=10)
        return [row["order_id"] for row in page.data] == [order_id]

    await until(shown)
    await environment.fault("status", **CANCELS, params=NOT_NOW)
    assert await kill(environment) == {ACCOUNT: (order_id,)}
    await until_gone(environment)


async def test_an_unknown_order_id_proves_nothing_about_a_young_order(environment: OrderEnvironment) -> None:
    """One part of the broker does not know it yet, and the book does not show it: the wish stays."""
    await environment.set_price("NSE:INFY", 1500)
    await environment.fault("late_visible", params={"ms": 2000})
    await environment.fault("status", **CANCELS, times=2, params=UNKNOWN)
    task = await environment.place()
    assert task["status"] == "completed"
    await withdraw(environment, task)
    await until_gone(environment)


async def test_a_late_order_is_cancelled_until_it_is_gone(
    database_url: str, simulator: RunningSimulator, environment: OrderEnvironment
) -> None:
    """It shows after it was given up, and the broker refuses its first cancel."""
    await environment.set_price("NSE:INFY", 1500)
    await environment.fault("late_visible", params={"ms": 6000})
    await environment.fault("drop_after_accept")
    task = await environment.place(wait_s=0.0)
    await environment.fault("status", **CANCELS, params=NOT_NOW)
    await reaches(environment, task, TaskStatus.FAILED)
    await reaches(environment, task, TaskStatus.COMPLETED)
    await until_gone(environment)
    assert ("late_order", task["task_id"]) in await alarms(environment)
    await checked_history(database_url, simulator)


async def test_a_rollback_goes_on_while_the_broker_refuses(
    database_url: str, simulator: RunningSimulator, environment: OrderEnvironment
) -> None:
    """Its leg is cancelled in the end, and only then is the batch called rolled back."""
    await environment.fault("status", after=1, params=NO_FUNDS)
    await environment.fault("status", **CANCELS, times=2, params=NOT_NOW)
    batch = await environment.batch([order(), order(price=Decimal(1401))])
    assert (batch["status"], batch["residual"], batch["rolled_back"], batch["failed"]) == ("rolled_back", [], 1, 1)
    assert await states(environment) == ["CANCELLED"]
    await checked_history(database_url, simulator)


async def test_a_wish_survives_a_change_of_owner(database_url: str, simulator: RunningSimulator) -> None:
    """The first owner's cancel is refused, and it dies; the next one cancels the order, unasked."""
    async with open_order_environment(database_url, simulator.url, owner="first") as environment:
        await resting(environment)
        await environment.fault("status", **CANCELS, times=-1, params=NOT_NOW)
        await kill(environment)
        await struck(environment, "status")
        await environment.crash()
        (await environment.sim.delete("/_sim/faults")).raise_for_status()
        assert await states(environment) == ["OPEN"]
    await after_the_lease(database_url)
    async with open_order_environment(database_url, simulator.url, owner="second") as environment:
        await until_gone(environment)


async def test_cancels_need_no_readable_book(environment: OrderEnvironment) -> None:
    """The book cannot be read, and the first cancel is refused: the next one goes all the same."""
    order_id = await resting(environment)
    await until_shown(environment, order_id)
    await environment.fault("status", **BOOK, times=-1, params={"code": 503})
    await environment.fault("status", **CANCELS, params=NOT_NOW)
    await kill(environment)
    await until_gone(environment)


async def test_an_operator_is_alarmed_once_when_an_order_does_not_go(alarming: OrderEnvironment) -> None:
    """The broker refuses for ever: one alarm, and no more cancels than the pause between two of them allows."""
    order_id = await resting(alarming)
    await alarming.fault("status", **CANCELS, times=-1, params=NOT_NOW)
    await kill(alarming)

    async def alarmed() -> bool:
        return ("not_cancelled", order_id) in await alarms(alarming)

    await until(alarmed)
    await read_again(alarming, 3)
    cancels = [one for one in await tasks_of(alarming) if one["operation"] == "cancel"]
    assert (await alarms(alarming)).count(("not_cancelled", order_id)) == 1
    assert len(cancels) <= 4
    assert await states(alarming) == ["OPEN"]


async def dead_letter(environment: OrderEnvironment, task: Mapping[str, Any]) -> None:
    """What a day's end makes of a doubt."""
    async with environment.database.connection() as connection:
        await connection.execute(
            "UPDATE order_task SET status = 'dead_letter', finished_at = now() WHERE task_id = %s",
            (UUID(task["task_id"]),),
        )


async def test_a_dead_letter_that_is_unwanted_is_cancelled_until_it_is_gone(environment: OrderEnvironment) -> None:
    """Its status says nothing about the orders under its tag."""
    order_id = await resting(environment)
    await until_shown(environment, order_id)
    (task,) = await tasks_of(environment)
    await dead_letter(environment, task)
    await environment.fault("status", **CANCELS, times=2, params=NOT_NOW)
    await withdraw(environment, task)
    await until_gone(environment)


Ending = Callable[[OrderEnvironment, Mapping[str, Any]], Awaitable[None]]


async def expire(environment: OrderEnvironment, task: Mapping[str, Any]) -> None:
    """Its time is over, and that of the cancel is not."""
    async with environment.database.connection() as connection:
        await connection.execute(
            "UPDATE order_task SET send_by = clock_timestamp() WHERE task_id = %s", (UUID(task["task_id"]),)
        )
    await end_of(environment, task)


@pytest.mark.parametrize("end", [withdraw, expire])
async def test_an_order_is_not_cancelled_for_another_one_that_has_ended(
    environment: OrderEnvironment, end: Ending
) -> None:
    """The replacement waits for a doubt on its instrument, and ends before the cancel of the old order could go."""
    old = await resting(environment)
    await until_shown(environment, old)
    await environment.fault("drop_after_accept")
    await environment.fault("late_visible", params={"ms": 1500})
    other = await environment.place(price=Decimal(1390), wait_s=0.0)
    await reaches(environment, other, TaskStatus.IN_DOUBT)
    task = (await put_in_place_of(environment, old, price=Decimal(1405), wait_s=0.0)).document
    await end(environment, task)
    await end_of(environment, other)
    assert (await end_of(environment, await cancel_of(environment)))["sent"] == "no"
    await read_again(environment, 3)
    assert await states(environment) == ["OPEN", "OPEN"]


async def test_the_cancel_of_a_replaced_order_goes_only_while_the_new_one_is_wanted(
    environment: OrderEnvironment,
) -> None:
    """The claim itself looks: the replacement may have been taken back a moment ago, at another replica."""
    old = await resting(environment)
    await until_shown(environment, old)
    sender = await sender_steps(environment)
    task = (await put_in_place_of(environment, old, price=Decimal(1405), wait_s=0.0)).document
    following = await sender.loops.claims.peek(tuple(Operation))
    assert following is not None
    assert following.operation is Operation.CANCEL
    async with environment.database.transaction() as tx:
        await removal_store.set_unwanted(tx, [UUID(task["task_id"])], "withdrawal")
    assert await sender.claim() is None


async def test_an_order_is_not_cancelled_for_another_one_while_the_book_is_unreadable(
    environment: OrderEnvironment,
) -> None:
    """Only the book could show that the old one is gone; when it can be read again, the new one takes its place."""
    old = await resting(environment)
    await until_shown(environment, old)
    await environment.fault("status", **BOOK, times=-1, params={"code": 503})
    task = (await put_in_place_of(environment, old, price=Decimal(1405), wait_s=0.0)).document
    await struck(environment, "status", times=2)
    assert await states(environment) == ["OPEN"]
    assert (await now(environment, task)).status is TaskStatus.PENDING
    (await environment.sim.delete("/_sim/faults")).raise_for_status()
    assert (await end_of(environment, task))["status"] == "completed"
    assert await states(environment) == ["CANCELLED", "OPEN"]


async def test_a_refused_cancel_of_a_replaced_order_is_followed_by_another(environment: OrderEnvironment) -> None:
    """As long as the new order may still be sent."""
    old = await resting(environment)
    await environment.fault("status", **CANCELS, params=NOT_NOW)
    task = (await put_in_place_of(environment, old, price=Decimal(1405))).document
    assert task["status"] == "completed"
    assert await states(environment) == ["CANCELLED", "OPEN"]


async def test_a_halt_of_all_accounts_reaches_orders_of_the_days_before(environment: OrderEnvironment) -> None:
    """Placed before a weekend for after it, and no book was read since: nobody has logged in yet."""
    await environment.crash()
    async with environment.database.transaction() as tx:
        waiting = {"order_id": "77", "status": "AMO REQ RECEIVED", "trade_date": timedelta(days=-3)}
        await insert_order(tx, {**waiting, "document": {"variety": "amo"}})
    halts = environment.orders.operators.halts
    result = await halts.halt(None, mode="halt", open_orders="cancel", reason="all of it", by=OPERATOR)
    assert result.cancelled == {ACCOUNT: ("77",)}
