"""What is asked before an order is stored: limits that hold across replicas, and what counts as a reduction."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from app.broker.market import Instrument
from app.broker.orders import Exchange, OrderChanges, TransactionType
from app.composition.orders import build_orders
from app.errors import BadInput
from app.orders.entry.acceptance import Caller
from app.orders.entry.risk_check import LimitReached
from app.orders.entry.service import BatchOptions
from app.orders.risk.limits import MAX_MODIFICATIONS, RiskLimits
from app.orders.state.model import TaskStatus
from app.orders.state.new_tasks import OrderLine
from simulator.server import RunningSimulator
from tests.order_environment import ACCOUNT, OPERATOR, NoInstruments, OrderEnvironment, open_order_environment
from tests.order_requests import order
from tests.order_waits import reaches
from tests.waiting import until

ME = Caller(principal="t")
SELL = TransactionType.SELL


async def stored(environment: OrderEnvironment) -> int:
    return len((await environment.service.queries.tasks(None, status=None, before=None, limit=100)).data)


async def test_an_order_above_a_limit_is_not_stored(database_url: str, simulator: RunningSimulator) -> None:
    """Refused with a code, a place and nothing sent; a batch with one such leg is refused whole."""
    limits = RiskLimits(max_order_value=Decimal(20_000), max_quantity=100)
    async with open_order_environment(database_url, simulator.url, limits=limits) as environment:
        with pytest.raises(BadInput) as caught:
            await environment.place(quantity=20)
        assert caught.value.code == "ORDER_VALUE_LIMIT"
        with pytest.raises(BadInput) as caught:
            await environment.batch([order(), order(quantity=101, price=Decimal(1))])
        assert caught.value.code == "QUANTITY_LIMIT"
        assert caught.value.problems[0].loc == ("body", "orders", 1, "quantity")
        assert await stored(environment) == 0
        assert (await environment.place())["status"] == "completed"


async def test_identical_orders_are_counted_over_all_replicas(database_url: str, simulator: RunningSimulator) -> None:
    """Thirty concurrent ones at two replicas: exactly three pass, the others are suspects and not stored."""
    limits = RiskLimits(max_identical=3, identical_window_s=30.0)
    async with (
        open_order_environment(database_url, simulator.url, limits=limits, owner="a") as one,
        open_order_environment(database_url, simulator.url, limits=limits, owner="b") as two,
    ):
        tries = [(one, two)[number % 2].place() for number in range(30)]
        results = await asyncio.gather(*tries, return_exceptions=True)
        refused = [result for result in results if isinstance(result, LimitReached)]
        assert len(refused) == 27
        assert {(error.code, error.sent) for error in refused} == {("DUPLICATE_SUSPECT", "no")}
        assert await stored(one) == 3
        assert len(await one.ledger()) == 3
        await one.place(price=Decimal(1401))


async def test_equal_legs_of_a_batch_are_one_request(database_url: str, simulator: RunningSimulator) -> None:
    """Five equal legs pass, and count once beside what follows."""
    async with open_order_environment(
        database_url, simulator.url, limits=RiskLimits(max_identical=2, identical_window_s=30.0)
    ) as environment:
        assert (await environment.batch([order()] * 5))["status"] == "completed"
        await environment.place()
        with pytest.raises(LimitReached):
            await environment.place()


async def test_a_repeated_key_is_answered_whatever_the_limits_say(
    database_url: str, simulator: RunningSimulator
) -> None:
    """What was accepted once is answered again, not checked again."""
    async with open_order_environment(
        database_url, simulator.url, limits=RiskLimits(max_identical=1, identical_window_s=30.0, max_open_orders=1)
    ) as environment:
        first = await environment.answer(key="k" * 16)
        again = await environment.answer(key="k" * 16)
        assert again.replayed
        assert again.resource_id == first.resource_id


async def test_open_orders_are_limited_over_all_replicas(database_url: str, simulator: RunningSimulator) -> None:
    """Twelve concurrent different orders, at most five open; after one has ended another may come."""
    limits = RiskLimits(max_open_orders=5)
    async with (
        open_order_environment(database_url, simulator.url, limits=limits, owner="a") as one,
        open_order_environment(database_url, simulator.url, limits=limits, owner="b") as two,
    ):
        await one.set_price("NSE:INFY", 1500)
        tries = [(one, two)[number % 2].place(price=Decimal(1400 + number)) for number in range(12)]
        results = await asyncio.gather(*tries, return_exceptions=True)
        accepted = [result for result in results if not isinstance(result, BaseException)]
        assert len(accepted) == 5
        assert {result.code for result in results if isinstance(result, LimitReached)} == {"OPEN_ORDER_LIMIT"}
        await one.service.cancel(accepted[0]["order_id"], account_id=None, caller=ME, wait_s=20.0)

        async def ended() -> bool:
            return bool((await one.service.queries.order(accepted[0]["order_id"]))["state"] == "cancelled")

        await until(ended)
        await two.place(price=Decimal(1450))


async def test_a_modification_passes_no_limit_that_an_order_does_not_pass(
    database_url: str, simulator: RunningSimulator
) -> None:
    """Its quantity and its value, also together with an earlier modification of which nothing is known yet. The order
    stays as it is, the answer says so, and it can be made smaller."""
    limits = RiskLimits(max_order_value=Decimal(20_000), max_quantity=12)
    async with open_order_environment(database_url, simulator.url, limits=limits) as environment:
        await environment.set_price("NSE:INFY", 1500, frozen=True)
        task = await environment.place()

        async def modify(**changes: Any) -> Mapping[str, Any]:
            answer = await environment.service.modify(
                task["order_id"], OrderChanges(**changes), account_id=None, caller=ME, wait_s=0.0
            )
            return answer.document

        async def refused(**changes: Any) -> tuple[str, list[tuple[str | int, ...]]]:
            with pytest.raises(BadInput) as caught:
                await modify(**changes)
            return caught.value.code, [problem.loc for problem in caught.value.problems]

        assert await refused(quantity=13) == ("QUANTITY_LIMIT", [("body", "quantity")])
        assert await refused(price=Decimal(2001)) == ("ORDER_VALUE_LIMIT", [("body",)])
        assert await stored(environment) == 1
        await environment.fault("drop_before_read", method="PUT", path="/orders/regular/*")
        await modify(quantity=12)
        assert await refused(price=Decimal(1700)) == ("ORDER_VALUE_LIMIT", [("body",)])
        smaller = await modify(quantity=9, price=Decimal(1390))
        await reaches(environment, smaller, TaskStatus.COMPLETED)


async def test_a_dry_run_is_refused_where_the_order_would_be(database_url: str, simulator: RunningSimulator) -> None:
    """By a limit on one order, by one that counts, and in a batch; nothing is stored by it, and nothing counts it."""
    limits = RiskLimits(max_quantity=100, max_open_orders=2)
    async with open_order_environment(database_url, simulator.url, limits=limits) as environment:
        line, large = OrderLine(request=order()), OrderLine(request=order(quantity=101))
        preview = environment.service.preview
        with pytest.raises(BadInput) as caught:
            await preview([line, large], account_id=ACCOUNT, batch=BatchOptions())
        assert caught.value.problems[0].loc == ("body", "orders", 1, "quantity")
        for _ in range(3):
            assert len(await preview([line], account_id=ACCOUNT)) == 1
        assert await stored(environment) == 0
        for _ in range(2):
            await environment.place()
        with pytest.raises(LimitReached) as reached:
            await preview([line], account_id=ACCOUNT)
        assert reached.value.code == "OPEN_ORDER_LIMIT"


async def test_the_twenty_fifth_modification_is_refused_by_us(environment: OrderEnvironment) -> None:
    """Refused, with a way out, before the broker refuses it; a cancel still goes."""
    task = await environment.place()
    async with environment.database.transaction() as tx:
        await tx.execute(
            """INSERT INTO order_task (task_id, account_id, operation, status, trade_date, instrument, request,
                 target_order_id, priority, send_by, sent)
               SELECT gen_random_uuid(), account_id, 'modify', 'completed', trade_date, instrument,
                 '{"variety": "regular", "changes": {"price": "1401"}}', order_id, 1, now(), 'yes'
               FROM order_task, generate_series(1, %s) WHERE task_id = %s""",
            (MAX_MODIFICATIONS - 1, UUID(task["task_id"])),
        )
    changes = [OrderChanges(price=Decimal(1402 + number)) for number in range(2)]
    tries = [
        environment.service.modify(task["order_id"], change, account_id=None, caller=ME, wait_s=20.0)
        for change in changes
    ]
    results = await asyncio.gather(*tries, return_exceptions=True)
    refused = [result for result in results if isinstance(result, LimitReached)]
    assert [error.code for error in refused] == ["MODIFY_LIMIT"]
    assert "cancel it and place a new one" in refused[0].message
    answer = await environment.service.cancel(task["order_id"], account_id=None, caller=ME, wait_s=20.0)
    assert answer.document["status"] == "completed"


async def test_under_reduce_only_a_proven_reduction_passes_and_nothing_else(environment: OrderEnvironment) -> None:
    """Held 10: of two concurrent sales of 10 one passes; more than is held, and every purchase, is held back."""
    bought = await environment.place(price=Decimal(1510))

    async def filled() -> bool:
        return bool((await environment.service.queries.order(bought["order_id"]))["state"] == "completed")

    await until(filled)
    await environment.orders.operators.halts.halt(
        ACCOUNT, mode="reduce_only", open_orders="leave", reason="test", by=OPERATOR
    )
    more = await environment.place(wait_s=0.0, transaction_type=SELL, quantity=11, price=Decimal(1490))
    buy = await environment.place(wait_s=0.0)
    sales = await asyncio.gather(
        *(environment.place(wait_s=0.0, transaction_type=SELL, price=Decimal(1600 + number)) for number in range(2))
    )
    ends = [await reaches(environment, task, TaskStatus.COMPLETED, TaskStatus.HELD) for task in (*sales, more, buy)]
    assert sorted(task["status"] for task in ends[:2]) == ["completed", "held"]
    assert [task["status"] for task in ends[2:]] == ["held", "held"]
    assert len(await environment.ledger()) == 2


async def test_without_positions_nothing_counts_as_a_reduction(environment: OrderEnvironment) -> None:
    """Positions that cannot be read prove nothing; the order is kept, and held."""
    await environment.orders.operators.halts.halt(
        ACCOUNT, mode="reduce_only", open_orders="leave", reason="test", by=OPERATOR
    )
    await environment.fault("status", method="GET", path="/portfolio/positions", params={"code": 503}, times=-1)
    task = await environment.place(wait_s=0.0, transaction_type=SELL, price=Decimal(1490))
    assert (await reaches(environment, task, TaskStatus.HELD))["last_error"]["code"] == "HALTED"


class Crude(NoInstruments):
    """One contract of a hundred barrels."""

    def find(self, exchange: str, tradingsymbol: str) -> Instrument | None:
        return Instrument(
            instrument_token=1,
            exchange_token=1,
            tradingsymbol=tradingsymbol,
            name="CRUDEOIL",
            expiry=None,
            strike=Decimal(0),
            tick_size=Decimal(1),
            lot_size=100 if exchange == "MCX" else 2,
            instrument_type="FUT",
            segment="MCX-FUT",
            exchange=exchange,
        )


async def test_an_order_of_a_commodity_counts_lots_and_is_worth_what_is_in_them(
    environment: OrderEnvironment,
) -> None:
    """Two lots are a quantity of two, and two hundred barrels; on another exchange two are two."""
    limits = RiskLimits(max_order_value=Decimal(1_000_000), max_quantity=2)
    inputs = replace(environment.inputs, instruments=Crude(), limits={ACCOUNT: limits})
    service = build_orders(environment.parts, inputs).service

    async def place(exchange: Exchange, price: int) -> Mapping[str, Any]:
        wanted = order(exchange=exchange, tradingsymbol="CRUDEOIL26AUGFUT", quantity=2, price=Decimal(price))
        return (await service.place(OrderLine(request=wanted), account_id=ACCOUNT, caller=ME, wait_s=0.0)).document

    with pytest.raises(BadInput) as caught:
        await place(Exchange.MCX, 5001)
    assert caught.value.code == "ORDER_VALUE_LIMIT"
    assert (await place(Exchange.MCX, 5000))["task_id"]
    assert (await place(Exchange.NFO, 5001))["task_id"]
