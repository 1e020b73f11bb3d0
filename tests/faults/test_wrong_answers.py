"""An answer of the broker that belongs to another request is not believed, and its connection not used again."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from decimal import Decimal

import pytest

from app.broker.orders import OrderChanges
from app.orders.entry.acceptance import Caller
from app.orders.state.alarms import Alarm
from simulator.server import RunningSimulator
from tests.faults.chaos_checks import checked_history
from tests.faults.rewriting_proxy import RewritingProxy, rewriting_proxy
from tests.faults.test_account_walls import alarms_of
from tests.integration.orders.test_batches import UNAFFORDABLE
from tests.order_environment import ACCOUNT, OrderEnvironment, open_order_environment
from tests.order_requests import order
from tests.order_waits import end_by_hints
from tests.waiting import until

PLACE = ("POST", "/orders/regular")


@pytest.fixture
async def proxy(simulator: RunningSimulator) -> AsyncIterator[RewritingProxy]:
    async with rewriting_proxy(simulator.url) as running:
        yield running


@pytest.fixture
async def environment(database_url: str, proxy: RewritingProxy) -> AsyncIterator[OrderEnvironment]:
    async with open_order_environment(database_url, proxy.url) as opened:
        await opened.set_price("NSE:INFY", 1500)
        yield opened


def answer_with(proxy: RewritingProxy, order_id: str, *, method: str = "POST", times: int = 1) -> None:
    """The next answers to requests of this method name this order."""
    left = times

    def rewrite(asked: str, path: str, body: bytes) -> bytes:
        nonlocal left
        if asked != method or not path.startswith("/orders") or left == 0 or b'"order_id"' not in body:
            return body
        left -= 1
        return json.dumps({"status": "success", "data": {"order_id": order_id}}).encode()

    proxy.rewrite = rewrite


async def test_an_answer_given_twice_goes_to_no_other_order(
    environment: OrderEnvironment, proxy: RewritingProxy, database_url: str, simulator: RunningSimulator
) -> None:
    """Each placement's answer comes twice on a connection that is kept alive: every order has its own id."""
    proxy.copies = lambda method, path: 2 if (method, path) == PLACE else 1
    placed = [await environment.place(quantity=quantity) for quantity in (3, 5, 7)]
    ledger = {row["order_id"]: int(row["request"]["quantity"]) for row in await environment.ledger()}
    assert [ledger[task["order_id"]] for task in placed] == [3, 5, 7]
    await checked_history(database_url, simulator)


async def test_a_book_given_twice_is_not_read_as_the_next_book(
    environment: OrderEnvironment, proxy: RewritingProxy
) -> None:
    """An older book in place of the present one would prove an order absent."""
    proxy.copies = lambda method, _path: 3 if method == "GET" else 1
    gateway = environment.account.broker.orders
    before = {row.order_id for row in await gateway.order_book()}
    task = await environment.place()
    await gateway.trades()
    assert {row.order_id for row in await gateway.order_book()} == before | {task["order_id"]}


async def test_an_answer_that_names_another_tasks_order_is_a_doubt(
    environment: OrderEnvironment, proxy: RewritingProxy, database_url: str, simulator: RunningSimulator
) -> None:
    """The book decides, by the tag; the operator is told."""
    first = await environment.place(quantity=3)
    answer_with(proxy, first["order_id"])
    second = await environment.place(quantity=5, wait_s=0.0)
    ended = await end_by_hints(environment, second)
    ledger = {row["order_id"]: int(row["request"]["quantity"]) for row in await environment.ledger()}
    assert (ended["status"], ledger[ended["order_id"]]) == ("completed", 5)
    [alarm] = await alarms_of(environment, ACCOUNT, Alarm.MISMATCH)
    assert (alarm.subject, first["order_id"] in str(alarm.data["reason"])) == (second["task_id"], True)
    await checked_history(database_url, simulator)


async def test_a_rollback_cancels_no_order_of_another_caller(
    environment: OrderEnvironment, proxy: RewritingProxy
) -> None:
    """A leg was answered with the id of an order that another request has made: that one stays."""
    other = await environment.place(quantity=3, tradingsymbol="INFY")
    answer_with(proxy, other["order_id"])
    batch = await environment.batch([order(price=Decimal(1401)), order(**UNAFFORDABLE)])
    assert batch["status"] == "rolled_back"
    states = {row["order_id"]: row["state"] for row in await environment.ledger()}
    assert states.pop(other["order_id"]) == "OPEN"
    assert set(states.values()) <= {"CANCELLED", "REJECTED"}


@pytest.mark.parametrize("operation", ["modify", "cancel"])
async def test_a_command_answered_with_another_order_is_a_doubt(
    operation: str, environment: OrderEnvironment, proxy: RewritingProxy
) -> None:
    """Its order's row decides whether it took effect."""
    other = await environment.place(quantity=3)
    target = await environment.place(quantity=5, price=Decimal(1401))
    answer_with(proxy, other["order_id"], method="PUT" if operation == "modify" else "DELETE")
    caller, service = Caller(principal="t"), environment.service
    if operation == "modify":
        answer = await service.modify(
            target["order_id"], OrderChanges(price=Decimal(1402)), account_id=ACCOUNT, caller=caller, wait_s=0.0
        )
    else:
        answer = await service.cancel(target["order_id"], account_id=ACCOUNT, caller=caller, wait_s=0.0)
    [alarm] = await alarms_of(environment, ACCOUNT, Alarm.MISMATCH)
    assert alarm.subject == answer.document["task_id"]
    assert (await end_by_hints(environment, answer.document))["status"] == "completed"
    assert {row["order_id"]: row["state"] for row in await environment.ledger()}[other["order_id"]] == "OPEN"


async def test_a_row_that_was_there_before_the_order_is_not_its_own(
    environment: OrderEnvironment, proxy: RewritingProxy
) -> None:
    """An order of another application, without a tag of ours, was shown before this one was sent."""
    login = {"Authorization": "token simkey:simtoken"}
    form = {
        "exchange": "NSE", "tradingsymbol": "INFY", "transaction_type": "BUY", "quantity": 10, "product": "MIS",
        "order_type": "LIMIT", "price": 1400, "validity": "DAY",
    }  # fmt: skip
    placed = await environment.sim.post("/orders/regular", data=form, headers=login)
    foreign = str(placed.json()["data"]["order_id"])

    async def shown() -> bool:
        environment.orders.wakeups.on_order_hint(ACCOUNT)
        rows = await environment.service.queries.orders(ACCOUNT, after=None, limit=10)
        return bool(rows.data)

    await until(shown)
    answer_with(proxy, foreign)
    task = await environment.place(wait_s=0.0)
    ended = await end_by_hints(environment, task)
    assert (ended["status"], ended["order_id"] != foreign) == ("completed", True)
