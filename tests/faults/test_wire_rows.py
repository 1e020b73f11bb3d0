"""Faults of the wire and of the broker's gateway, row by row of the fault table; checked against ledger and tables."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from decimal import Decimal
from functools import partial

import pytest

from app.orders.state.engine_settings import BreakerLimits
from app.orders.state.model import TaskStatus
from chaos.proxy import FaultProxy, open_proxy
from simulator.server import RunningSimulator
from tests.faults.chaos_checks import checked_history
from tests.order_environment import SHORT_SETTINGS, OrderEnvironment, open_order_environment
from tests.order_waits import end_of, now, reaches
from tests.waiting import until

ROW_8_ORDERS = int(os.environ.get("ROW_8_ORDERS", "40"))
ROW_8_PAUSE_S = 0.2 if ROW_8_ORDERS > 300 else 0.0
"""Between two orders of a long run: of the broker's 400 a minute, a fifth is kept for cancels."""
NETWORK_ERROR = {"error_type": "NetworkException", "message": "Request failed (kitetrade-oms)."}


@pytest.fixture
async def line(simulator: RunningSimulator) -> AsyncIterator[FaultProxy]:
    """The way to the broker."""
    async with open_proxy(simulator.port) as proxy:
        yield proxy


async def test_row_1_a_port_that_opens_again_gets_the_order_once(
    database_url: str, simulator: RunningSimulator, line: FaultProxy
) -> None:
    """POST refused, then up: the same intent goes again (at most twice more), one order; `sent` is no in between."""
    async with open_order_environment(database_url, f"http://127.0.0.1:{line.port}") as environment:
        line.stop_listening()
        line.cut()
        task = await environment.place(wait_s=0.0)

        async def tried() -> bool:
            async with environment.database.connection() as connection:
                cursor = await connection.execute("SELECT status, sent FROM order_task WHERE attempts > 0")
                row = await cursor.fetchone()
            return row == ("retrying", "no")

        await until(tried, every_s=0.005)
        await line.start_listening()
        ended = await end_of(environment, task)
        assert (ended["status"], ended["sent"]) == ("completed", "yes")
        assert 2 <= ended["attempts"] <= 3
        assert len((await checked_history(database_url, simulator)).ledger) == 1


async def test_row_3_a_lost_answer_is_found_by_the_read_that_it_causes(
    database_url: str, simulator: RunningSimulator
) -> None:
    """Accepted, the response dropped: in doubt, then acknowledged by its tag, long before the window or an audit."""
    settings = replace(SHORT_SETTINGS, in_doubt_window_s=120.0, audit_s=120.0, block_on_doubt_s=120.0)
    async with open_order_environment(database_url, simulator.url, settings=settings) as environment:
        await environment.fault("drop_after_accept")
        assert (await environment.place(wait_s=20.0))["status"] == "completed"
        assert len((await checked_history(database_url, simulator)).ledger) == 1


async def test_row_7_a_refusal_is_final_and_sent_once(environment: OrderEnvironment) -> None:
    """400 MarginException: failed with the broker's words, one attempt, nothing in the ledger; the next order goes."""
    params = {"code": 400, "error_type": "MarginException", "message": "Insufficient funds. Required margin is 9."}
    await environment.fault("status", params=params)
    task = await environment.place()
    assert (task["status"], task["attempts"], task["last_error"]["broker"]["message"]) == (
        "failed", 1, params["message"],
    )  # fmt: skip
    assert (await environment.place())["status"] == "completed"
    assert len(await environment.ledger()) == 1


@pytest.mark.timeout(60 + ROW_8_ORDERS)
async def test_row_8_server_errors_with_and_without_placement(database_url: str, simulator: RunningSimulator) -> None:
    """502, 503 and 504, half of them placed, one after the other: none twice, none lost, each with its true end."""
    dice = random.Random(8)
    never_opens = BreakerLimits(doubts=1_000, least_samples=1_000)
    settings = replace(SHORT_SETTINGS, block_on_doubt_s=0.0, in_flight=10, halt_doubts=1_000, breaker=never_opens)
    async with open_order_environment(database_url, simulator.url, settings=settings) as environment:
        placed = [dice.random() < 0.5 for _ in range(ROW_8_ORDERS)]
        for number, process in enumerate(placed):
            params = {"code": dice.choice([502, 503, 504]), **NETWORK_ERROR, "process": process}
            await environment.fault("status", params=params)
            await environment.place(wait_s=0.0, price=Decimal(1400 + number % 50))
            await until(partial(sent, environment, number + 1), every_s=0.01)
            await asyncio.sleep(ROW_8_PAUSE_S)
        history = await checked_history(database_url, simulator, within_s=40)
        assert len(history.tasks) == ROW_8_ORDERS
        assert len(history.ledger) == sum(placed)


async def sent(environment: OrderEnvironment, attempts: int) -> bool:
    """Whether so many requests were answered."""
    async with environment.database.connection() as connection:
        cursor = await connection.execute("SELECT count(*) FROM order_attempt WHERE outcome IS NOT NULL")
        row = await cursor.fetchone()
    return row == (attempts,)


async def test_row_9_a_burst_of_429_loses_nothing(
    database_url: str, simulator: RunningSimulator, environment: OrderEnvironment
) -> None:
    """Turned away at the gateway: the account cools down, each is sent once more after a clean read, one order each."""
    params = {"code": 429, "error_type": "NetworkException", "message": "Too many requests"}
    await environment.fault("delay", times=4, params={"ms": 500})  # four are on their way before the first answer comes
    await environment.fault("status", times=3, params=params)
    symbols = ["INFY", "SBIN", "TCS", "ITC", "WIPRO"]
    for symbol in symbols:
        await environment.set_price(f"NSE:{symbol}", 1500)
    tasks = await asyncio.gather(*(environment.place(tradingsymbol=symbol) for symbol in symbols))
    ended = [await end_of(environment, task) for task in tasks]
    assert [task["last_error"] for task in ended if task["status"] != "completed"] == []
    async with environment.database.connection() as connection:
        cursor = await connection.execute(
            """SELECT extract(epoch FROM later.started_at - one.finished_at), later.task_id = one.task_id
               FROM order_attempt one, order_attempt later
               WHERE one.outcome = 'throttled' AND later.started_at > one.finished_at"""
        )
        pauses = [(float(seconds), is_same) for seconds, is_same in await cursor.fetchall()]
    assert len([seconds for seconds, is_same in pauses if is_same]) == 3
    assert min(seconds for seconds, _ in pauses) >= 0.6, "another order was sent before the account had cooled down"
    history = await checked_history(database_url, simulator)
    assert len(history.ledger) == len(symbols)


async def test_row_10_a_hanging_order_leaves_the_sender_free(database_url: str, simulator: RunningSimulator) -> None:
    """One POST hangs: its caller is answered in time, and orders of other instruments pass meanwhile."""
    settings = replace(SHORT_SETTINGS, send_timeout_s=20.0, claim_lease_s=25.0)
    async with open_order_environment(database_url, simulator.url, settings=settings) as environment:
        await environment.fault("late_visible", params={"ms": 4000})  # the book shows it while it hangs
        await environment.fault("hang", params={"ms": 60_000})
        hanging = await reaches(environment, await environment.place(wait_s=0.0), TaskStatus.RUNNING)
        assert (await environment.place(tradingsymbol="SBIN", price=Decimal(700)))["status"] == "completed"
        assert (await now(environment, hanging)).status is TaskStatus.RUNNING
        assert (await end_of(environment, hanging))["status"] == "completed"


async def test_row_13_equal_orders_under_different_keys_are_two(environment: OrderEnvironment) -> None:
    """Same second, same fields, two keys: two orders."""
    first, second = await asyncio.gather(environment.place(key="a" * 16), environment.place(key="b" * 16))
    assert first["order_id"] != second["order_id"]
    assert len(await environment.ledger()) == 2


async def test_row_25_three_replicas_share_one_limit(database_url: str, simulator: RunningSimulator) -> None:
    """A burst over three replicas on one account: never more than ten in a rolling second, in order per instrument."""
    settings = replace(SHORT_SETTINGS, freshness_limit_s=30.0)
    async with AsyncExitStack() as stack:
        environments = [
            await stack.enter_async_context(open_order_environment(database_url, simulator.url, settings=settings))
            for _ in range(3)
        ]
        for number in range(36):
            await environments[number % 3].place(wait_s=0.0, tradingsymbol=["INFY", "SBIN"][number % 2],
                                          price=Decimal(100 + number))  # fmt: skip
        history = await checked_history(database_url, simulator, within_s=40)
        ledger = await environments[0].ledger()
    assert len(ledger) == 36
    assert max(peaks.per_second for peaks in history.peaks) <= 10
    for symbol in ("INFY", "SBIN"):
        prices = [row["request"]["price"] for row in ledger if row["request"]["tradingsymbol"] == symbol]
        assert prices == sorted(prices, key=Decimal)
