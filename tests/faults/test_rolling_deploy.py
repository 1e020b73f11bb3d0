"""Row 28: three replicas are replaced one after the other while orders come in and many programs follow them."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import httpx
import pytest
from loguru import logger

from app.orders.state.model import NOT_FOUND_AT_BROKER
from chaos.stack import ACCOUNTS, API_KEY, Replica, Stack, open_stack
from chaos.subscribers import Subscriber
from tests.faults.chaos_checks import checked_history_with
from tests.waiting import until

SOCKETS = int(os.environ.get("ROLL_SOCKETS", "60"))
EVERY_S = 0.1
MAY_BE_CUT_OFF = 3
"""Requests that a stop on a slow machine cut off before the broker read them: in doubt, then proven absent."""

PATIENT = {"ORDER_FRESHNESS_LIMIT_S": "120"}
"""What a slow machine cannot send as fast as it is asked for waits; none of it becomes stale."""

NO_LEASE_RAN_OUT_S = 7.0
"""An owner that stops in order hands its lease of ten seconds over: no order waits for the end of one."""


class Orders:
    """One order each ``EVERY_S``, by turns for each account; what has no answer is asked again under its key."""

    def __init__(self, replicas: Sequence[Replica]) -> None:
        self.asked = 0
        self._replicas = replicas
        self._stopped = asyncio.Event()

    def stop(self) -> None:
        self._stopped.set()

    async def run(self) -> None:
        headers = {"X-API-Key": API_KEY}
        async with (
            httpx.AsyncClient(trust_env=False, timeout=10.0, headers=headers) as http,
            asyncio.TaskGroup() as tasks,
        ):
            while not self._stopped.is_set():
                tasks.create_task(self._place(http, self.asked))
                self.asked += 1
                await asyncio.sleep(EVERY_S)

    async def _place(self, http: httpx.AsyncClient, number: int) -> None:
        body = {"exchange": "NSE", "tradingsymbol": "INFY", "transaction_type": "BUY", "quantity": 1, "product": "MIS",
                "order_type": "LIMIT", "price": 1400, "account_id": list(ACCOUNTS)[number % len(ACCOUNTS)]}  # fmt: skip
        for attempt in range(200):
            replica = self._replicas[(number + attempt) % len(self._replicas)]
            try:
                answer = await http.post(
                    f"{replica.url}/orders", params={"wait": 0}, json=body,
                    headers={"Idempotency-Key": f"rolling-deploy-{number:06d}"},
                )  # fmt: skip
            except httpx.HTTPError:
                await asyncio.sleep(0.05)
                continue
            if answer.is_success:
                return
            assert answer.status_code in {409, 503}, answer.text
            await asyncio.sleep(0.05)
        raise AssertionError(f"order {number} was never accepted")


@pytest.mark.chaos
async def test_row_28_replicas_are_replaced_under_load(tmp_path: Path) -> None:
    """No event is lost, no order is doubled or forgotten, and orders go on while the owner changes."""
    async with (
        open_stack(tmp_path, replicas=3, seed=28, settings=PATIENT) as (stack, _),
        asyncio.TaskGroup() as tasks,
    ):
        readers = [
            Subscriber(f"reader-{n}", list(ACCOUNTS)[n % 2], stack.replicas, seed=n, leaves_after_s=None)
            for n in range(SOCKETS)
        ]
        reading = [tasks.create_task(reader.run()) for reader in readers]
        try:
            await until(lambda: all_read(readers), within_s=30)
            orders = Orders(stack.replicas)
            await replace_all(stack, orders)
            history = await checked_history_with(
                lambda: [one for reader in readers for one in reader.seen()],
                stack.postgres.url,
                stack.simulator_url,
                within_s=90,
            )
        finally:
            for task in reading:
                task.cancel()
    placed = [task for task in history.tasks if task.status == "completed"]
    assert (len(history.tasks), len(history.ledger)) == (orders.asked, len(placed))
    assert len(placed) >= orders.asked - MAY_BE_CUT_OFF
    assert {task.error_code for task in history.tasks if task not in placed} <= {NOT_FOUND_AT_BROKER}
    arrived = sorted(order.accepted_at for order in history.ledger)
    longest = max((later - earlier).total_seconds() for earlier, later in pairwise(arrived))
    logger.info("{} sockets, {} orders, longest time without one {:.2f} s", SOCKETS, orders.asked, longest)
    assert longest < NO_LEASE_RAN_OUT_S


async def all_read(readers: Sequence[Subscriber]) -> bool:
    return all(reader.seen() for reader in readers)


async def replace_all(stack: Stack, orders: Orders) -> None:
    """Each in turn is stopped in order and started again; orders come before, between and after."""
    price = {"NSE:INFY": {"last_price": 1500, "frozen": True}}
    async with httpx.AsyncClient(trust_env=False) as http, asyncio.TaskGroup() as trade:
        await http.post(f"{stack.simulator_url}/_sim/market", json={"instruments": price})
        trade.create_task(orders.run())
        for replica in stack.replicas:
            await asyncio.sleep(1.0)
            await replica.end("term")
            replica.start()
            await replica.wait_until_live(http)
        await asyncio.sleep(1.0)
        orders.stop()
