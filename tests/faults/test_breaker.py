"""A broker that does not answer: what stops by itself, what still passes, and what a person hears of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any
from uuid import UUID

from app.orders.acceptance import Caller
from app.orders.breaker import BreakerLimits
from app.orders.model import Task, TaskStatus
from simulator.server import RunningSimulator
from tests.desk import ACCOUNT, SHORT_RULES, Desk, open_desk
from tests.integration.orders.operators import resolutions_of
from tests.waiting import until

ME = Caller(principal="t")
NO_BREAKER = BreakerLimits(doubts=1000, least_samples=1000)
PATIENT = replace(SHORT_RULES, in_doubt_window_s=60.0, freshness_limit_s=5.0)


async def now(desk: Desk, task: Mapping[str, Any]) -> Task:
    return await desk.service.queries.task(UUID(task["task_id"]))


async def book_is_away(desk: Desk) -> None:
    await desk.fault("status", method="GET", path="/orders", params={"code": 503}, times=-1)


async def doubts(desk: Desk, count: int) -> list[Mapping[str, Any]]:
    """So many placements on instruments of their own whose answers are lost."""
    await desk.fault("drop_after_accept", times=count)
    symbols = ["INFY", "SBIN", "TCS", "RELIANCE"][:count]
    return [await desk.place(wait_s=0.6, tradingsymbol=symbol, price=Decimal(100), quantity=1) for symbol in symbols]


async def test_three_doubts_halt_what_is_new_until_the_book_can_be_read(
    database_url: str, simulator: RunningSimulator
) -> None:
    """HALTED_NEW while the book is away; cancels pass; the first clean reads resolve all and let the order go."""
    rules = replace(PATIENT, breaker=NO_BREAKER, freshness_limit_s=15.0)
    async with open_desk(database_url, simulator.url, rules=rules) as desk:
        await desk.set_price("NSE:INFY", 1500)
        resting = await desk.place()
        await book_is_away(desk)
        lost = await doubts(desk, 3)
        assert {one["status"] for one in lost} == {"in_doubt"}
        task = await desk.place(wait_s=1.0, tradingsymbol="HDFCBANK", price=Decimal(100), quantity=1)
        assert (task["status"], task["sent"], task["last_error"]["code"]) == ("held", "no", "HALTED_NEW")
        answer = await desk.service.cancel(resting["order_id"], account_id=None, caller=ME, wait_s=5.0)
        assert answer.document["status"] == "completed"
        await desk.sim.delete("/_sim/faults")

        async def all_resolved() -> bool:
            ends = [await now(desk, one) for one in (*lost, task)]
            return all(one.status is TaskStatus.COMPLETED for one in ends)

        await until(all_resolved, within_s=10.0)
        assert len(await desk.ledger()) == 5


async def test_an_open_breaker_holds_orders_and_lets_cancels_pass(
    database_url: str, simulator: RunningSimulator
) -> None:
    """BREAKER_OPEN, expired truthfully when it lasts; never probed with an order."""
    rules = replace(PATIENT, halt_doubts=1000, breaker=BreakerLimits(first_pause_s=30.0), freshness_limit_s=2.0)
    async with open_desk(database_url, simulator.url, rules=rules) as desk:
        await desk.set_price("NSE:INFY", 1500)
        resting = await desk.place()
        await doubts(desk, 3)
        sent = len(await desk.ledger())
        task = await desk.place(wait_s=4.0, tradingsymbol="HDFCBANK", price=Decimal(100), quantity=1)
        assert (task["status"], task["sent"], task["last_error"]["code"]) == ("expired", "no", "BREAKER_OPEN")
        answer = await desk.service.cancel(resting["order_id"], account_id=None, caller=ME, wait_s=5.0)
        assert answer.document["status"] == "completed"
        assert len(await desk.ledger()) == sent


async def test_a_breaker_closes_when_the_order_book_can_be_read(database_url: str, simulator: RunningSimulator) -> None:
    """The probe is a read; what was held goes while it is fresh."""
    rules = replace(PATIENT, halt_doubts=1000, breaker=BreakerLimits(first_pause_s=1.0))
    async with open_desk(database_url, simulator.url, rules=rules) as desk:
        await doubts(desk, 3)
        task = await desk.place(wait_s=5.0, tradingsymbol="HDFCBANK", price=Decimal(100), quantity=1)
        assert task["status"] == "completed"


async def test_refusals_never_open_a_breaker(desk: Desk) -> None:
    """Ten orders without money for them, then one with: it goes."""
    for number in range(10):
        task = await desk.place(quantity=1_000_000 + number)
        assert task["status"] == "failed"
    assert (await desk.place())["status"] == "completed"


async def test_a_doubt_that_lasts_is_an_alarm_once(database_url: str, simulator: RunningSimulator) -> None:
    """After its time a person hears of it, and not every second again."""
    async with open_desk(database_url, simulator.url, rules=replace(PATIENT, alarm_doubt_age_s=0.5)) as desk:
        await book_is_away(desk)
        (task,) = await doubts(desk, 1)

        async def alarmed() -> bool:
            return bool(await resolutions_of(desk).alarms(limit=5))

        await until(alarmed)
        alarms = await resolutions_of(desk).alarms(limit=5)
        assert [(one.kind, one.account_id, one.subject) for one in alarms] == [
            ("doubt_unresolved", ACCOUNT, task["task_id"])
        ]
