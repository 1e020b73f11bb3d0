"""Modifications and cancels: what proves them, what ends them, and what a doubt about one may hold up."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from app.broker.orders import OrderChanges, OrderType
from app.orders.entry.acceptance import Caller
from app.orders.entry.outcome_wait import Answer
from app.orders.state.model import TaskStatus
from simulator.server import RunningSimulator
from tests.faults.test_crash_rows import resting
from tests.order_environment import SHORT_SETTINGS, OrderEnvironment, open_order_environment
from tests.order_waits import end_of, reaches

CALLER = Caller(principal="t")
CANNOT_FIND = {"code": 400, "error_type": "GeneralException", "message": "Couldn't find that `order_id`."}
NO_ROUTE = {"code": 404, "error_type": "GeneralException", "message": "Route not found"}
NO_METHOD = {"code": 405, "error_type": "GeneralException", "message": "Request method not allowed"}
GONE = {"code": 410, "error_type": "GeneralException", "message": "Gone"}
FORBIDDEN = {"code": 403, "error_type": "GeneralException", "message": "Forbidden"}


@pytest.fixture
async def patient(database_url: str, simulator: RunningSimulator) -> AsyncIterator[OrderEnvironment]:
    """Where a doubt stays one for longer than any test takes."""
    settings = replace(SHORT_SETTINGS, in_doubt_window_s=7200.0)
    async with open_order_environment(database_url, simulator.url, settings=settings) as opened:
        await opened.set_price("NSE:INFY", 1500)
        yield opened


async def modify(environment: OrderEnvironment, order_id: str, *, wait_s: float = 20.0, **changes: Any) -> Answer:
    return await environment.service.modify(
        order_id, OrderChanges(**changes), account_id=None, caller=CALLER, wait_s=wait_s
    )


async def at_the_exchange(environment: OrderEnvironment, order_id: str) -> dict[str, Any]:
    rows = (await environment.sim.get("/_sim/ledger")).json()
    return next(row for row in rows if row["order_id"] == order_id)


async def test_a_change_to_market_that_never_arrived_is_not_called_completed(environment: OrderEnvironment) -> None:
    """The book shows a MARKET order as LIMIT, so the unmodified row looks like the modified one."""
    order_id = await resting(environment)
    await environment.fault("drop_before_read", method="PUT", path="/orders/*")
    answer = await modify(environment, order_id, order_type=OrderType.MARKET)
    ended = await end_of(environment, answer.document)
    assert (ended["status"], ended["sent"], ended["last_error"]["code"]) == ("failed", "unknown", "NOT_CONFIRMED")


async def test_a_change_back_to_an_earlier_price_that_was_lost_is_not_called_completed(
    environment: OrderEnvironment,
) -> None:
    """The book is seconds old and still shows the first price, which is also the one that was asked for last."""
    order_id = await resting(environment)
    first = Decimal(str((await environment.service.queries.order(order_id))["price"]))
    await environment.fault("stale_book", method="GET", path="/orders", times=-1, params={"ms": 60_000})
    assert (await modify(environment, order_id, price=first + 1)).document["status"] == "completed"
    await environment.fault("drop_before_read", method="PUT", path="/orders/*")
    ended = await end_of(environment, (await modify(environment, order_id, price=first)).document)
    assert (ended["status"], ended["sent"]) == ("failed", "unknown")


@pytest.mark.parametrize("answer", [CANNOT_FIND, NO_ROUTE, NO_METHOD, GONE, FORBIDDEN])
async def test_a_modification_that_reached_no_order_fails_and_stops_nothing(
    environment: OrderEnvironment, answer: dict[str, Any]
) -> None:
    """It is refused with the broker's words, and the next order is sent immediately."""
    order_id = await resting(environment)
    await environment.fault("status", method="PUT", path="/orders/*", params=answer)
    task = (await modify(environment, order_id, price=Decimal(1401))).document
    assert (task["status"], task["last_error"]["broker"]["message"]) == ("failed", answer["message"])
    assert (await environment.place(tradingsymbol="SBIN", price=Decimal(700)))["status"] == "completed"


async def test_a_doubtful_modification_holds_up_no_other_order(patient: OrderEnvironment) -> None:
    """Older than the age at which a doubtful placement stops everything new, and more than one of them."""
    orders = [await resting(patient) for _ in range(3)]
    await patient.fault("drop_before_read", method="PUT", path="/orders/*", times=-1)
    await patient.fault("status", method="GET", path="/orders", times=-1, params={"code": 502})
    for order_id in orders:
        task = (await modify(patient, order_id, price=Decimal(1401), wait_s=0.0)).document
        await reaches(patient, task, TaskStatus.IN_DOUBT)
    async with patient.database.connection() as connection:
        await connection.execute("UPDATE order_task SET last_sent_at = last_sent_at - interval '1 hour'")
    assert (await patient.place(tradingsymbol="SBIN", price=Decimal(700)))["status"] == "completed"


async def test_a_doubtful_cancel_of_an_order_that_no_book_shows_ends(environment: OrderEnvironment) -> None:
    """Nothing can ever answer it: it ends as unknown within the window, and nothing waits for it."""
    order_id = await resting(environment)
    await environment.fault("drop_before_read", method="DELETE", path="/orders/*", times=-1)
    async with environment.database.connection() as connection:
        await connection.execute("DELETE FROM broker_order")
    await environment.fault("shrink_book", method="GET", path="/orders", times=-1)
    answer = await environment.service.cancel(order_id, account_id=None, caller=CALLER, wait_s=0.0)
    ended = await end_of(environment, answer.document)
    assert (ended["status"], ended["sent"]) == ("failed", "unknown")
