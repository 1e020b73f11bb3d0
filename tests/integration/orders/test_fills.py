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
from tests.desk import ACCOUNT, SHORT_RULES, Desk, open_desk
from tests.desk_waits import read_again, struck
from tests.faults.judge import judged
from tests.waiting import until

TRADES: dict[str, Any] = {"method": "GET", "path": "/trades", "times": -1}
NETWORK_ERROR = {"error_type": "NetworkException", "message": "Request failed (kitetrade-oms)."}


async def trades(desk: Desk) -> Sequence[Mapping[str, Any]]:
    return await desk.service.queries.trades(ACCOUNT)


async def shown(desk: Desk, order_id: str, state: str) -> None:
    async def is_shown() -> bool:
        desk.orders.wakeups.on_order_hint(ACCOUNT)
        return bool((await desk.service.queries.order(order_id))["state"] == state)

    await until(is_shown)


async def filled(desk: Desk, *quantities: int, **flags: bool) -> None:
    """Until the fills with these flags are of these quantities."""

    async def so_filled() -> bool:
        desk.orders.wakeups.on_order_hint(ACCOUNT)
        found = await trades(desk)
        return [trade["quantity"] for trade in found if flags.items() <= trade.items()] == list(quantities)

    await until(so_filled)


async def act(desk: Desk, order_id: str, **action: Any) -> None:
    (await desk.sim.post(f"/_sim/orders/{order_id}", json=action)).raise_for_status()


async def partly_filled(desk: Desk, quantity: int) -> str:
    """An order for ten INFY of which so much is filled and told; its id."""
    await desk.fault("partial_fill", params={"quantity": quantity})
    task = await desk.place(price=Decimal(1510))
    await filled(desk, quantity, inferred=False)
    return str(task["order_id"])


async def alarms(desk: Desk) -> list[tuple[str, str, Mapping[str, Any]]]:
    async with desk.database.connection() as connection:
        cursor = await connection.execute("SELECT kind, subject, data FROM order_alarm ORDER BY raised_at")
        return await cursor.fetchall()


async def stored(desk: Desk) -> list[Any]:
    """The rows of fills, each with the transaction that last wrote it."""
    async with desk.database.connection() as connection:
        return await (await connection.execute("SELECT xmin::text, * FROM fill ORDER BY trade_id")).fetchall()


async def test_a_trade_book_that_cannot_be_read_proves_nothing(desk: Desk) -> None:
    """Past the grace nothing is inferred; the first read that succeeds brings the real fills."""
    await desk.fault("status", **TRADES, params={"code": 502, **NETWORK_ERROR})
    task = await desk.place(price=Decimal(1510))
    await shown(desk, task["order_id"], "completed")
    await asyncio.sleep(desk.parts.settings.fill_grace_s)
    failed = desk.engine.read_counters()[ACCOUNT].failed_reads
    await struck(desk, "status", failed + 2)
    assert await trades(desk) == []
    await desk.sim.delete("/_sim/faults")
    await filled(desk, 10)
    assert [trade["inferred"] for trade in await trades(desk)] == [False]
    assert await alarms(desk) == []


async def test_fills_that_the_trade_book_does_not_tell_are_inferred_until_they_come(
    database_url: str, simulator: RunningSimulator, desk: Desk
) -> None:
    """Flagged, alarmed once, of the missing quantity at the price that makes the average; the real one replaces it."""
    order_id = await partly_filled(desk, 4)
    await desk.fault("shrink_trades", **TRADES)
    await desk.set_price("NSE:INFY", 1503)
    await act(desk, order_id, fill=6)
    await filled(desk, 6, inferred=True)
    order = await desk.service.queries.order(order_id)
    real, inferred = await trades(desk)
    assert (real["quantity"], real["inferred"]) == (4, False)
    assert set(inferred) == set(real)
    assert (inferred["order_id"], inferred["tradingsymbol"], inferred["fill_timestamp"]) == (order_id, "INFY", None)
    average = (4 * real["average_price"] + 6 * inferred["average_price"]) / 10
    assert average == pytest.approx(order["average_price"], abs=Decimal("0.0001"))
    [(kind, subject, data)] = await alarms(desk)
    assert (kind, subject) == ("inferred_fill", inferred["trade_id"])
    assert (data["order_id"], data["filled_quantity"], data["inferred_quantity"]) == (order_id, 10, 6)
    before = await stored(desk)
    await asked_again(desk, 2)
    assert await stored(desk) == before
    await desk.sim.delete("/_sim/faults")
    await filled(desk, 4, 6, inferred=False)
    assert sum(trade["quantity"] for trade in await trades(desk)) == 10
    assert len(await alarms(desk)) == 1
    await judged(database_url, simulator)


async def asked_again(desk: Desk, times: int) -> None:
    """Until the trade book was asked for so many times more, and what it said was taken in."""
    faults = (await desk.sim.get("/_sim/faults")).json()
    before = sum(fault["struck"] for fault in faults if fault["kind"] == "shrink_trades")

    async def so_often() -> bool:
        desk.orders.wakeups.on_order_hint(ACCOUNT)
        faults = (await desk.sim.get("/_sim/faults")).json()
        return bool(sum(fault["struck"] for fault in faults if fault["kind"] == "shrink_trades") >= before + times)

    await until(so_often)
    await read_again(desk, 1)


async def test_an_inferred_fill_shrinks_by_what_comes(desk: Desk) -> None:
    """A cancelled order of which five of eight are untold, then two: never more than eight altogether."""
    order_id = await partly_filled(desk, 3)
    for _ in range(2):
        await desk.fault("shrink_trades", **TRADES)
    await act(desk, order_id, fill=3)
    await act(desk, order_id, fill=2)
    cancelled = await desk.service.cancel(order_id, account_id=None, caller=Caller(principal="t"), wait_s=20.0)
    assert cancelled.document["status"] == "completed"
    await filled(desk, 5, inferred=True)
    newest = (await desk.sim.get("/_sim/faults")).json()[-1]
    await desk.sim.delete(f"/_sim/faults/{newest['fault_id']}")
    await filled(desk, 2, inferred=True)
    assert sorted(trade["quantity"] for trade in await trades(desk)) == [2, 3, 3]
    assert [kind for kind, _, _ in await alarms(desk)] == ["inferred_fill"]


async def test_a_trade_book_without_what_it_told_before_proves_nothing(desk: Desk) -> None:
    """It is cut or emptied, and may lack anything else too; a whole one brings the fills."""
    order_id = await partly_filled(desk, 4)
    await desk.fault("shrink_trades", **TRADES, params={"drop": 2})
    await act(desk, order_id, fill=6)
    await shown(desk, order_id, "completed")
    await asyncio.sleep(desk.parts.settings.fill_grace_s)
    await asked_again(desk, 3)
    assert [trade["quantity"] for trade in await trades(desk)] == [4]
    await desk.sim.delete("/_sim/faults")
    await filled(desk, 4, 6, inferred=False)
    assert await alarms(desk) == []


async def test_nothing_is_inferred_within_the_grace_or_before_the_end(
    database_url: str, simulator: RunningSimulator
) -> None:
    """The trade book is usually a moment behind; what an order may still fill is nobody's loss."""
    async with open_desk(database_url, simulator.url, settings=replace(SHORT_RULES, fill_grace_s=3600.0)) as desk:
        await desk.set_price("NSE:INFY", 1500)
        await desk.fault("shrink_trades", **TRADES)
        task = await desk.place(price=Decimal(1510))
        await shown(desk, task["order_id"], "completed")
        await asked_again(desk, 3)
        assert await trades(desk) == []
    async with open_desk(database_url, simulator.url) as desk:  # with the short grace, from the same tables
        await filled(desk, 10, inferred=True)
        await desk.fault("partial_fill", params={"quantity": 4})
        task = await desk.place(price=Decimal(1510))
        await shown(desk, task["order_id"], "partially_filled")
        await asyncio.sleep(desk.parts.settings.fill_grace_s)
        await asked_again(desk, 3)
        assert [(trade["quantity"], trade["inferred"]) for trade in await trades(desk)] == [(10, False)]
