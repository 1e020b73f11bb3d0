"""A broker that does not answer: what stops by itself, what still passes, and what an operator sees of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

from app.orders.entry.acceptance import Caller
from app.orders.state.engine_settings import BreakerLimits
from app.orders.state.model import TaskStatus
from simulator.server import RunningSimulator
from tests.order_environment import ACCOUNT, SHORT_SETTINGS, OrderEnvironment, open_order_environment
from tests.order_waits import end_of, no_longer_fresh, reaches
from tests.waiting import until

ME = Caller(principal="t")
NO_BREAKER = BreakerLimits(doubts=1000, least_samples=1000)
PATIENT = replace(SHORT_SETTINGS, in_doubt_window_s=60.0, freshness_limit_s=30.0)


async def book_is_away(environment: OrderEnvironment) -> None:
    await environment.fault("status", method="GET", path="/orders", params={"code": 503}, times=-1)


async def doubts(environment: OrderEnvironment, count: int) -> list[Mapping[str, Any]]:
    """So many placements on instruments of their own whose answers are lost; the book may have found them since."""
    await environment.fault("drop_after_accept", times=count)
    symbols = ["INFY", "SBIN", "TCS", "RELIANCE"][:count]
    tasks = [
        await environment.place(wait_s=0.0, tradingsymbol=symbol, price=Decimal(100), quantity=1) for symbol in symbols
    ]
    return [await reaches(environment, task, TaskStatus.IN_DOUBT, TaskStatus.COMPLETED) for task in tasks]


async def one_more(environment: OrderEnvironment) -> Mapping[str, Any]:
    """An order of yet another instrument, not waited for."""
    return await environment.place(wait_s=0.0, tradingsymbol="HDFCBANK", price=Decimal(100), quantity=1)


async def test_three_doubts_halt_what_is_new_until_the_book_can_be_read(
    database_url: str, simulator: RunningSimulator
) -> None:
    """HALTED_NEW while the book is away; cancels pass; the first clean reads resolve all and let the order go."""
    settings = replace(PATIENT, breaker=NO_BREAKER)
    async with open_order_environment(database_url, simulator.url, settings=settings) as environment:
        await environment.set_price("NSE:INFY", 1500)
        resting = await environment.place()
        await book_is_away(environment)
        lost = await doubts(environment, 3)
        assert {one["status"] for one in lost} == {"in_doubt"}
        task = await reaches(environment, await one_more(environment), TaskStatus.HELD)
        assert (task["sent"], task["last_error"]["code"]) == ("no", "HALTED_NEW")
        answer = await environment.service.cancel(resting["order_id"], account_id=None, caller=ME, wait_s=20.0)
        assert answer.document["status"] == "completed"
        await environment.sim.delete("/_sim/faults")
        for one in (*lost, task):
            await reaches(environment, one, TaskStatus.COMPLETED)
        assert len(await environment.ledger()) == 5


async def test_an_open_breaker_holds_orders_and_lets_cancels_pass(
    database_url: str, simulator: RunningSimulator
) -> None:
    """BREAKER_OPEN, expired truthfully when it lasts; never probed with an order."""
    settings = replace(PATIENT, halt_doubts=1000, breaker=BreakerLimits(pause_s=120.0))
    async with open_order_environment(database_url, simulator.url, settings=settings) as environment:
        await environment.set_price("NSE:INFY", 1500)
        resting = await environment.place()
        await doubts(environment, 3)
        sent = len(await environment.ledger())
        task = await reaches(environment, await one_more(environment), TaskStatus.HELD)
        assert (task["sent"], task["last_error"]["code"]) == ("no", "BREAKER_OPEN")
        await no_longer_fresh(environment, task)
        task = await end_of(environment, task)
        assert (task["status"], task["sent"], task["last_error"]["code"]) == ("expired", "no", "BREAKER_OPEN")
        answer = await environment.service.cancel(resting["order_id"], account_id=None, caller=ME, wait_s=20.0)
        assert answer.document["status"] == "completed"
        assert len(await environment.ledger()) == sent


async def test_a_breaker_closes_when_the_order_book_can_be_read(database_url: str, simulator: RunningSimulator) -> None:
    """The probe is a read; what was held goes while it is fresh."""
    settings = replace(PATIENT, halt_doubts=1000, breaker=BreakerLimits(pause_s=1.0))
    async with open_order_environment(database_url, simulator.url, settings=settings) as environment:
        await doubts(environment, 3)
        assert (await end_of(environment, await one_more(environment)))["status"] == "completed"


async def test_refusals_never_open_a_breaker(environment: OrderEnvironment) -> None:
    """Ten orders without money for them, then one with: it goes."""
    for number in range(10):
        task = await environment.place(quantity=1_000_000 + number)
        assert task["status"] == "failed"
    assert (await environment.place())["status"] == "completed"


async def test_a_doubt_that_lasts_is_an_alarm_once(database_url: str, simulator: RunningSimulator) -> None:
    """After its time an alarm is raised, and not every second again."""
    async with open_order_environment(
        database_url, simulator.url, settings=replace(PATIENT, alarm_doubt_age_s=0.5)
    ) as environment:
        await book_is_away(environment)
        (task,) = await doubts(environment, 1)

        async def alarmed() -> bool:
            return bool(await environment.orders.operators.resolutions.alarms(limit=5))

        await until(alarmed)
        alarms = await environment.orders.operators.resolutions.alarms(limit=5)
        assert [(one.kind, one.account_id, one.subject) for one in alarms] == [
            ("doubt_unresolved", ACCOUNT, task["task_id"])
        ]
