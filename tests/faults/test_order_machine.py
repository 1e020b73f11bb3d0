"""A state machine over the engine, the simulator and crashes: any order of commands and faults keeps the invariants.

CI runs a few short histories; ``MACHINE_EXAMPLES`` and ``MACHINE_STEPS`` in the environment make long ones. A failing
history is printed by Hypothesis as a program that repeats it.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from dataclasses import replace
from decimal import Decimal
from typing import Any, TypeVar
from uuid import UUID

import psycopg
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from app.broker.orders import OrderChanges
from app.errors import ServiceError
from app.orders.entry.acceptance import Caller
from chaos.checker import no_order_without_intent, one_order_per_intent, one_order_per_tag
from chaos.event_checks import events_in_order
from chaos.history import ENDED_STATES, UNFINISHED
from chaos.history_reader import read_history
from simulator.server import RunningSimulator, running_simulator
from simulator.settings import RateLimits, SimulatorSettings
from tests.faults.chaos_checks import checked_history
from tests.faults.test_replacements import put_in_place_of, shown
from tests.order_environment import SHORT_SETTINGS, OrderEnvironment, open_order_environment
from tests.order_requests import order
from tests.order_waits import after_the_lease
from tests.servers import temporary_database

SETTINGS = replace(SHORT_SETTINGS, in_doubt_window_s=1.0, claim_lease_s=1.0, block_on_doubt_s=0.5, audit_s=0.2,
                batch_deadline_s=5.0, send_timeout_s=0.6, freshness_limit_s=3.0)  # fmt: skip
EXAMPLES = int(os.environ.get("MACHINE_EXAMPLES", "4"))
STEPS = int(os.environ.get("MACHINE_STEPS", "12"))
CALLER = Caller(principal="t")
SYMBOLS = st.sampled_from(["INFY", "SBIN"])
PRICES = st.sampled_from([Decimal(1400), Decimal(1510)])
FAULTS = st.sampled_from(
    [
        ("drop_before_read", {}),
        ("drop_after_accept", {}),
        ("reset", {}),
        ("hang", {"ms": 900}),
        ("half_body", {"process": True}),
        ("html_200", {"process": False}),
        ("status", {"code": 502, "process": True}),
        ("status", {"code": 429}),
        ("late_visible", {"ms": 600}),
        ("late_visible", {"ms": 2500}),
        ("partial_fill", {"quantity": 3}),
        ("reject", {}),
    ]
)
METHODS = st.sampled_from(["POST", "PUT", "DELETE"])
BOOK_FAULTS = st.sampled_from(["shrink_book", "stale_book", "tag_null", "drop_before_read"])

_T = TypeVar("_T")


class OrderMachine(RuleBasedStateMachine):
    """``server_url`` and ``template`` are set on a subclass by the test."""

    server_url: str
    template: str

    def __init__(self) -> None:
        super().__init__()
        self._runner = asyncio.Runner()
        self._stack = AsyncExitStack()
        self._stack_of_environment = AsyncExitStack()
        self._database = temporary_database(self.server_url, template=self.template)
        self._url = self._database.__enter__()
        self._environment: OrderEnvironment | None = None
        self._ends: dict[str, str] = {}
        self._filled: dict[str, int] = {}
        self._keys = 0

    def _do(self, work: Coroutine[Any, Any, _T]) -> _T:
        return self._runner.run(work)

    @initialize()
    def open(self) -> None:
        limits = RateLimits(enforced="on")
        sim_settings = SimulatorSettings(port=0, ticks_per_second=0, rate_limits=limits)
        self._sim: RunningSimulator = self._do(self._stack.enter_async_context(running_simulator(sim_settings)))
        self._open_environment()
        for symbol in ("INFY", "SBIN"):
            self._do(self._running().set_price(f"NSE:{symbol}", 1500))

    def _open_environment(self) -> None:
        self._environment = self._do(
            self._stack_of_environment.enter_async_context(
                open_order_environment(self._url, self._sim.url, settings=SETTINGS)
            )
        )

    def _running(self) -> OrderEnvironment:
        assert self._environment is not None
        return self._environment

    @rule(symbol=SYMBOLS, price=PRICES, wait_s=st.sampled_from([0.0, 0.3]))
    def place(self, symbol: str, price: Decimal, wait_s: float) -> None:
        self._do(self._running().place(tradingsymbol=symbol, price=price, wait_s=wait_s))

    @rule(symbol=SYMBOLS, price=PRICES)
    def place_twice_under_one_key(self, symbol: str, price: Decimal) -> None:
        self._keys += 1
        key = f"machine-{self._keys:012d}"
        environment = self._running()

        async def twice() -> set[UUID]:
            calls = (environment.answer(tradingsymbol=symbol, price=price, key=key, wait_s=0.2) for _ in range(3))
            return {answer.resource_id for answer in await asyncio.gather(*calls)}

        assert len(self._do(twice())) == 1

    @rule(prices=st.lists(PRICES, min_size=2, max_size=4), rollback=st.booleans())
    def place_batch(self, prices: list[Decimal], rollback: bool) -> None:
        orders = [order(price=price) for price in prices]
        self._do(self._running().batch(orders, wait_s=0.3, rollback=rollback))

    @rule(number=st.integers(0, 9))
    def cancel(self, number: int) -> None:
        order_id = self._known(number)
        if order_id is not None:
            self._do(
                self._command(self._running().service.cancel(order_id, account_id=None, caller=CALLER, wait_s=0.2))
            )

    @rule(number=st.integers(0, 9), quantity=st.integers(11, 20))
    def modify(self, number: int, quantity: int) -> None:
        order_id = self._known(number)
        if order_id is not None:
            changes = OrderChanges(quantity=quantity)
            modify = self._running().service.modify(order_id, changes, account_id=None, caller=CALLER, wait_s=0.2)
            self._do(self._command(modify))

    @rule(number=st.integers(0, 9))
    def take_back(self, number: int) -> None:
        with psycopg.connect(self._url) as connection:
            rows = connection.execute(
                "SELECT task_id FROM order_task WHERE operation = 'place' ORDER BY task_id DESC"
            ).fetchall()
        if rows:
            self._do(self._command(self._running().orders.withdrawals.withdraw(rows[number % len(rows)][0])))

    @rule(number=st.integers(0, 9), price=PRICES)
    def replace(self, number: int, price: Decimal) -> None:
        order_id = self._known(number)
        if order_id is not None:
            self._do(self._command(self._replace(order_id, price)))

    async def _replace(self, order_id: str, price: Decimal) -> None:
        symbol = (await shown(self._running(), order_id))["tradingsymbol"]
        await put_in_place_of(self._running(), order_id, wait_s=0.2, price=price, tradingsymbol=symbol)

    async def _command(self, call: Coroutine[Any, Any, object]) -> None:
        try:
            await call
        except ServiceError:
            return  # refused before acceptance: nothing was stored

    @rule(fault=FAULTS, method=METHODS)
    def break_the_broker(self, fault: tuple[str, dict[str, Any]], method: str) -> None:
        kind, params = fault
        self._do(self._running().fault(kind, method=method, path="/orders/*", params=params))

    @rule(kind=BOOK_FAULTS, times=st.integers(1, 4))
    def break_the_book(self, kind: str, times: int) -> None:
        self._do(self._running().fault(kind, method="GET", path="/orders", times=times))

    @rule(seconds=st.sampled_from([0.1, 0.5, 1.2]))
    def wait(self, seconds: float) -> None:
        self._do(asyncio.sleep(seconds))

    @rule()
    def crash_and_reopen(self) -> None:
        self._do(self._running().crash())
        self._do(self._stack_of_environment.aclose())
        self._do(after_the_lease(self._url))
        self._open_environment()

    @precondition(lambda self: self._environment is not None)
    @invariant()
    def nothing_is_doubled_or_goes_backwards(self) -> None:
        history = self._do(asyncio.to_thread(read_history, self._url, self._sim.url))
        found = [
            text
            for check in (one_order_per_tag, one_order_per_intent, no_order_without_intent, events_in_order)
            for text in check(history)
        ]
        assert found == []
        for task in history.tasks:
            before = self._ends.get(task.task_id)
            late = before == "failed" and task.status == "completed"  # found after it had been given up
            assert before in {None, task.status} or late, f"{task.task_id} was {before}, is {task.status}"
            if task.status not in UNFINISHED:
                self._ends[task.task_id] = task.status
        for known in history.orders:
            assert known.filled_quantity >= self._filled.get(known.order_id, 0)
            self._filled[known.order_id] = known.filled_quantity
            before = self._ends.get(known.order_id)
            assert before in {None, known.state}, f"order {known.order_id} was {before}, is {known.state}"
            if known.state in ENDED_STATES:
                self._ends[known.order_id] = known.state

    def teardown(self) -> None:
        try:
            if self._environment is not None:
                self._do(self._running().sim.delete("/_sim/faults"))
                self._do(checked_history(self._url, self._sim, within_s=20))
        finally:
            self._do(self._stack_of_environment.aclose())
            self._do(self._stack.aclose())
            self._runner.close()
            self._database.__exit__(None, None, None)

    def _known(self, number: int) -> str | None:
        with psycopg.connect(self._url) as connection:
            rows = connection.execute("SELECT order_id FROM broker_order ORDER BY order_id").fetchall()
        return str(rows[number % len(rows)][0]) if rows else None


def test_any_order_of_commands_faults_and_crashes_keeps_the_invariants(
    postgres_server: str, migrated_template: str
) -> None:
    """After each step nothing is doubled and nothing goes back; at the end everything is settled and true."""
    servers = {"server_url": postgres_server, "template": migrated_template}
    run_state_machine_as_test(
        type("Machine", (OrderMachine,), servers),
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            derandomize="MACHINE_EXAMPLES" not in os.environ,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
