"""Faults of the order book, row by row of the fault table: what it hides, forgets or shows wrongly proves nothing."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace

from app.errors import BrokerError
from app.orders.entry.acceptance import Caller
from app.orders.state.model import TaskStatus
from simulator.server import RunningSimulator
from tests.faults.chaos_checks import checked_history
from tests.faults.test_crash_rows import resting
from tests.order_environment import SHORT_SETTINGS, OrderEnvironment, open_order_environment
from tests.order_requests import order
from tests.order_waits import end_of, now, reaches, struck
from tests.waiting import until

NETWORK_ERROR = {"error_type": "NetworkException", "message": "Request failed (kitetrade-oms)."}


async def test_row_19_a_book_that_cannot_be_read_resolves_nothing(
    database_url: str, simulator: RunningSimulator
) -> None:
    """Three doubts while every read fails: past the window they stay doubts, a cancel passes; clean reads end them."""
    symbols = ["INFY", "SBIN", "ITC"]
    settings = replace(SHORT_SETTINGS, in_doubt_window_s=1.0)
    async with open_order_environment(database_url, simulator.url, settings=settings) as environment:
        for symbol in symbols:
            await environment.set_price(f"NSE:{symbol}", 1500)
        live_order = await resting(environment)
        await environment.fault("status", method="GET", path="/orders", times=-1, params={"code": 502, **NETWORK_ERROR})
        await environment.fault("drop_after_accept", times=3)
        tasks = [await environment.place(wait_s=0.0, tradingsymbol=symbol) for symbol in symbols]
        cancel = await environment.service.cancel(live_order, account_id=None, caller=Caller(principal="t"), wait_s=0.0)
        for task in tasks:
            await reaches(environment, task, TaskStatus.IN_DOUBT)
        await struck(environment, "status", 2)
        await asyncio.sleep(settings.in_doubt_window_s)
        assert [(await now(environment, task)).status for task in tasks] == [TaskStatus.IN_DOUBT] * 3
        assert (await reaches(environment, cancel.document, TaskStatus.COMPLETED))["sent"] == "yes"
        assert (await environment.ledger())[0]["state"] == "CANCELLED"
        await environment.sim.delete("/_sim/faults")
        for task in tasks:
            assert (await end_of(environment, task))["status"] == "completed"
        assert len((await checked_history(database_url, simulator)).ledger) == 4


async def test_row_20_an_order_shown_without_its_tag_still_belongs_to_its_task(
    database_url: str, simulator: RunningSimulator, environment: OrderEnvironment
) -> None:
    """The broker confirmed the order's id, then shows it without the tag: the id is enough, and rollback finds it."""
    await environment.fault("tag_null", method="GET", path="/orders", times=-1)
    await environment.fault("reject", after=1, params={"message": "RMS:Blocked"})
    batch = await environment.batch([order(), order()], wait_s=20.0)
    assert batch["status"] == "rolled_back"
    history = await checked_history(database_url, simulator)
    assert all(known.task_id is not None for known in history.orders)


async def test_clients_that_read_the_portfolio_do_not_blind_the_reconciler(environment: OrderEnvironment) -> None:
    """More reads than the broker's rate lets through wait in line; the order book goes first."""
    await environment.place()

    async def read_on() -> None:
        while True:
            with contextlib.suppress(BrokerError):
                await environment.account.broker.portfolio.positions()

    readers = [asyncio.create_task(read_on()) for _ in range(60)]
    try:
        await asyncio.sleep(0.5)
        await environment.fault("drop_after_accept")
        task = await environment.place(wait_s=0.2)
        assert (await end_of(environment, task))["status"] == "completed"
    finally:
        for reader in readers:
            reader.cancel()
        await asyncio.gather(*readers, return_exceptions=True)


async def test_a_broken_character_in_the_brokers_words_ends_no_loop(environment: OrderEnvironment) -> None:
    """A NUL cannot be stored; the order's row and the refusal are, without it."""
    await environment.fault("reject", params={"message": "RMS:\x00 Blocked"})
    task = await environment.place()

    async def is_rejected() -> bool:
        return bool((await environment.service.queries.order(task["order_id"]))["state"] == "rejected")

    await until(is_rejected)
    await environment.fault("status", params={"code": 400, "error_type": "InputException", "message": "Bad\x00 price"})
    refused = await environment.place()
    assert (refused["status"], refused["last_error"]["message"]) == ("failed", "Bad price")
