"""What a chaos run does after its last fault."""

from __future__ import annotations

import asyncio
from decimal import Decimal

from app.broker.orders import OrderType
from chaos.run import fill_market_orders
from tests.order_environment import OrderEnvironment


async def test_partly_filled_market_orders_are_filled_and_limits_stay_open(environment: OrderEnvironment) -> None:
    """Two MARKET orders with three of ten filled are completed; a LIMIT order is not touched."""
    for _ in range(2):
        await environment.fault("partial_fill", params={"quantity": 3})
        await environment.place(order_type=OrderType.MARKET, price=None)
    await environment.place(price=Decimal(1400))
    assert await asyncio.to_thread(fill_market_orders, str(environment.sim.base_url)) == 2
    rows = [(row["state"], row["filled_quantity"], row["unfilled_quantity"]) for row in await environment.ledger()]
    assert rows == [("COMPLETE", 10, 0), ("COMPLETE", 10, 0), ("OPEN", 0, 10)]
    assert await asyncio.to_thread(fill_market_orders, str(environment.sim.base_url)) == 0
