"""Batches: all legs or an honest account of what could not be undone."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any
from uuid import UUID

from app.broker.orders import TransactionType
from app.orders.state.model import TaskStatus
from simulator.server import RunningSimulator
from tests.order_environment import OrderEnvironment, open_order_environment
from tests.order_requests import order
from tests.order_waits import after_the_lease, at_the_exchange
from tests.waiting import until

UNAFFORDABLE = {"quantity": 1_000_000}
"""A leg that the broker refuses for want of margin."""


async def test_a_batch_whose_legs_all_stand_is_completed(environment: OrderEnvironment) -> None:
    """Three resting orders: completed, each once in the ledger."""
    batch = await environment.batch([order(price=Decimal(1400 + n)) for n in range(3)])
    assert (batch["status"], batch["succeeded"], batch["failed"]) == ("completed", 3, 0)
    assert batch["success"] is True
    assert {leg["order_id"] for leg in batch["orders"]} == {row["order_id"] for row in await environment.ledger()}


async def test_a_refused_third_leg_takes_the_first_two_back(environment: OrderEnvironment) -> None:
    """Both are cancelled under their own variety, nothing filled, so it is rolled back and says so."""
    batch = await environment.batch(
        [order(), order(price=Decimal(1401)), order(**UNAFFORDABLE), order(price=Decimal(1402))]
    )
    assert batch["status"] == "rolled_back"
    assert batch["success"] is False
    assert batch["residual"] == []
    assert batch["error"]["code"] == "BATCH_ROLLBACK"
    assert (batch["succeeded"], batch["failed"]) == (0, 1)
    assert [row["state"] for row in await environment.ledger()] == ["CANCELLED", "CANCELLED"]


async def test_a_filled_leg_is_reported_to_the_last_share(environment: OrderEnvironment) -> None:
    """What filled cannot be cancelled: rolled back with fills, and the residual is exact."""
    batch = await environment.batch([order(price=Decimal(1510)), order(price=Decimal(1401)), order(**UNAFFORDABLE)])
    assert batch["status"] == "rolled_back_with_fills"
    ledger = {row["order_id"]: row for row in await environment.ledger()}
    filled = [row for row in ledger.values() if row["filled_quantity"]]
    assert len(filled) == 1
    assert [(row["tradingsymbol"], row["quantity"]) for row in batch["residual"]] == [("INFY", 10)]
    assert Decimal(str(batch["residual"][0]["average_price"])) > 0


async def test_square_off_takes_the_fills_back_where_it_is_wanted(environment: OrderEnvironment) -> None:
    """on_filled=square_off sells what was bought, and no more; the residual is empty then."""
    batch = await environment.batch([order(price=Decimal(1510)), order(**UNAFFORDABLE)], on_filled="square_off")
    assert batch["status"] == "rolled_back_with_fills"
    assert batch["residual"] == []
    sold = [row for row in await environment.ledger() if row["request"]["transaction_type"] == "SELL"]
    assert [row["filled_quantity"] for row in sold] == [10]


async def test_square_off_sells_nothing_that_another_order_is_selling(environment: OrderEnvironment) -> None:
    """The caller's own exit is open: a second one could turn the position around, so the fill stays as a residual."""
    exit_order = await environment.place(transaction_type=TransactionType.SELL, price=Decimal(1600))
    batch = await environment.batch([order(price=Decimal(1510)), order(**UNAFFORDABLE)], on_filled="square_off")
    assert batch["status"] == "rolled_back_with_fills"
    assert [(row["tradingsymbol"], row["quantity"]) for row in batch["residual"]] == [("INFY", 10)]
    sold = [row for row in await environment.ledger() if row["request"]["transaction_type"] == "SELL"]
    assert [row["order_id"] for row in sold] == [exit_order["order_id"]]
    tasks = (await environment.service.queries.tasks(None, status=TaskStatus.FAILED, before=None, limit=10)).data
    assert "NOTHING_TO_REDUCE" in {task["last_error"]["code"] for task in tasks}


async def test_two_legs_are_not_squared_off_by_the_same_position(environment: OrderEnvironment) -> None:
    """Twenty were bought, twelve of them are being sold by another program: eight go back, twelve are the residual."""
    await environment.place(transaction_type=TransactionType.SELL, price=Decimal(1600), quantity=12)
    legs = [order(price=Decimal(1510)), order(price=Decimal(1510)), order(**UNAFFORDABLE)]
    batch = await environment.batch(legs, on_filled="square_off")
    assert batch["status"] == "rolled_back_with_fills"
    sold = [
        row["filled_quantity"] for row in await environment.ledger() if row["request"]["transaction_type"] == "SELL"
    ]
    assert sum(sold) == 8
    assert [(row["tradingsymbol"], row["quantity"]) for row in batch["residual"]] == [("INFY", 12)]


async def test_without_rollback_each_leg_stands_for_itself(environment: OrderEnvironment) -> None:
    """A refused leg does not touch the others; the batch is partially completed."""
    batch = await environment.batch([order(), order(**UNAFFORDABLE), order(price=Decimal(1401))], rollback=False)
    assert (batch["status"], batch["succeeded"], batch["failed"]) == ("partially_completed", 2, 1)
    assert {row["state"] for row in await environment.ledger()} == {"OPEN"}


async def test_equal_legs_are_not_collapsed(environment: OrderEnvironment) -> None:
    """Five legs that are equal in every field are five orders."""
    batch = await environment.batch([order() for _ in range(5)])
    assert batch["status"] == "completed"
    assert len(await environment.ledger()) == 5


async def test_a_batch_of_buys_and_sells_nets_its_residual(environment: OrderEnvironment) -> None:
    """Bought and sold the same: nothing is left, although legs filled."""
    batch = await environment.batch(
        [
            order(price=Decimal(1510)),
            order(price=Decimal(1490), transaction_type=TransactionType.SELL),
            order(**UNAFFORDABLE),
        ]
    )
    assert batch["status"] == "rolled_back_with_fills"
    assert batch["residual"] == []


async def test_the_wait_ends_and_the_batch_goes_on(environment: OrderEnvironment) -> None:
    """A caller that waits for nothing gets the present state; the batch completes all the same."""
    batch = await environment.batch([order(), order()], wait_s=0.0)
    assert batch["status"] == "running"
    assert (await batch_end(environment, batch))["status"] == "completed"


async def batch_end(environment: OrderEnvironment, batch: Mapping[str, Any]) -> Mapping[str, Any]:
    """The batch's document once it is finished."""

    async def ended() -> bool:
        return (await environment.service.queries.batch_now(UUID(batch["batch_id"])))[1]

    await until(ended)
    return (await environment.service.queries.batch_now(UUID(batch["batch_id"])))[0]


async def test_a_crash_in_the_middle_of_a_batch_loses_and_doubles_nothing(
    database_url: str, simulator: RunningSimulator
) -> None:
    """The loops die while legs are on the wire; a new process brings the batch to its end, no order twice."""
    async with open_order_environment(database_url, simulator.url) as environment:
        await environment.set_price("NSE:INFY", 1500)
        await environment.fault("delay", times=-1, params={"ms": 300})
        batch = await environment.batch([order() for _ in range(6)], wait_s=0.0)
        await at_the_exchange(environment, 2)
        await environment.crash()
        environment.supervisor.failures.clear()
        document, _ = await environment.service.queries.batch_now(UUID(batch["batch_id"]))
        assert document["status"] == "running"
    await after_the_lease(database_url)
    async with open_order_environment(database_url, simulator.url) as environment:
        await environment.sim.delete("/_sim/faults")
        document = await batch_end(environment, batch)
        tags = [row["tag"] for row in await environment.ledger()]
        assert len(tags) == len(set(tags)) <= 6
        assert document["status"] in {"completed", "rolled_back"}
        live = [row for row in await environment.ledger() if row["state"] == "OPEN"]
        assert len(live) == (6 if document["status"] == "completed" else 0)


async def test_a_batch_that_cannot_be_paid_for_sends_nothing(environment: OrderEnvironment) -> None:
    """The broker is asked for the margin of the whole basket first: no leg leaves, and each says why."""
    batch = await environment.batch([order(), order(**UNAFFORDABLE)], check_margin="ask")
    assert batch["status"] == "rolled_back"
    assert {leg["error"]["code"] for leg in batch["orders"]} == {"MARGIN_SHORTFALL"}
    assert await environment.ledger() == []


async def test_a_batch_that_can_be_paid_for_passes_the_margin_check(environment: OrderEnvironment) -> None:
    """Asking costs two reads and changes nothing."""
    batch = await environment.batch([order(), order()], check_margin="ask")
    assert batch["status"] == "completed"


async def test_legs_that_release_margin_go_first_when_that_is_wished(environment: OrderEnvironment) -> None:
    """margin_first: the sale of what is held leaves before the purchase; the index of a leg stays the caller's."""
    held = await environment.place(price=Decimal(1510))
    await until(lambda: _filled(environment, held["order_id"]))
    legs = [
        order(tradingsymbol="SBIN", price=Decimal(700)),
        order(transaction_type=TransactionType.SELL, price=Decimal(1490)),
    ]
    batch = await environment.batch(legs, order="margin_first")
    assert batch["status"] == "completed"
    sent = [row["order_id"] for row in await environment.ledger()][1:]
    assert sent == [batch["orders"][1]["order_id"], batch["orders"][0]["order_id"]]


async def _filled(environment: OrderEnvironment, order_id: str) -> bool:
    return bool((await environment.service.queries.order(order_id))["state"] == "completed")
