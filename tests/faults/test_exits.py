"""Exits are finished: their prices follow the market until the position is closed, or the rest is reported."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from app.broker.orders import OrderType
from app.orders.entry.acceptance import Caller
from app.orders.entry.outcome_wait import Answer
from app.orders.risk.exits import PositionFilter
from simulator.server import RunningSimulator
from tests.order_environment import ACCOUNT, OPERATOR, SHORT_SETTINGS, OrderEnvironment, open_order_environment
from tests.order_requests import order
from tests.order_waits import after_the_lease, read_again
from tests.waiting import until

EXITING = replace(SHORT_SETTINGS, exit_s=24.0)
"""Long enough for a few moves on a slow machine."""
BRIEF = replace(SHORT_SETTINGS, exit_s=2.5)
UNAFFORDABLE = order(quantity=1_000_000)


@pytest.fixture
async def exiting(database_url: str, simulator: RunningSimulator) -> AsyncIterator[OrderEnvironment]:
    async with open_order_environment(database_url, simulator.url, settings=EXITING) as opened:
        await opened.set_price("NSE:INFY", 1500)
        yield opened


@pytest.fixture
async def brief(database_url: str, simulator: RunningSimulator) -> AsyncIterator[OrderEnvironment]:
    async with open_order_environment(database_url, simulator.url, settings=BRIEF) as opened:
        await opened.set_price("NSE:INFY", 1500)
        yield opened


async def bought(environment: OrderEnvironment, quantity: int = 10, **changes: Any) -> None:
    """A position, filled at the market."""
    placed = await environment.place(order_type=OrderType.MARKET, price=None, quantity=quantity, **changes)
    assert placed["status"] == "completed"
    await read_again(environment, 2)


async def close(environment: OrderEnvironment, *, key: str = "close-all-of-it-01", wait_s: float = 0.0) -> Answer:
    return await environment.orders.position_closes.close(
        PositionFilter(account_id=ACCOUNT), tag=None, caller=Caller(principal="t", idem_key=key), wait_s=wait_s
    )


async def batch_now(environment: OrderEnvironment, batch: Mapping[str, Any]) -> Mapping[str, Any]:
    return (await environment.service.queries.batch_now(UUID(batch["batch_id"])))[0]


async def batch_end(environment: OrderEnvironment, batch: Mapping[str, Any]) -> Mapping[str, Any]:
    async def ended() -> bool:
        return bool((await batch_now(environment, batch))["completed_at"])

    await until(ended)
    return await batch_now(environment, batch)


async def exits(environment: OrderEnvironment, *, side: str = "SELL") -> list[dict[str, Any]]:
    """The exits at the exchange, oldest first, as it has them now."""
    ids = [row["order_id"] for row in await environment.ledger() if row["request"]["transaction_type"] == side]
    return [(await environment.sim.get(f"/_sim/orders/{order_id}")).json() for order_id in ids]


async def rests(environment: OrderEnvironment, count: int = 1) -> None:
    """Until an exit is live, and the service knows it."""

    async def shown() -> bool:
        environment.orders.wakeups.on_order_hint(ACCOUNT)
        async with environment.database.connection() as connection:
            cursor = await connection.execute(
                """SELECT count(*) FROM broker_order b JOIN order_task t USING (task_id)
                   WHERE t.exit_by IS NOT NULL AND b.state = 'open'"""
            )
            row = await cursor.fetchone()
        return row is not None and row[0] >= count

    await until(shown)


async def resting_exit(environment: OrderEnvironment) -> Answer:
    """A position whose close rests, because the market has left its price."""
    await bought(environment)
    await market_leaves(environment)
    answer = await close(environment)
    await rests(environment)
    return answer


async def moves(environment: OrderEnvironment) -> list[tuple[str, str]]:
    """Status and price of each move, oldest first."""
    async with environment.database.connection() as connection:
        cursor = await connection.execute(
            """SELECT status, request -> 'changes' ->> 'price' FROM order_task WHERE purpose = 'exit_move'
               ORDER BY created_at, task_id"""
        )
        return [(row[0], row[1]) for row in await cursor.fetchall()]


async def moved(environment: OrderEnvironment, *statuses: str, times: int = 1) -> None:
    async def so_often() -> bool:
        return sum(status in statuses for status, _ in await moves(environment)) >= times

    await until(so_often)


async def alarms(environment: OrderEnvironment) -> list[tuple[str, Mapping[str, Any]]]:
    async with environment.database.connection() as connection:
        cursor = await connection.execute("SELECT kind, data FROM order_alarm ORDER BY raised_at")
        return [(row[0], row[1]) for row in await cursor.fetchall()]


async def market_leaves(environment: OrderEnvironment, price: float = 1500) -> None:
    """Nobody buys any more, so that an exit rests."""
    await environment.set_price("NSE:INFY", price, liquidity=0)


async def test_a_resting_exit_follows_the_market_and_fills(exiting: OrderEnvironment) -> None:
    """Accepted is not closed: the batch runs until the position is flat, and says completed only then."""
    answer = await resting_exit(exiting)
    assert (await batch_now(exiting, answer.document))["status"] == "running"
    await exiting.set_price("NSE:INFY", 1480, liquidity=0)
    await moved(exiting, "completed")
    await exiting.set_price("NSE:INFY", 1480, liquidity=100)
    end = await batch_end(exiting, answer.document)
    assert (end["status"], end["success"], end["residual"]) == ("completed", True, [])
    (only,) = await exits(exiting)
    assert (only["status"], only["filled_quantity"]) == ("COMPLETE", 10)
    assert {price for _, price in await moves(exiting)} == {"1472.60"}  # half a percent below 1480


async def test_a_square_off_that_rests_is_finished_before_the_batch_is(exiting: OrderEnvironment) -> None:
    """The rollback is not called over while what filled is still held."""
    batch = await exiting.batch([order(price=Decimal(1510))], wait_s=20.0)
    assert batch["status"] == "completed"
    await exiting.fault("delay", times=1, params={"ms": 600}, after=1)
    started = asyncio.create_task(
        exiting.batch([order(price=Decimal(1510)), UNAFFORDABLE], on_filled="square_off", wait_s=0.0)
    )
    rolled_back = await started
    await until(lambda: sells_next(exiting))
    await market_leaves(exiting)
    await rests(exiting)
    assert (await batch_now(exiting, rolled_back))["status"] == "compensating"
    await exiting.set_price("NSE:INFY", 1470, liquidity=0)
    await moved(exiting, "completed")
    await exiting.set_price("NSE:INFY", 1470, liquidity=100)
    end = await batch_end(exiting, rolled_back)
    assert (end["status"], end["residual"]) == ("rolled_back_with_fills", [])


async def sells_next(environment: OrderEnvironment) -> bool:
    """Both purchases have filled."""
    return bool(sum(row["filled_quantity"] for row in await environment.ledger()) >= 20)


async def test_no_price_leaves_the_circuit(exiting: OrderEnvironment) -> None:
    """At the lower circuit the exit rests there, and no further modification is spent on it."""
    await resting_exit(exiting)
    await exiting.set_price("NSE:INFY", 1476, liquidity=0, lower_circuit=1475)
    await moved(exiting, "completed")
    await exiting.set_price("NSE:INFY", 1475, liquidity=0, lower_circuit=1475)
    await asyncio.sleep(2.5)
    assert [Decimal(price) for _, price in await moves(exiting)] == [Decimal(1475)]


async def test_a_move_in_doubt_stops_further_moves(exiting: OrderEnvironment) -> None:
    """Until the book has answered; the market has gone on meanwhile."""
    answer = await resting_exit(exiting)
    await exiting.fault("drop_before_read", method="PUT", path="/orders/regular/*", times=1)
    await exiting.set_price("NSE:INFY", 1480, liquidity=0)
    await moved(exiting, "in_doubt")
    await exiting.set_price("NSE:INFY", 1460, liquidity=0)
    await asyncio.sleep(1.5)
    assert [status for status, _ in await moves(exiting)] == ["in_doubt"]
    await moved(exiting, "failed")
    await moved(exiting, "completed")
    assert len(await exits(exiting)) == 1
    await exiting.set_price("NSE:INFY", 1460, liquidity=100)
    assert (await batch_end(exiting, answer.document))["status"] == "completed"


async def test_the_next_owner_goes_on_with_the_same_exit(database_url: str, simulator: RunningSimulator) -> None:
    """Deadline, moves and fills are rows: nothing is placed anew, and the budget is that of both owners together."""
    async with open_order_environment(database_url, simulator.url, settings=EXITING) as environment:
        await environment.set_price("NSE:INFY", 1500)
        answer = await resting_exit(environment)
        await environment.set_price("NSE:INFY", 1485, liquidity=0)
        await moved(environment, "completed")
        await environment.crash()
        environment.supervisor.failures.clear()
    await after_the_lease(database_url)
    async with open_order_environment(database_url, simulator.url, settings=EXITING) as environment:
        await environment.set_price("NSE:INFY", 1470, liquidity=0)
        await moved(environment, "completed", times=2)
        await environment.set_price("NSE:INFY", 1470, liquidity=100)
        assert (await batch_end(environment, answer.document))["status"] == "completed"
        assert [row["filled_quantity"] for row in await exits(environment)] == [10]


async def test_a_halt_stops_the_finisher_too(exiting: OrderEnvironment) -> None:
    """Neither a move nor another exit is sent under it; after it the exit goes on until its deadline."""
    answer = await resting_exit(exiting)
    halts = exiting.orders.operators.halts
    await halts.halt(ACCOUNT, mode="halt", open_orders="cancel", reason="test", by=OPERATOR)
    await exiting.set_price("NSE:INFY", 1480, liquidity=0)
    await until(lambda: all_ended(exiting))
    await asyncio.sleep(2.5)
    assert (await moves(exiting), len(await exits(exiting))) == ([], 1)
    assert (await batch_now(exiting, answer.document))["status"] == "running"
    await halts.resume(ACCOUNT, reason="test", by=OPERATOR)
    await exiting.set_price("NSE:INFY", 1480, liquidity=100)
    assert (await batch_end(exiting, answer.document))["status"] == "completed"
    assert [row["filled_quantity"] for row in await exits(exiting)] == [0, 10]


async def all_ended(environment: OrderEnvironment) -> bool:
    return all(row["status"] in {"CANCELLED", "COMPLETE", "REJECTED"} for row in await exits(environment))


async def test_reduce_only_lets_exits_move(exiting: OrderEnvironment) -> None:
    """They are proven to reduce, and a move changes their price alone."""
    answer = await resting_exit(exiting)
    halts = exiting.orders.operators.halts
    await halts.halt(ACCOUNT, mode="reduce_only", open_orders="leave", reason="test", by=OPERATOR)
    await exiting.set_price("NSE:INFY", 1480, liquidity=0)
    await moved(exiting, "completed")
    await exiting.set_price("NSE:INFY", 1480, liquidity=100)
    assert (await batch_end(exiting, answer.document))["status"] == "completed"


async def test_a_position_has_one_live_exit(exiting: OrderEnvironment) -> None:
    """Two requests close one position, of which more was bought between them: the second exit waits for the first."""
    first = await resting_exit(exiting)
    await exiting.set_price("NSE:INFY", 1500, liquidity=5)
    await until(lambda: sold(exiting, 5))
    await exiting.set_price("NSE:INFY", 1500, liquidity=0)
    await exiting.place(quantity=7, price=Decimal(1450), wait_s=5.0)  # below the exit: they must not meet
    await exiting.sim.post(f"/_sim/orders/{(await exits(exiting, side='BUY'))[-1]['order_id']}", json={"fill": 7})
    await read_again(exiting, 2)
    second = await close(exiting, key="close-all-of-it-02")
    await asyncio.sleep(2.0)
    assert [row["status"] for row in await exits(exiting)] == ["OPEN"]
    await exiting.set_price("NSE:INFY", 1490, liquidity=100)
    assert (await batch_end(exiting, first.document))["status"] == "completed"
    assert (await batch_end(exiting, second.document))["status"] == "completed"
    assert [row["filled_quantity"] for row in await exits(exiting)] == [10, 7]


async def sold(environment: OrderEnvironment, quantity: int) -> bool:
    return bool(sum(row["filled_quantity"] for row in await exits(environment)) >= quantity)


async def test_a_new_exit_follows_one_that_the_exchange_has_ended(exiting: OrderEnvironment) -> None:
    """Only when the old one is gone, and only for what it has not filled: a limit inside the price protection."""
    answer = await resting_exit(exiting)
    (first,) = await exits(exiting)
    await exiting.sim.post(f"/_sim/orders/{first['order_id']}", json={"fill": 4})
    await exiting.sim.post(f"/_sim/orders/{first['order_id']}", json={"cancel": True})
    await exiting.set_price("NSE:INFY", 1500, liquidity=100)
    end = await batch_end(exiting, answer.document)
    assert (end["status"], end["orders"][0]["filled_quantity"]) == ("completed", 10)
    assert [row["filled_quantity"] for row in await exits(exiting)] == [4, 6]
    assert (await exiting.ledger())[-1]["request"]["order_type"] == "LIMIT"


async def test_an_exit_that_a_client_has_cancelled_is_not_placed_again(exiting: OrderEnvironment) -> None:
    """A person has decided: the batch ends with what is open."""
    answer = await resting_exit(exiting)
    (first,) = await exits(exiting)
    await exiting.service.cancel(
        first["order_id"], account_id=ACCOUNT, caller=Caller(principal="t", idem_key=None), wait_s=5.0
    )
    end = await batch_end(exiting, answer.document)
    assert (end["status"], [row["quantity"] for row in end["residual"]]) == ("partially_completed", [10])
    assert len(await exits(exiting)) == 1
    assert await alarms(exiting) == []


async def test_at_the_deadline_the_rest_is_cancelled_and_reported(brief: OrderEnvironment) -> None:
    """Four of ten are closed: six are the exposure, in the document, its event and an alarm; nothing lives on."""
    answer = await resting_exit(brief)
    (first,) = await exits(brief)
    await brief.sim.post(f"/_sim/orders/{first['order_id']}", json={"fill": 4})
    end = await batch_end(brief, answer.document)
    (left,) = end["residual"]
    assert (end["status"], end["failed"]) == ("partially_completed", 1)
    assert (left["tradingsymbol"], left["quantity"], left["average_price"]) == ("INFY", 6, None)
    assert "the deadline is over" in end["error"]["message"]
    assert [row["status"] for row in await exits(brief)] == ["CANCELLED"]
    ((kind, data),) = await alarms(brief)
    assert (kind, data["instrument"], data["quantity"]) == ("exit_unfinished", "NSE:INFY", 6)
    announced = [data for _, kind, data in await brief.events() if kind == "batch_completed"]
    assert [one["residual"] for one in announced] == [end["residual"]]


@pytest.fixture
async def frugal(database_url: str, simulator: RunningSimulator) -> AsyncIterator[OrderEnvironment]:
    settings = replace(EXITING, exit_s=6.0, exit_moves_per_minute=2)
    async with open_order_environment(database_url, simulator.url, settings=settings) as opened:
        await opened.set_price("NSE:INFY", 1500)
        yield opened


async def test_the_moves_of_an_account_share_one_budget(frugal: OrderEnvironment) -> None:
    """Two exits, two moves a minute: each has one, and cancels go all the same."""
    exiting = frugal
    await exiting.set_price("NSE:SBIN", 500)
    await bought(exiting)
    await bought(exiting, tradingsymbol="SBIN")
    await market_leaves(exiting)
    await exiting.set_price("NSE:SBIN", 500, liquidity=0)
    answer = await close(exiting)
    await rests(exiting, 2)
    for step in range(1, 4):
        await exiting.set_price("NSE:INFY", 1500 - 10 * step, liquidity=0)
        await exiting.set_price("NSE:SBIN", 500 - 4 * step, liquidity=0)
        await asyncio.sleep(1.2)
    assert len(await moves(exiting)) == 2
    async with exiting.database.connection() as connection:
        cursor = await connection.execute(
            "SELECT count(DISTINCT target_order_id) FROM order_task WHERE purpose = 'exit_move'"
        )
        assert await cursor.fetchone() == (2,)
    end = await batch_end(exiting, answer.document)
    assert (end["status"], end["failed"]) == ("partially_completed", 2)
    assert {row["status"] for row in await exits(exiting)} == {"CANCELLED"}
