"""Exits beside other exits of their position, and under a halt."""

from __future__ import annotations

import asyncio

from app.broker.orders import OrderType
from tests.faults.test_exits import (  # noqa: F401 - fixtures
    UNAFFORDABLE,
    alarms,
    batch_end,
    brief,
    exiting,
    exits,
    moves,
    resting_exit,
)
from tests.faults.test_position_close import net
from tests.order_environment import ACCOUNT, OPERATOR, OrderEnvironment
from tests.order_requests import order


async def test_two_rollbacks_at_once_sell_what_each_has_bought(exiting: OrderEnvironment) -> None:  # noqa: F811
    """Both have filled in one position. One exit of it is live at a time, and together they sell what both bought."""
    at_market = {"order_type": OrderType.MARKET, "price": None}
    batches = await asyncio.gather(
        *(
            exiting.batch([order(quantity=quantity, **at_market), UNAFFORDABLE], on_filled="square_off", wait_s=30.0)
            for quantity in (10, 7)
        )
    )
    assert [(batch["status"], batch["residual"]) for batch in batches] == [("rolled_back_with_fills", [])] * 2
    assert sorted(row["filled_quantity"] for row in await exits(exiting)) == [7, 10]
    assert await net(exiting) == {}


async def test_a_resting_exit_is_cancelled_at_its_deadline_under_a_halt(brief: OrderEnvironment) -> None:  # noqa: F811
    """A halt that leaves orders leaves the exit too, and it does not move; it is cancelled at the deadline,
    because a cancel is no order, and what is open is reported."""
    answer = await resting_exit(brief)
    await brief.orders.operators.halts.halt(ACCOUNT, mode="halt", open_orders="leave", reason="test", by=OPERATOR)
    moved_before = len(await moves(brief))
    await brief.set_price("NSE:INFY", 1480, liquidity=0)
    end = await batch_end(brief, answer.document)
    assert (end["status"], [row["quantity"] for row in end["residual"]]) == ("partially_completed", [10])
    assert [row["status"] for row in await exits(brief)] == ["CANCELLED"]
    assert [kind for kind, _ in await alarms(brief)] == ["exit_unfinished"]
    assert len(await moves(brief)) == moved_before
