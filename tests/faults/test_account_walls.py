"""What belongs to one account never counts as another account's: rows under copied tags, tasks, orders."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from decimal import Decimal
from typing import Any

import httpx
import pytest

from app.db.postgres import Tx
from app.errors import Conflict
from app.orders.state.alarms import Alarm, RaisedAlarm
from simulator.server import RunningSimulator, running_simulator
from simulator.settings import RateLimits, SimulatorSettings
from tests.integration.orders.test_batches import UNAFFORDABLE
from tests.order_environment import ACCOUNT, OrderEnvironment, open_order_environment
from tests.order_requests import order
from tests.order_waits import end_of
from tests.waiting import until

SECOND = "second"
FILLED = Decimal(1510)
"""A price above the market: such an order fills."""


@pytest.fixture
async def two_users() -> AsyncIterator[RunningSimulator]:
    settings = SimulatorSettings(port=0, ticks_per_second=0, accounts=2, rate_limits=RateLimits(enforced="on"))
    async with running_simulator(settings) as running:
        yield running


@pytest.fixture
async def environment(database_url: str, two_users: RunningSimulator) -> AsyncIterator[OrderEnvironment]:
    async with open_order_environment(database_url, two_users.url, account_ids=(ACCOUNT, SECOND)) as opened:
        await opened.set_price("NSE:INFY", 1500)
        yield opened


async def copied(environment: OrderEnvironment, row: Mapping[str, Any]) -> str:
    """Place what this row of the ledger shows, tag included, as a copy trader does in the second account."""
    login = httpx.Headers({"Authorization": "token simkey2:simtoken2"})
    form = {**row["request"], "tag": row["tag"]}
    answer = await environment.sim.post(f"/orders/{row['variety']}", data=form, headers=login)
    return str(answer.raise_for_status().json()["data"]["order_id"])


async def alarms_of(environment: OrderEnvironment, account_id: str, kind: Alarm) -> list[RaisedAlarm]:
    """The account's alarms of this kind, once it has one."""
    found: list[RaisedAlarm] = []

    async def raised() -> bool:
        environment.orders.wakeups.on_order_hint(account_id)
        newest = await environment.orders.operators.resolutions.alarms(limit=50)
        found[:] = [alarm for alarm in newest if (alarm.account_id, alarm.kind) == (account_id, str(kind))]
        return bool(found)

    await until(raised)
    return found


async def ledger_of(environment: OrderEnvironment, user_id: str) -> list[tuple[str, int]]:
    """Side and filled quantity of every order of this user that the exchange accepted."""
    rows = [row for row in await environment.ledger() if row["user_id"] == user_id]
    return [(row["request"]["transaction_type"], row["filled_quantity"]) for row in rows]


async def test_a_square_off_sells_what_its_own_account_bought(environment: OrderEnvironment) -> None:
    """Between two legs the first one, which has filled, is copied to another account, its tag with it."""
    await environment.fault("delay", after=1, params={"ms": 1500})
    legs = [order(price=FILLED, quantity=4), order(**UNAFFORDABLE)]
    running = asyncio.create_task(environment.batch(legs, on_filled="square_off"))

    async def first_filled() -> bool:
        return any(row["filled_quantity"] == 4 for row in await environment.ledger())

    await until(first_filled)
    copy = await copied(environment, (await environment.ledger())[0])
    [alarm] = await alarms_of(environment, SECOND, Alarm.MISMATCH)
    batch = await running
    assert (batch["status"], batch["residual"]) == ("rolled_back_with_fills", [])
    assert batch["orders"][0]["filled_quantity"] == 4
    assert await ledger_of(environment, "SIM001") == [("BUY", 4), ("SELL", 4)]
    assert alarm.subject == copy
    assert (alarm.data["account_id"], alarm.data["task_id"]) == (ACCOUNT, batch["orders"][0]["task_id"])
    assert (await environment.service.queries.order(copy, account_id=SECOND))["task_id"] is None


async def test_a_copy_does_not_revive_another_accounts_task(environment: OrderEnvironment) -> None:
    """A refused order stays refused when another account's book shows an order under its tag."""
    await environment.fault(
        "status", params={"code": 400, "error_type": "MarginException", "message": "Insufficient funds"}
    )
    refused = await environment.place()
    assert refused["status"] == "failed"
    async with environment.database.connection() as connection:
        cursor = await connection.execute("SELECT tag FROM order_attempt WHERE task_id = %s", (refused["task_id"],))
        [(tag,)] = await cursor.fetchall()
    request = {
        "exchange": "NSE", "tradingsymbol": "INFY", "transaction_type": "BUY", "quantity": 10, "product": "MIS",
        "order_type": "LIMIT", "price": 1400, "validity": "DAY",
    }  # fmt: skip
    copy = await copied(environment, {"request": request, "tag": tag, "variety": "regular"})
    assert [alarm.subject for alarm in await alarms_of(environment, SECOND, Alarm.MISMATCH)] == [copy]
    assert (await end_of(environment, refused))["status"] == "failed"
    assert [row["state"] for row in await environment.ledger()] == ["OPEN"]


async def test_a_withdrawal_leaves_another_accounts_copy_alone(environment: OrderEnvironment) -> None:
    """The task's own order is cancelled; the copy under the same tag stays where it is."""
    task = await environment.place()
    copy = await copied(environment, (await environment.ledger())[0])
    await alarms_of(environment, SECOND, Alarm.MISMATCH)

    async def is_over() -> bool:
        return (await environment.orders.withdrawals.withdraw(task["task_id"])).over

    await until(is_over)
    states = {row["order_id"]: row["state"] for row in await environment.ledger()}
    assert states == {task["order_id"]: "CANCELLED", copy: "OPEN"}


async def test_one_accounts_absurd_data_stops_no_other_account(environment: OrderEnvironment) -> None:
    """Its loops end with an error and begin anew after a pause, with an alarm, until the data is mended."""
    broken = await environment.place(account_id=SECOND)
    await environment.sim.post("/_sim/orders/" + broken["order_id"], json={"fill": 1})
    async with environment.database.connection() as connection:
        await until(lambda: _has_row(connection, broken["order_id"]))
        await connection.execute(
            """UPDATE broker_order SET document = document - 'exchange' WHERE account_id = %s""", (SECOND,)
        )
    await environment.sim.post("/_sim/orders/" + broken["order_id"], json={"fill": 2})
    [alarm] = await alarms_of(environment, SECOND, Alarm.ACCOUNT_FAILED)
    assert alarm.data["error"] == "KeyError: 'exchange'"
    assert (await environment.place())["status"] == "completed"
    assert environment.supervisor.failures == []
    assert environment.engine.counters.account_failures[SECOND] >= 1
    assert environment.engine.counters.account_failures[ACCOUNT] == 0
    async with environment.database.connection() as connection:
        await connection.execute(
            """UPDATE broker_order SET document = document || '{"exchange": "NSE"}' WHERE account_id = %s""", (SECOND,)
        )
    assert (await environment.place(account_id=SECOND, wait_s=30.0))["status"] == "completed"


async def _has_row(connection: Tx, order_id: str) -> bool:
    cursor = await connection.execute("SELECT 1 FROM broker_order WHERE order_id = %s", (order_id,))
    return await cursor.fetchone() is not None


async def test_an_id_of_two_accounts_names_no_order(environment: OrderEnvironment) -> None:
    """A command must not reach the other account's order: the caller has to name the account."""
    task = await environment.place()
    order_id = task["order_id"]
    async with environment.database.connection() as connection:
        await until(lambda: _has_row(connection, order_id))
        await connection.execute(
            """INSERT INTO broker_order (account_id, trade_date, order_id, status, state, filled_quantity,
                 average_price, content_hash, document)
               SELECT %s, trade_date, order_id, status, state, filled_quantity, average_price, content_hash, document
               FROM broker_order WHERE order_id = %s""",
            (SECOND, order_id),
        )
    for ask in (environment.service.queries.order, environment.service.queries.target):
        with pytest.raises(Conflict) as ambiguous:
            await ask(order_id)
        assert ambiguous.value.code == "ORDER_ID_AMBIGUOUS"
        assert await ask(order_id, account_id=ACCOUNT)
