"""Closing positions: never more than is held, never twice under one key, whatever else is on its way."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

import pytest

from app.broker.orders import OrderChanges, OrderType, Product, TransactionType, Variety
from app.broker.port import Broker, PortfolioGateway
from app.composition.orders import build_acceptance
from app.errors import BadInput
from app.orders.entry.acceptance import Caller
from app.orders.entry.keyed_commands import KeyedCommands
from app.orders.entry.outcome_wait import Answer
from app.orders.entry.position_close import NotClosable, PositionCloses, PositionsUnreadable
from app.orders.entry.risk_check import RiskCheck
from app.orders.risk.exits import PositionFilter
from tests.order_environment import ACCOUNT, OPERATOR, OrderEnvironment
from tests.order_waits import read_again
from tests.waiting import until

KEY = "close-everything-01"


async def close(
    environment: OrderEnvironment, *, key: str | None = KEY, tag: str | None = None, **which: Any
) -> Answer:
    return await environment.orders.position_closes.close(
        PositionFilter(account_id=ACCOUNT, **which), tag=tag, caller=Caller(principal="t", idem_key=key), wait_s=20.0
    )


class Positions:
    """A portfolio with these positions; nothing else is read of it."""

    def __init__(self, real: PortfolioGateway, positions: Mapping[str, Any]) -> None:
        self.profile, self.holdings, self.margins = real.profile, real.holdings, real.margins
        self._positions = positions

    async def positions(self) -> Mapping[str, Any]:
        """What the test has given."""
        return self._positions


@dataclass(frozen=True, slots=True)
class OneBroker:
    """Every account is at this broker."""

    only: Broker

    def broker(self, account_id: str) -> Broker:
        return self.only


def reading(environment: OrderEnvironment, positions: Mapping[str, Any]) -> PositionCloses:
    """Position closes that read these positions, on the environment's own engine and database."""
    broker = environment.account.broker
    inputs = environment.inputs
    risk_check = RiskCheck(
        environment.parts,
        limits=inputs.limits,
        prices=inputs.prices,
        instruments=inputs.instruments,
        brokers=OneBroker(replace(broker, portfolio=Positions(broker.portfolio, positions))),
    )
    acceptance = build_acceptance(environment.parts, inputs, engine=environment.engine)
    commands = KeyedCommands(environment.database, acceptance=acceptance)
    return PositionCloses(environment.parts, commands=commands, risk_check=risk_check, engine=environment.engine)


async def bought(environment: OrderEnvironment, quantity: int, **changes: Any) -> None:
    """A position, filled at the market."""
    placed = await environment.place(order_type=OrderType.MARKET, price=None, quantity=quantity, **changes)
    assert placed["status"] == "completed"
    await read_again(environment, 2)


async def net(environment: OrderEnvironment) -> dict[tuple[str, str], int]:
    """The open positions at the broker, by symbol and product."""
    positions = await environment.account.broker.portfolio.positions()
    rows = {(row["tradingsymbol"], row["product"]): int(row["quantity"]) for row in positions["net"]}
    return {key: quantity for key, quantity in rows.items() if quantity}


async def until_flat(environment: OrderEnvironment) -> None:
    async def flat() -> bool:
        return not await net(environment)

    await until(flat)


async def test_every_position_is_closed(environment: OrderEnvironment) -> None:
    """Long and short ones, each by its own order."""
    await environment.set_price("NSE:SBIN", 510)
    await bought(environment, 10)
    await bought(environment, 4, tradingsymbol="SBIN", transaction_type=TransactionType.SELL)
    answer = await close(environment, tag="out1")
    assert (answer.kind, answer.document["status"], answer.document["total_orders"]) == ("batch", "completed", 2)
    await until_flat(environment)
    exits = [row["request"] for row in await environment.ledger()][2:]
    assert {(one["tradingsymbol"], one["transaction_type"], one["quantity"]) for one in exits} == {
        ("INFY", "SELL", "10"),
        ("SBIN", "BUY", "4"),
    }


async def test_only_what_matches_is_closed(environment: OrderEnvironment) -> None:
    """The other position stays."""
    await environment.set_price("NSE:SBIN", 510)
    await bought(environment, 10)
    await bought(environment, 4, tradingsymbol="SBIN")
    await close(environment, exchange="NSE", tradingsymbol="SBIN", product="MIS")

    async def one_left() -> bool:
        return await net(environment) == {("INFY", "MIS"): 10}

    await until(one_left)


async def test_what_live_exits_close_already_is_not_sold_twice(environment: OrderEnvironment) -> None:
    """A resting exit for six of ten: four are closed now. One for all of it: nothing is sent."""
    await bought(environment, 10)
    await environment.place(quantity=6, transaction_type=TransactionType.SELL, price=Decimal(1590))
    await read_again(environment, 2)
    first = await close(environment)
    assert first.document["orders"][0]["status"] == "completed"
    assert [row["request"]["quantity"] for row in await environment.ledger()][-1] == "4"
    await read_again(environment, 2)
    second = await close(environment, key="close-everything-02")
    assert second.document["status"] == "partially_completed"
    assert second.document["orders"][0]["error"]["code"] == "NOTHING_TO_REDUCE"
    assert len(await environment.ledger()) == 3


async def test_requests_under_many_keys_at_once_close_a_position_once(environment: OrderEnvironment) -> None:
    """Each fixes its quantity under the risk lock."""
    await bought(environment, 10)
    await asyncio.gather(*(close(environment, key=f"close-everything-{number:02}") for number in range(5)))
    sold = [int(row["request"]["quantity"]) for row in await environment.ledger()][1:]
    assert sold == [10]
    await until_flat(environment)


async def test_a_repeated_key_closes_nothing_that_came_later(environment: OrderEnvironment) -> None:
    """Also when nothing was open at first: the key stands for that."""
    nothing = await close(environment)
    assert (nothing.document["status"], nothing.document["total_orders"]) == ("completed", 0)
    await bought(environment, 10)
    again = await close(environment)
    assert again.replayed
    assert again.resource_id == nothing.resource_id
    assert await net(environment) == {("INFY", "MIS"): 10}


async def test_exits_pass_while_only_reductions_pass(environment: OrderEnvironment) -> None:
    """They are proven to be reductions."""
    await bought(environment, 10)
    halts = environment.orders.operators.halts
    await halts.halt(ACCOUNT, mode="reduce_only", open_orders="leave", reason="test", by=OPERATOR)
    assert (await close(environment)).document["status"] == "completed"
    await until_flat(environment)


async def test_unreadable_positions_close_nothing(environment: OrderEnvironment) -> None:
    """The error says so, and the key is still free."""
    await bought(environment, 10)
    await environment.fault("status", method="GET", path="/portfolio/positions", times=1, params={"code": 502})
    with pytest.raises(PositionsUnreadable) as caught:
        await close(environment)
    assert (caught.value.code, caught.value.sent, caught.value.retryable) == ("POSITIONS_UNREADABLE", "no", "yes")
    assert (await close(environment)).document["status"] == "completed"


async def test_a_key_is_required(environment: OrderEnvironment) -> None:
    """Two closings of one position would be two orders."""
    with pytest.raises(BadInput):
        await close(environment, key=None)


async def test_holdings_of_another_product_stay(environment: OrderEnvironment) -> None:
    """An exit is for the position's own product."""
    await bought(environment, 3, product=Product.CNC)
    await bought(environment, 5)
    await close(environment, product="MIS")

    async def one_left() -> bool:
        return await net(environment) == {("INFY", "CNC"): 3}

    await until(one_left)


async def test_a_position_that_no_order_can_close_is_named(environment: OrderEnvironment) -> None:
    """Nothing is closed until the filter leaves it out."""
    odd = {"exchange": "NCDEX", "tradingsymbol": "GUAR", "product": "NRML", "quantity": 5}
    await bought(environment, 10)
    positions = {**await environment.account.broker.portfolio.positions()}
    closes = reading(environment, {**positions, "net": [*positions["net"], odd]})
    wanted = PositionFilter(account_id=ACCOUNT)
    with pytest.raises(NotClosable) as caught:
        await closes.close(wanted, tag=None, caller=Caller(principal="t", idem_key=KEY), wait_s=20.0)
    assert caught.value.code == "NOT_CLOSABLE"
    assert "NCDEX:GUAR (NRML)" in caught.value.message
    assert await net(environment) == {("INFY", "MIS"): 10}


async def test_an_exit_that_was_made_larger_counts_before_the_book_shows_it(environment: OrderEnvironment) -> None:
    """The modification is accepted, and every book is an old one."""
    await bought(environment, 50)
    exit_ = await environment.place(quantity=10, transaction_type=TransactionType.SELL, price=Decimal(1590))
    await read_again(environment, 2)
    await environment.fault("stale_book", method="GET", path="/orders", times=-1, params={"ms": 60_000})
    caller, changes = Caller(principal="t"), OrderChanges(quantity=50)
    larger = await environment.service.modify(
        exit_["order_id"], changes, account_id=ACCOUNT, caller=caller, wait_s=10.0
    )
    assert larger.document["status"] == "completed"
    answer = await close(environment)
    assert answer.document["orders"][0]["error"]["code"] == "NOTHING_TO_REDUCE"
    assert len(await environment.ledger()) == 2


async def test_the_legs_of_an_exit_that_are_still_to_come_count(environment: OrderEnvironment) -> None:
    """An iceberg for all of it shows five of ten; the other five are sold when those are."""
    await bought(environment, 10)
    sale: dict[str, Any] = {"quantity": 10, "transaction_type": TransactionType.SELL, "price": Decimal(1590)}
    await environment.place(variety=Variety.ICEBERG, iceberg_legs=2, iceberg_quantity=5, **sale)
    await read_again(environment, 2)
    answer = await close(environment)
    assert answer.document["orders"][0]["error"]["code"] == "NOTHING_TO_REDUCE"
    await environment.set_price("NSE:INFY", 1595)
    await until_flat(environment)
    assert len(await environment.ledger()) == 3


async def test_the_rest_of_an_iceberg_that_was_cancelled_is_closed(environment: OrderEnvironment) -> None:
    """No leg follows one that did not fill."""
    await bought(environment, 10)
    sale: dict[str, Any] = {"quantity": 10, "transaction_type": TransactionType.SELL, "price": Decimal(1590)}
    iceberg = await environment.place(variety=Variety.ICEBERG, iceberg_legs=2, iceberg_quantity=5, **sale)
    await read_again(environment, 2)
    caller = Caller(principal="t")
    await environment.service.cancel(iceberg["order_id"], account_id=ACCOUNT, caller=caller, wait_s=10.0)
    await read_again(environment, 2)
    await close(environment)
    assert [row["request"]["quantity"] for row in await environment.ledger()][-1] == "10"
    await until_flat(environment)
