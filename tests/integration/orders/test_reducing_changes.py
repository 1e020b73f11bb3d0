"""Reduce-only mode lets pass what makes a proven reduction smaller, or its stop tighter, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

from app.broker.orders import OrderChanges, OrderType, TransactionType
from app.orders.entry.acceptance import Caller
from tests.order_environment import ACCOUNT, OPERATOR, OrderEnvironment
from tests.order_requests import order
from tests.order_waits import read_again


async def a_stop_under_reduce_only(environment: OrderEnvironment) -> str:
    """Ten are held, and a stop that was proven to reduce them rests."""
    await environment.place(order_type=OrderType.MARKET, price=None)
    await read_again(environment, 2)
    halts = environment.orders.operators.halts
    await halts.halt(ACCOUNT, mode="reduce_only", open_orders="leave", reason="test", by=OPERATOR)
    stop = await environment.place(
        transaction_type=TransactionType.SELL,
        order_type=OrderType.SL,
        trigger_price=Decimal(1470),
        price=Decimal(1465),
    )
    assert stop["status"] == "completed"
    await read_again(environment, 2)
    return str(stop["order_id"])


async def modified(environment: OrderEnvironment, order_id: str, **changes: Any) -> str:
    answer = await environment.service.modify(
        order_id,
        OrderChanges(**changes),
        account_id=ACCOUNT,
        caller=Caller(principal="t", idem_key=None),
        wait_s=1.5,
    )
    await read_again(environment, 2)
    return str(answer.document["status"])


async def test_a_tighter_stop_and_a_lower_quantity_pass(environment: OrderEnvironment) -> None:
    """Up with the trigger of a sale, down with its quantity; a looser one waits, as a new price does."""
    order_id = await a_stop_under_reduce_only(environment)
    assert await modified(environment, order_id, trigger_price=Decimal(1480), price=Decimal(1475)) == "completed"
    assert await modified(environment, order_id, quantity=8) == "completed"
    assert await modified(environment, order_id, trigger_price=Decimal(1460)) == "held"


async def test_an_order_that_is_not_proven_to_reduce_waits(environment: OrderEnvironment) -> None:
    """It was placed while everything passed: nothing says what it reduces."""
    placed = await environment.place()
    await read_again(environment, 2)
    halts = environment.orders.operators.halts
    await halts.halt(ACCOUNT, mode="reduce_only", open_orders="leave", reason="test", by=OPERATOR)
    assert await modified(environment, str(placed["order_id"]), quantity=5) == "held"


async def test_a_halt_stops_these_too(environment: OrderEnvironment) -> None:
    """Only cancels pass it."""
    order_id = await a_stop_under_reduce_only(environment)
    halts = environment.orders.operators.halts
    await halts.halt(ACCOUNT, mode="halt", open_orders="leave", reason="test", by=OPERATOR)
    assert await modified(environment, order_id, quantity=5) == "held"


async def test_positions_that_no_longer_prove_it_let_nothing_pass(environment: OrderEnvironment) -> None:
    """The position is closed meanwhile, past this service: even a smaller order would open the opposite one."""
    order_id = await a_stop_under_reduce_only(environment)
    sale = order(transaction_type=TransactionType.SELL, order_type=OrderType.MARKET, price=None)
    await environment.account.broker.orders.place(replace(sale, market_protection=Decimal(-1)), tag="elsewhere1")
    await read_again(environment, 2)
    assert await modified(environment, order_id, quantity=5) == "held"
