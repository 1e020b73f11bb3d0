"""One order, from the caller's request to the broker's book."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from decimal import Decimal
from uuid import UUID

import pytest

from app.broker.market import Instrument
from app.broker.orders import OrderChanges, OrderType
from app.composition.orders import build_orders
from app.errors import BadInput, NotFound
from app.kite.pace import MINUTE_S
from app.orders.entry.acceptance import Caller
from app.orders.state.model import TaskStatus
from tests.order_environment import ACCOUNT, OrderEnvironment
from tests.order_requests import order
from tests.unit.orders.test_validation import instrument
from tests.waiting import until

ME = Caller(principal="t")


async def shown(environment: OrderEnvironment, order_id: str, state: str) -> bool:
    return bool((await environment.service.queries.order(order_id))["state"] == state)


async def test_an_order_reaches_the_ledger_once_under_its_tag(environment: OrderEnvironment) -> None:
    """The task completes with the broker's id; the exchange has one order, its tag 20 upper-case letters or digits."""
    task = await environment.place()
    assert (task["status"], task["sent"], task["attempts"]) == ("completed", "yes", 1)
    ledger = await environment.ledger()
    assert [row["order_id"] for row in ledger] == [task["order_id"]]
    assert len(ledger[0]["tag"]) == 20
    assert ledger[0]["tag"].isalnum()
    assert ledger[0]["tag"] == ledger[0]["tag"].upper()


async def test_an_order_is_known_the_moment_it_is_accepted(environment: OrderEnvironment) -> None:
    """No window between the broker's answer and the first read of the book in which the order does not exist."""
    task = await environment.place()
    order = await environment.service.queries.order(task["order_id"])
    assert order["task_id"] == task["task_id"]
    assert order["state"] in {"pending", "open"}


async def test_a_filled_order_shows_its_fill_and_its_trades(environment: OrderEnvironment) -> None:
    """State, quantity and price come from the book, the trades from the trade book; both are exact decimals."""
    task = await environment.place(price=Decimal(1510))
    await until(lambda: shown(environment, task["order_id"], "completed"))
    order = await environment.service.queries.order(task["order_id"])
    assert order["filled_quantity"] == 10
    assert order["average_price"] > 0

    async def traded() -> bool:
        trades = await environment.service.queries.trades(ACCOUNT)
        return bool(sum(trade["quantity"] for trade in trades) == 10)

    await until(traded)


async def test_events_are_numbered_without_a_gap_and_end_with_the_truth(environment: OrderEnvironment) -> None:
    """seq rises by one from 1; the order is placed before it is completed."""
    task = await environment.place(price=Decimal(1510))
    await until(lambda: shown(environment, task["order_id"], "completed"))
    events = await environment.events()
    assert [seq for seq, _, _ in events] == list(range(1, len(events) + 1))
    kinds = [kind for _, kind, _ in events]
    assert kinds[0] == "order_placed"
    assert kinds[-1] == "order_completed"
    assert events[-1][2]["task_id"] == task["task_id"]


async def test_a_refused_order_says_why_in_the_brokers_words(environment: OrderEnvironment) -> None:
    """A margin refusal is final and proven, and the book has no order of it."""
    task = await environment.place(quantity=1_000_000)
    assert task["status"] == "failed"
    assert task["last_error"]["broker"]["error_type"] in {"MarginException", "InputException"}
    assert task["last_error"]["broker"]["http_status"] == 400
    assert await environment.ledger() == []


async def test_the_same_key_and_request_is_the_same_task(environment: OrderEnvironment) -> None:
    """Fifty concurrent repetitions of one request under one key: one task, one order."""
    answers = await asyncio.gather(*(environment.answer(key="k" * 16) for _ in range(50)))
    assert len({answer.resource_id for answer in answers}) == 1
    assert sum(not answer.replayed for answer in answers) == 1
    assert len(await environment.ledger()) == 1


async def test_the_same_price_in_other_digits_is_the_same_request(environment: OrderEnvironment) -> None:
    """1400, 1400.0 and "1400.00" are one price: a repeated request need not keep its spelling."""
    first = await environment.place(key="k" * 16, price=Decimal(1400))
    for spelling in ("1400.0", "1400.00", "1.4E+3"):
        answer = await environment.answer(key="k" * 16, price=Decimal(spelling))
        assert (answer.document["task_id"], answer.replayed) == (first["task_id"], True)
    for spelling in ("1402", "1402.0"):
        changes = OrderChanges(price=Decimal(spelling))
        caller = Caller(principal="t", idem_key="m" * 16)
        await environment.service.modify(str(first["order_id"]), changes, account_id=None, caller=caller, wait_s=20.0)
    assert len(await environment.ledger()) == 1


class CoarseTicks:
    """Every symbol is an instrument of which none of the tests' prices is a multiple."""

    is_loaded = True

    def find(self, exchange: str, tradingsymbol: str) -> Instrument | None:
        return instrument(tick_size=Decimal(9))


async def test_an_accepted_order_is_replayed_though_it_would_be_refused_today(environment: OrderEnvironment) -> None:
    """An option expires, a tick size changes: "not sent" must not be said of an order that was sent."""
    placed = await environment.place(key="p" * 16)
    changes, caller = OrderChanges(price=Decimal(1402)), Caller(principal="t", idem_key="m" * 16)
    order_id = str(placed["order_id"])
    changed = await environment.service.modify(order_id, changes, account_id=None, caller=caller, wait_s=20.0)
    batch = await environment.batch([order(), order(tradingsymbol="SBIN", price=Decimal(700))], key="b" * 16)
    environment.orders = build_orders(environment.parts, replace(environment.inputs, instruments=CoarseTicks()))
    assert (await environment.place(key="p" * 16))["task_id"] == placed["task_id"]
    again = await environment.service.modify(order_id, changes, account_id=None, caller=caller, wait_s=20.0)
    assert (again.resource_id, again.replayed) == (changed.resource_id, True)
    repeated = await environment.batch([order(), order(tradingsymbol="SBIN", price=Decimal(700))], key="b" * 16)
    assert repeated["batch_id"] == batch["batch_id"]
    with pytest.raises(BadInput):
        await environment.place(key="n" * 16)
    assert len(await environment.ledger()) == 3


async def test_equal_orders_under_different_keys_are_two_orders(environment: OrderEnvironment) -> None:
    """Nothing is ever merged because it looks alike."""
    await asyncio.gather(environment.place(key="a" * 16), environment.place(key="b" * 16))
    assert len(await environment.ledger()) == 2


async def test_an_order_is_modified_once_its_book_row_shows_it(environment: OrderEnvironment) -> None:
    """A modification is a task of its own; the order's row has the new price."""
    task = await environment.place()
    answer = await environment.service.modify(
        task["order_id"], OrderChanges(price=Decimal(1402)), account_id=None, caller=ME, wait_s=20.0
    )
    assert answer.document["status"] == "completed"

    async def repriced() -> bool:
        return bool((await environment.service.queries.order(task["order_id"]))["price"] == 1402)

    await until(repriced)


async def test_a_cancel_ends_the_order(environment: OrderEnvironment) -> None:
    """The cancel is a task, the order's state is the one that the broker shows."""
    task = await environment.place()
    answer = await environment.service.cancel(task["order_id"], account_id=None, caller=ME, wait_s=20.0)
    assert answer.document["status"] == "completed"
    await until(lambda: shown(environment, task["order_id"], "cancelled"))


async def test_a_cancel_does_not_wait_for_the_rate_limit_of_orders(environment: OrderEnvironment) -> None:
    """The minute's share of orders is used up for six seconds more: a cancel that comes meanwhile goes before that."""
    task = await environment.place()
    used_up = [MINUTE_S - 6.0] * 320
    environment.account.governor.restore_minute(used_up)
    allowed_again_at = time.monotonic() + 6.0
    waiting = await environment.place(wait_s=0.0)
    await asyncio.sleep(0.5)
    answer = await environment.service.cancel(str(task["order_id"]), account_id=None, caller=ME, wait_s=20.0)
    assert answer.document["status"] == "completed"
    assert time.monotonic() < allowed_again_at
    assert (await environment.service.queries.task(UUID(str(waiting["task_id"])))).status is TaskStatus.PENDING

    async def sent() -> bool:
        return (await environment.service.queries.task(UUID(str(waiting["task_id"])))).status is TaskStatus.COMPLETED

    await until(sent)


async def test_a_cancel_of_a_filled_order_fails_and_says_what_filled(environment: OrderEnvironment) -> None:
    """Kite answers 'being processed'; the order's row shows that there is nothing left to cancel."""
    task = await environment.place(price=Decimal(1510))
    answer = await environment.service.cancel(task["order_id"], account_id=None, caller=ME, wait_s=20.0)
    assert answer.document["status"] == "failed"
    assert answer.document["last_error"]["code"] == "ORDER_ALREADY_FINAL"


async def test_bad_orders_are_refused_with_every_problem_and_nothing_is_stored(environment: OrderEnvironment) -> None:
    """All problems in one answer, each with its place; the database and the broker know nothing of it."""
    with pytest.raises(BadInput) as caught:
        await environment.place(quantity=0, price=None, trigger_price=Decimal(5))
    assert {problem.loc[-1] for problem in caught.value.problems} == {"quantity", "price", "trigger_price"}
    assert (await environment.service.queries.tasks(None, status=None, before=None, limit=10)).data == []


async def test_a_market_order_gets_the_protection_that_the_broker_demands(environment: OrderEnvironment) -> None:
    """MARKET without market_protection is sent with -1 and booked as a limit order at the band's edge."""
    task = await environment.place(order_type=OrderType.MARKET, price=None)
    assert task["status"] == "completed"
    await until(lambda: shown(environment, task["order_id"], "completed"))


async def test_an_order_that_becomes_a_market_order_gets_that_protection_too(environment: OrderEnvironment) -> None:
    """The broker refuses the modification without it; a nonsensical one is refused here."""
    task = await environment.place()
    await until(lambda: shown(environment, task["order_id"], "open"))
    order_id = str(task["order_id"])
    with pytest.raises(BadInput, match="market_protection"):
        await environment.service.modify(
            order_id, OrderChanges(market_protection=Decimal(0)), account_id=None, caller=ME, wait_s=0
        )
    changes = OrderChanges(order_type=OrderType.MARKET)
    answer = await environment.service.modify(order_id, changes, account_id=None, caller=ME, wait_s=20.0)
    assert answer.document["status"] == "completed"
    await until(lambda: shown(environment, task["order_id"], "completed"))


async def test_unknown_orders_and_accounts_are_not_found(environment: OrderEnvironment) -> None:
    """Neither is a server error, and nothing is stored."""
    with pytest.raises(NotFound):
        await environment.service.cancel("999", account_id=None, caller=ME, wait_s=0)
    with pytest.raises(NotFound):
        environment.service.checked([], account_id="nobody", loc=())


async def test_orders_from_elsewhere_are_shown_without_a_task(environment: OrderEnvironment) -> None:
    """An order that the caller's phone placed appears in our list and belongs to no task."""
    answer = await environment.sim.post(
        "/orders/regular",
        headers={"Authorization": "token simkey:simtoken"},
        data={"exchange": "NSE", "tradingsymbol": "INFY", "transaction_type": "BUY", "quantity": "1", "product": "MIS",
              "order_type": "LIMIT", "price": "1400"},
    )  # fmt: skip
    order_id = answer.json()["data"]["order_id"]

    async def listed() -> bool:
        environment.orders.wakeups.on_order_hint(ACCOUNT)
        page = await environment.service.queries.orders(ACCOUNT, after=None, limit=10)
        return any(row["order_id"] == order_id and row["task_id"] is None for row in page.data)

    await until(listed)
