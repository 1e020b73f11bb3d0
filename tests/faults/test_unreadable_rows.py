"""Rows of the broker's books that cannot be read: the others count, and the operator is told which they are."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from app.orders.state.alarms import Alarm
from app.orders.state.model import TaskStatus
from simulator.server import RunningSimulator
from tests.faults.rewriting_proxy import RewritingProxy, rewriting_proxy
from tests.faults.test_account_walls import alarms_of
from tests.order_environment import ACCOUNT, SHORT_SETTINGS, OrderEnvironment, open_order_environment
from tests.order_waits import end_by_hints, end_of, now, reaches, read_again
from tests.waiting import until

FILLED = Decimal(1510)
"""A price above the market: such an order fills."""
HOLD = replace(SHORT_SETTINGS, in_doubt_window_s=1.0, halt_doubt_age_s=60.0)

FOREIGN: dict[str, Any] = {
    "order_id": "900000000000001", "status": "OPEN", "exchange": "NSE", "tradingsymbol": "SBIN", "tag": "theirs",
    "transaction_type": "BUY", "quantity": 1, "filled_quantity": 0, "pending_quantity": 1, "price": 10,
    "product": "CNC", "order_type": "LIMIT", "variety": "regular", "order_timestamp": "2026-01-05 10:00:00",
}  # fmt: skip
TRADE: dict[str, Any] = {
    "trade_id": "70000001", "order_id": "900000000000001", "exchange": "NSE", "tradingsymbol": "SBIN",
    "transaction_type": "BUY", "quantity": 1, "average_price": 10, "product": "CNC",
}  # fmt: skip


@pytest.fixture
async def proxy(simulator: RunningSimulator) -> AsyncIterator[RewritingProxy]:
    async with rewriting_proxy(simulator.url) as running:
        yield running


@pytest.fixture
async def environment(database_url: str, proxy: RewritingProxy) -> AsyncIterator[OrderEnvironment]:
    async with open_order_environment(database_url, proxy.url, settings=HOLD) as opened:
        await opened.set_price("NSE:INFY", 1500)
        yield opened


async def filled(environment: OrderEnvironment) -> None:
    """An order is placed, and the product sees that it filled."""
    task = await environment.place(price=FILLED)

    async def shown() -> bool:
        environment.orders.wakeups.on_order_hint(ACCOUNT)
        return bool((await environment.service.queries.order(task["order_id"]))["state"] == "completed")

    await until(shown, within_s=8.0)


@pytest.mark.parametrize(
    "change",
    [
        {"exchange_timestamp": "17:29:00"}, {"order_timestamp": "0000-00-00 00:00:00"}, {"order_timestamp": 1798000000},
        {"exchange_update_timestamp": "9999-12-31T23:59:59-12:00"}, {"order_timestamp": "05-01-2026 10:00:00"},
        {"status": None}, {"status": ""}, {"exchange": None}, {"quantity": 10.5}, {"quantity": 3e9}, {"quantity": -5},
        {"filled_quantity": 2**31 - 1, "quantity": 2**31 - 1}, {"status_message": "a\ud800b"},
        {"average_price": float("nan")}, {"average_price": "1e-999999"}, {"meta": {"n": float("inf")}},
    ],
    ids=str,
)  # fmt: skip
async def test_a_foreign_row_hides_no_order_and_spoils_no_proof(
    change: dict[str, Any], environment: OrderEnvironment, proxy: RewritingProxy
) -> None:
    """Its id and its tag can be read: an order that fills is seen, and one that was not placed is proven absent."""
    proxy.add_rows("/orders", {**FOREIGN, **change})
    await filled(environment)
    await environment.fault("drop_before_read")
    lost = await environment.place(wait_s=0.0)
    assert (await end_by_hints(environment, lost))["last_error"]["code"] == "NOT_FOUND_AT_BROKER"
    assert environment.engine.read_counters()[ACCOUNT].book_unreadable is None


@pytest.mark.parametrize(
    "row",
    [
        None, [], {}, {**FOREIGN, "order_id": None, "quantity": 1.5}, {**FOREIGN, "tag": {}},
        {**FOREIGN, "tags": [1]}, {**FOREIGN, "order_id": "9" * 4000}, {**FOREIGN, "status": None, "tag": "OURS"},
    ],
    ids=str,
)  # fmt: skip
async def test_an_illegible_row_proves_no_absence_and_is_said(
    row: Any, environment: OrderEnvironment, proxy: RewritingProxy
) -> None:
    """It may be the order that is looked for: the doubt stays until the row is gone, and health is given the reason."""
    if isinstance(row, dict) and row.get("tag") == "OURS":
        row["tag"] = environment.parts.tagger.fresh() + "1"
    proxy.add_rows("/orders", row)
    await filled(environment)
    await environment.fault("drop_before_read")
    lost = await environment.place(wait_s=0.0)
    await reaches(environment, lost, TaskStatus.IN_DOUBT)
    counters = environment.engine.read_counters()[ACCOUNT]
    await read_again(environment, 8)
    await asyncio.sleep(HOLD.in_doubt_window_s)
    await read_again(environment, 2)
    assert (await now(environment, lost)).status is TaskStatus.IN_DOUBT
    assert counters.book_unreadable is not None
    assert counters.book_unreadable.startswith("row 0 of the order book")
    await until(lambda: _has_reason(environment, "book_unreadable"), within_s=5.0)
    [alarm] = await alarms_of(environment, ACCOUNT, Alarm.UNREADABLE_ROW)
    assert (alarm.data["place"], alarm.data["book"]) == ("row 0", "order book")
    proxy.rewrite = lambda _method, _path, body: body
    assert (await end_by_hints(environment, lost))["last_error"]["code"] == "NOT_FOUND_AT_BROKER"
    assert counters.book_unreadable is None


async def test_a_book_that_cannot_be_read_is_said_within_five_seconds(environment: OrderEnvironment) -> None:
    """One failed read is nothing; reads that go on failing are the reason that health shows until one succeeds."""
    counters = environment.engine.read_counters()[ACCOUNT]
    await environment.fault("status", method="GET", path="/orders", times=-1, params={"code": 502})

    async def said() -> bool:
        environment.orders.wakeups.on_order_hint(ACCOUNT)
        return counters.book_unreadable is not None

    await until(said, within_s=5.0)
    await environment.sim.delete("/_sim/faults")

    async def silent() -> bool:
        return counters.book_unreadable is None

    await until(silent, within_s=5.0)


@pytest.mark.parametrize(
    "trade",
    [
        {**TRADE, "quantity": 0.5}, {**TRADE, "quantity": 2**31 - 1}, {**TRADE, "quantity": None}, {}, None,
        {**TRADE, "fill_timestamp": "9999-12-31T23:59:59-12:00"}, {**TRADE, "trade_id": "7" * 4000},
        {**TRADE, "fill_timestamp": "0000-00-00 00:00:00"},
    ],
    ids=str,
)  # fmt: skip
async def test_a_trade_that_cannot_be_read_hides_no_fill(
    trade: Any, environment: OrderEnvironment, proxy: RewritingProxy
) -> None:
    """The fills of the account's own order are stored, although there are absurd ones beside them."""
    absurd = [trade] if trade is None else [trade, {**trade, "trade_id": "70000002"}]
    proxy.add_rows("/trades", *absurd)
    await filled(environment)

    async def has_fill() -> bool:
        environment.orders.wakeups.on_order_hint(ACCOUNT)
        fills = await environment.service.queries.trades(ACCOUNT)
        return any(fill["tradingsymbol"] == "INFY" and not fill["inferred"] for fill in fills)

    await until(has_fill, within_s=8.0)
    assert environment.supervisor.failures == []


async def test_the_quantities_of_one_order_may_exceed_what_an_integer_holds(
    environment: OrderEnvironment, proxy: RewritingProxy
) -> None:
    """Each fill is in its own bounds and their sum is not: the loops go on."""
    task = await environment.place(price=FILLED)
    huge = {**TRADE, "order_id": task["order_id"], "tradingsymbol": "INFY", "quantity": 2**31 - 1}
    proxy.add_rows("/trades", huge, {**huge, "trade_id": "70000002"}, {**huge, "trade_id": "70000003"})
    other = await environment.place(price=FILLED)
    assert other["status"] == "completed"

    async def stored() -> bool:
        environment.orders.wakeups.on_order_hint(ACCOUNT)
        fills = await environment.service.queries.trades(ACCOUNT)
        return sum(int(fill["quantity"]) for fill in fills) > 2**32

    await until(stored)
    await read_again(environment, 3)
    assert environment.supervisor.failures == []


async def test_an_order_that_the_book_never_shows_ends_no_other_proof(
    environment: OrderEnvironment, proxy: RewritingProxy
) -> None:
    """The broker confirms an id that no book has: after a window the operator is told, and proofs go on without it."""
    phantom = "900000000000077"

    def lie(method: str, path: str, body: bytes) -> bytes:
        placed = (method, path) == ("POST", "/orders/regular")
        return json.dumps({"status": "success", "data": {"order_id": phantom}}).encode() if placed else body

    await environment.fault("status", params={"code": 400, "error_type": "OrderException", "message": "Blocked"})
    proxy.rewrite = lie
    proxy.status = 200
    unseen = await environment.place()
    assert (unseen["status"], unseen["order_id"]) == ("completed", phantom)
    proxy.rewrite, proxy.status = (lambda _method, _path, body: body), None
    await environment.fault("drop_before_read")
    lost = await environment.place(wait_s=0.0, tradingsymbol="SBIN", price=Decimal(500))
    await reaches(environment, lost, TaskStatus.IN_DOUBT)
    [alarm] = await alarms_of(environment, ACCOUNT, Alarm.ORDER_UNSEEN)
    assert (alarm.subject, alarm.data["order_id"]) == (unseen["task_id"], phantom)
    assert (await end_by_hints(environment, lost))["last_error"]["code"] == "NOT_FOUND_AT_BROKER"
    assert (await end_of(environment, unseen))["status"] == "completed"


async def _has_reason(environment: OrderEnvironment, reason: str) -> bool:
    """Whether the owner says so of its account, for health at every replica."""
    async with environment.database.connection() as connection:
        cursor = await connection.execute("SELECT %s = ANY(reasons) FROM trading_status", (reason,))
        return (await cursor.fetchone()) == (True,)
