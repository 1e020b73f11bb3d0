"""Fills against a broker whose trade book fails or stays behind its order book."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from app.orders.entry.acceptance import Caller
from simulator.server import RunningSimulator
from tests.faults.chaos_checks import checked_history
from tests.order_environment import ACCOUNT, SHORT_SETTINGS, OrderEnvironment, open_order_environment
from tests.order_waits import read_again, struck
from tests.waiting import until

TRADES: dict[str, Any] = {"method": "GET", "path": "/trades", "times": -1}
NETWORK_ERROR = {"error_type": "NetworkException", "message": "Request failed (kitetrade-oms)."}


async def trades(environment: OrderEnvironment) -> Sequence[Mapping[str, Any]]:
    return await environment.service.queries.trades(ACCOUNT)


async def shown(environment: OrderEnvironment, order_id: str, state: str) -> None:
    async def is_shown() -> bool:
        environment.orders.wakeups.on_order_hint(ACCOUNT)
        return bool((await environment.service.queries.order(order_id))["state"] == state)

    await until(is_shown)


async def filled(environment: OrderEnvironment, *quantities: int, **flags: bool) -> None:
    """Until the fills with these flags are of these quantities."""

    async def so_filled() -> bool:
        environment.orders.wakeups.on_order_hint(ACCOUNT)
        found = await trades(environment)
        return [trade["quantity"] for trade in found if flags.items() <= trade.items()] == list(quantities)

    await until(so_filled)


async def act(environment: OrderEnvironment, order_id: str, **action: Any) -> None:
    (await environment.sim.post(f"/_sim/orders/{order_id}", json=action)).raise_for_status()


async def partly_filled(environment: OrderEnvironment, quantity: int) -> str:
    """An order for ten INFY of which so much is filled and reported; its id."""
    await environment.fault("partial_fill", params={"quantity": quantity})
    task = await environment.place(price=Decimal(1510))
    await filled(environment, quantity, inferred=False)
    return str(task["order_id"])


async def alarms(environment: OrderEnvironment) -> list[tuple[str, str, Mapping[str, Any]]]:
    async with environment.database.connection() as connection:
        cursor = await connection.execute("SELECT kind, subject, data FROM order_alarm ORDER BY raised_at")
        return await cursor.fetchall()


async def stored(environment: OrderEnvironment) -> list[Any]:
    """The rows of fills, each with the transaction that last wrote it."""
    async with environment.database.connection() as connection:
        return await (await connection.execute("SELECT xmin::text, * FROM fill ORDER BY trade_id")).fetchall()


async def test_a_trade_book_that_cannot_be_read_proves_nothing(environment: OrderEnvironment) -> None:
    """Past the grace nothing is inferred; the first read that succeeds brings the real fills."""
    await environment.fault("status", **TRADES, params={"code": 502, **NETWORK_ERROR})
    task = await environment.place(price=Decimal(1510))
    await shown(environment, task["order_id"], "completed")
    await asyncio.sleep(environment.parts.settings.fill_grace_s)
    failed = environment.engine.read_counters()[ACCOUNT].failed_reads
    await struck(environment, "status", failed + 2)
    assert await trades(environment) == []
    await environment.sim.delete("/_sim/faults")
    await filled(environment, 10)
    assert [trade["inferred"] for trade in await trades(environment)] == [False]
    assert await alarms(environment) == []


async def test_fills_that_the_trade_book_lacks_are_inferred_until_they_come(
    database_url: str, simulator: RunningSimulator, environment: OrderEnvironment
) -> None:
    """Flagged, alarmed once, of the missing quantity at the price that makes the average; the real one replaces it."""
    order_id = await partly_filled(environment, 4)
    await environment.fault("shrink_trades", **TRADES)
    await environment.set_price("NSE:INFY", 1503)
    await act(environment, order_id, fill=6)
    await filled(environment, 6, inferred=True)
    order = await environment.service.queries.order(order_id)
    real, inferred = await trades(environment)
    assert (real["quantity"], real["inferred"]) == (4, False)
    assert set(inferred) == set(real)
    assert (inferred["order_id"], inferred["tradingsymbol"], inferred["fill_timestamp"]) == (order_id, "INFY", None)
    average = (4 * real["average_price"] + 6 * inferred["average_price"]) / 10
    assert average == pytest.approx(order["average_price"], abs=Decimal("0.0001"))
    [(kind, subject, data)] = await alarms(environment)
    assert (kind, subject) == ("inferred_fill", inferred["trade_id"])
    assert (data["order_id"], data["filled_quantity"], data["inferred_quantity"]) == (order_id, 10, 6)
    before = await stored(environment)
    await asked_again(environment, 2)
    assert await stored(environment) == before
    await environment.sim.delete("/_sim/faults")
    await filled(environment, 4, 6, inferred=False)
    assert sum(trade["quantity"] for trade in await trades(environment)) == 10
    assert len(await alarms(environment)) == 1
    await checked_history(database_url, simulator)


async def asked_again(environment: OrderEnvironment, times: int) -> None:
    """Until the trade book was asked for so many times more, and what it said was taken in."""
    faults = (await environment.sim.get("/_sim/faults")).json()
    before = sum(fault["struck"] for fault in faults if fault["kind"] == "shrink_trades")

    async def so_often() -> bool:
        environment.orders.wakeups.on_order_hint(ACCOUNT)
        faults = (await environment.sim.get("/_sim/faults")).json()
        return bool(sum(fault["struck"] for fault in faults if fault["kind"] == "shrink_trades") >= before + times)

    await until(so_often)
    await read_again(environment, 1)


async def test_an_inferred_fill_shrinks_by_what_comes(environment: OrderEnvironment) -> None:
    """A cancelled order of which five of eight are missing, then two: never more than eight altogether."""
    order_id = await partly_filled(environment, 3)
    for _ in range(2):
        await environment.fault("shrink_trades", **TRADES)
    await act(environment, order_id, fill=3)
    await act(environment, order_id, fill=2)
    cancelled = await environment.service.cancel(order_id, account_id=None, caller=Caller(principal="t"), wait_s=20.0)
    assert cancelled.document["status"] == "completed"
    await filled(environment, 5, inferred=True)
    newest = (await environment.sim.get("/_sim/faults")).json()[-1]
    await environment.sim.delete(f"/_sim/faults/{newest['fault_id']}")
    await filled(environment, 2, inferred=True)
    assert sorted(trade["quantity"] for trade in await trades(environment)) == [2, 3, 3]
    assert [kind for kind, _, _ in await alarms(environment)] == ["inferred_fill"]


async def test_a_trade_book_without_fills_that_it_reported_before_proves_nothing(environment: OrderEnvironment) -> None:
    """It is cut or emptied, and may lack anything else too; a whole one brings the fills."""
    order_id = await partly_filled(environment, 4)
    await environment.fault("shrink_trades", **TRADES, params={"drop": 2})
    await act(environment, order_id, fill=6)
    await shown(environment, order_id, "completed")
    await asyncio.sleep(environment.parts.settings.fill_grace_s)
    await asked_again(environment, 3)
    assert [trade["quantity"] for trade in await trades(environment)] == [4]
    await environment.sim.delete("/_sim/faults")
    await filled(environment, 4, 6, inferred=False)
    assert await alarms(environment) == []


async def test_no_fill_is_inferred_within_the_grace_or_before_the_end(
    database_url: str, simulator: RunningSimulator
) -> None:
    """The trade book is usually a moment behind; what an order may still fill is not missing."""
    async with open_order_environment(
        database_url, simulator.url, settings=replace(SHORT_SETTINGS, fill_grace_s=3600.0)
    ) as environment:
        await environment.set_price("NSE:INFY", 1500)
        await environment.fault("shrink_trades", **TRADES)
        task = await environment.place(price=Decimal(1510))
        await shown(environment, task["order_id"], "completed")
        await asked_again(environment, 3)
        assert await trades(environment) == []
    async with open_order_environment(
        database_url, simulator.url
    ) as environment:  # with the short grace, from the same tables
        await filled(environment, 10, inferred=True)
        await environment.fault("partial_fill", params={"quantity": 4})
        task = await environment.place(price=Decimal(1510))
        await shown(environment, task["order_id"], "partially_filled")
        await asyncio.sleep(environment.parts.settings.fill_grace_s)
        await asked_again(environment, 3)
        assert [(trade["quantity"], trade["inferred"]) for trade in await trades(environment)] == [(10, False)]
