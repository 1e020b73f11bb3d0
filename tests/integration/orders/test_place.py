"""One order, from the caller's word to the broker's book."""

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
from tests.desk import ACCOUNT, Desk, order
from tests.unit.orders.test_checks import instrument
from tests.waiting import until

ME = Caller(principal="t")


async def shown(desk: Desk, order_id: str, state: str) -> bool:
    return bool((await desk.service.queries.order(order_id))["state"] == state)


async def test_an_order_reaches_the_ledger_once_under_a_tag_of_ours(desk: Desk) -> None:
    """The task completes with the broker's id; the exchange has one order, its tag 20 upper-case letters or digits."""
    task = await desk.place()
    assert (task["status"], task["sent"], task["attempts"]) == ("completed", "yes", 1)
    ledger = await desk.ledger()
    assert [row["order_id"] for row in ledger] == [task["order_id"]]
    assert len(ledger[0]["tag"]) == 20
    assert ledger[0]["tag"].isalnum()
    assert ledger[0]["tag"] == ledger[0]["tag"].upper()


async def test_an_order_is_known_the_moment_it_is_accepted(desk: Desk) -> None:
    """No window between the broker's answer and the first read of the book in which the order does not exist."""
    task = await desk.place()
    order = await desk.service.queries.order(task["order_id"])
    assert order["task_id"] == task["task_id"]
    assert order["state"] in {"pending", "open"}


async def test_a_filled_order_shows_its_fill_and_its_trades(desk: Desk) -> None:
    """State, quantity and price come from the book, the trades from the trade book; both are exact decimals."""
    task = await desk.place(price=Decimal(1510))
    await until(lambda: shown(desk, task["order_id"], "completed"))
    order = await desk.service.queries.order(task["order_id"])
    assert order["filled_quantity"] == 10
    assert order["average_price"] > 0

    async def traded() -> bool:
        trades = await desk.service.queries.trades(ACCOUNT)
        return bool(sum(trade["quantity"] for trade in trades) == 10)

    await until(traded)


async def test_events_are_numbered_without_a_gap_and_end_with_the_truth(desk: Desk) -> None:
    """seq rises by one from 1; the order is placed before it is completed."""
    task = await desk.place(price=Decimal(1510))
    await until(lambda: shown(desk, task["order_id"], "completed"))
    events = await desk.events()
    assert [seq for seq, _, _ in events] == list(range(1, len(events) + 1))
    kinds = [kind for _, kind, _ in events]
    assert kinds[0] == "order_placed"
    assert kinds[-1] == "order_completed"
    assert events[-1][2]["task_id"] == task["task_id"]


async def test_a_refused_order_says_why_in_the_brokers_words(desk: Desk) -> None:
    """A margin refusal is final, proven, and in nobody's book."""
    task = await desk.place(quantity=1_000_000)
    assert task["status"] == "failed"
    assert task["last_error"]["broker"]["error_type"] in {"MarginException", "InputException"}
    assert task["last_error"]["broker"]["http_status"] == 400
    assert await desk.ledger() == []


async def test_the_same_key_and_request_is_the_same_task(desk: Desk) -> None:
    """Fifty concurrent repetitions of one request under one key: one task, one order."""
    answers = await asyncio.gather(*(desk.answer(key="k" * 16) for _ in range(50)))
    assert len({answer.resource_id for answer in answers}) == 1
    assert sum(not answer.replayed for answer in answers) == 1
    assert len(await desk.ledger()) == 1


async def test_the_same_price_in_other_digits_is_the_same_request(desk: Desk) -> None:
    """1400, 1400.0 and "1400.00" are one price: whoever repeats a request need not keep its spelling."""
    first = await desk.place(key="k" * 16, price=Decimal(1400))
    for spelling in ("1400.0", "1400.00", "1.4E+3"):
        answer = await desk.answer(key="k" * 16, price=Decimal(spelling))
        assert (answer.document["task_id"], answer.replayed) == (first["task_id"], True)
    for spelling in ("1402", "1402.0"):
        changes = OrderChanges(price=Decimal(spelling))
        caller = Caller(principal="t", idem_key="m" * 16)
        await desk.service.modify(str(first["order_id"]), changes, account_id=None, caller=caller, wait_s=20.0)
    assert len(await desk.ledger()) == 1


class CoarseTicks:
    """Every symbol is an instrument of which none of the tests' prices is a multiple."""

    is_loaded = True

    def find(self, exchange: str, tradingsymbol: str) -> Instrument | None:
        return instrument(tick_size=Decimal(9))


async def test_what_was_accepted_is_replayed_though_it_would_be_refused_today(desk: Desk) -> None:
    """An option expires, a tick size changes: "not sent" must not be said of an order that was sent."""
    placed = await desk.place(key="p" * 16)
    changes, caller = OrderChanges(price=Decimal(1402)), Caller(principal="t", idem_key="m" * 16)
    order_id = str(placed["order_id"])
    changed = await desk.service.modify(order_id, changes, account_id=None, caller=caller, wait_s=20.0)
    batch = await desk.batch([order(), order(tradingsymbol="SBIN", price=Decimal(700))], key="b" * 16)
    desk.orders = build_orders(desk.parts, replace(desk.inputs, instruments=CoarseTicks()))
    assert (await desk.place(key="p" * 16))["task_id"] == placed["task_id"]
    again = await desk.service.modify(order_id, changes, account_id=None, caller=caller, wait_s=20.0)
    assert (again.resource_id, again.replayed) == (changed.resource_id, True)
    repeated = await desk.batch([order(), order(tradingsymbol="SBIN", price=Decimal(700))], key="b" * 16)
    assert repeated["batch_id"] == batch["batch_id"]
    with pytest.raises(BadInput):
        await desk.place(key="n" * 16)
    assert len(await desk.ledger()) == 3


async def test_equal_orders_under_different_keys_are_two_orders(desk: Desk) -> None:
    """Nothing is ever merged because it looks alike."""
    await asyncio.gather(desk.place(key="a" * 16), desk.place(key="b" * 16))
    assert len(await desk.ledger()) == 2


async def test_an_order_is_modified_once_its_book_row_shows_it(desk: Desk) -> None:
    """A modification is a task of its own; the order's row has the new price."""
    task = await desk.place()
    answer = await desk.service.modify(
        task["order_id"], OrderChanges(price=Decimal(1402)), account_id=None, caller=ME, wait_s=20.0
    )
    assert answer.document["status"] == "completed"

    async def repriced() -> bool:
        return bool((await desk.service.queries.order(task["order_id"]))["price"] == 1402)

    await until(repriced)


async def test_a_cancel_ends_the_order(desk: Desk) -> None:
    """The cancel is a task, the order's state is the broker's word."""
    task = await desk.place()
    answer = await desk.service.cancel(task["order_id"], account_id=None, caller=ME, wait_s=20.0)
    assert answer.document["status"] == "completed"
    await until(lambda: shown(desk, task["order_id"], "cancelled"))


async def test_a_cancel_does_not_wait_for_the_room_of_an_order(desk: Desk) -> None:
    """The minute's share of orders is used up for six seconds more: a cancel that comes meanwhile goes before that."""
    task = await desk.place()
    used_up = [MINUTE_S - 6.0] * 320
    desk.account.governor.restore_minute(used_up)
    room_again_at = time.monotonic() + 6.0
    waiting = await desk.place(wait_s=0.0)
    await asyncio.sleep(0.5)
    answer = await desk.service.cancel(str(task["order_id"]), account_id=None, caller=ME, wait_s=20.0)
    assert answer.document["status"] == "completed"
    assert time.monotonic() < room_again_at
    assert (await desk.service.queries.task(UUID(str(waiting["task_id"])))).status is TaskStatus.PENDING

    async def sent() -> bool:
        return (await desk.service.queries.task(UUID(str(waiting["task_id"])))).status is TaskStatus.COMPLETED

    await until(sent)


async def test_a_cancel_of_a_filled_order_fails_and_says_what_filled(desk: Desk) -> None:
    """Kite answers 'being processed'; the order's row tells that there is nothing left to cancel."""
    task = await desk.place(price=Decimal(1510))
    answer = await desk.service.cancel(task["order_id"], account_id=None, caller=ME, wait_s=20.0)
    assert answer.document["status"] == "failed"
    assert answer.document["last_error"]["code"] == "ORDER_ALREADY_FINAL"


async def test_bad_orders_are_refused_with_every_problem_and_nothing_is_stored(desk: Desk) -> None:
    """All problems at once, each with its place; the database and the broker know nothing of it."""
    with pytest.raises(BadInput) as caught:
        await desk.place(quantity=0, price=None, trigger_price=Decimal(5))
    assert {problem.loc[-1] for problem in caught.value.problems} == {"quantity", "price", "trigger_price"}
    assert (await desk.service.queries.tasks(None, status=None, before=None, limit=10)).data == []


async def test_a_market_order_gets_the_protection_that_the_broker_demands(desk: Desk) -> None:
    """MARKET without market_protection is sent with -1 and booked as a limit order at the band's edge."""
    task = await desk.place(order_type=OrderType.MARKET, price=None)
    assert task["status"] == "completed"
    await until(lambda: shown(desk, task["order_id"], "completed"))


async def test_an_order_that_becomes_a_market_order_gets_that_protection_too(desk: Desk) -> None:
    """The broker refuses the modification without it; a nonsensical one is refused here."""
    task = await desk.place()
    await until(lambda: shown(desk, task["order_id"], "open"))
    order_id = str(task["order_id"])
    with pytest.raises(BadInput, match="market_protection"):
        await desk.service.modify(
            order_id, OrderChanges(market_protection=Decimal(0)), account_id=None, caller=ME, wait_s=0
        )
    changes = OrderChanges(order_type=OrderType.MARKET)
    answer = await desk.service.modify(order_id, changes, account_id=None, caller=ME, wait_s=20.0)
    assert answer.document["status"] == "completed"
    await until(lambda: shown(desk, task["order_id"], "completed"))


async def test_unknown_orders_and_accounts_are_not_found(desk: Desk) -> None:
    """Neither is a server error, and nothing is stored."""
    with pytest.raises(NotFound):
        await desk.service.cancel("999", account_id=None, caller=ME, wait_s=0)
    with pytest.raises(NotFound):
        desk.service.checked([], account_id="nobody", loc=())


async def test_orders_from_elsewhere_are_shown_without_a_task(desk: Desk) -> None:
    """An order that the caller's phone placed appears in our list and belongs to no task."""
    answer = await desk.sim.post(
        "/orders/regular",
        headers={"Authorization": "token simkey:simtoken"},
        data={"exchange": "NSE", "tradingsymbol": "INFY", "transaction_type": "BUY", "quantity": "1", "product": "MIS",
              "order_type": "LIMIT", "price": "1400"},
    )  # fmt: skip
    order_id = answer.json()["data"]["order_id"]

    async def listed() -> bool:
        desk.orders.wakeups.on_order_hint(ACCOUNT)
        page = await desk.service.queries.orders(ACCOUNT, after=None, limit=10)
        return any(row["order_id"] == order_id and row["task_id"] is None for row in page.data)

    await until(listed)
