"""Placements of which the broker makes several orders: all are counted, all are taken back, and a part is a part.

Slices of a quantity above the freeze limit, legs of an iceberg, and the stop of a cover order, with answers that are
lost and books that show the orders one after another.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from app.broker.orders import Exchange, OrderChanges, OrderRequest, Product, Variety
from app.broker.outcomes import Refused
from app.orders.entry.acceptance import Caller
from app.orders.state.completeness import SLICES_MISSING
from app.orders.state.model import TaskStatus
from app.orders.state.new_tasks import OrderLine, Replaces
from app.orders.views.queries import OrderIsAGroup
from simulator.server import RunningSimulator, running_simulator
from simulator.settings import SimulatorSettings
from tests.faults.chaos_checks import checked_history
from tests.faults.sender_steps import sender_steps
from tests.order_environment import ACCOUNT, OrderEnvironment, open_order_environment
from tests.order_requests import order
from tests.order_waits import now, reaches, read_again
from tests.waiting import until

CALLER = Caller(principal="t")
BOOK = {"method": "GET", "path": "/orders"}
NO_FUNDS = {"code": 400, "error_type": "MarginException", "message": "Insufficient funds."}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sliced:
    """An environment, and an order above the freeze limit of its option: three slices."""

    environment: OrderEnvironment
    simulator: RunningSimulator
    request: OrderRequest

    @property
    def one_slice(self) -> int:
        return self.request.quantity // 3

    async def place(self, *, wait_s: float = 20.0) -> Mapping[str, Any]:
        line = OrderLine(request=self.request)
        answer = await self.environment.service.place(line, account_id=ACCOUNT, caller=CALLER, wait_s=wait_s)
        return answer.document


@asynccontextmanager
async def slicing(database_url: str, *, cash: int) -> AsyncIterator[Sliced]:
    settings = SimulatorSettings(port=0, ticks_per_second=0, opening_cash=Decimal(cash))
    async with running_simulator(settings) as simulator, open_order_environment(database_url, simulator.url) as opened:
        instruments = simulator.simulator.market.instruments.values()
        option = next(one for one in instruments if one.name == "NIFTY" and one.instrument_type == "PE")
        await opened.set_price(f"NFO:{option.tradingsymbol}", 100, frozen=True)
        await opened.set_price("NSE:INFY", 1500)
        request = order(
            exchange=Exchange.NFO,
            tradingsymbol=option.tradingsymbol,
            product=Product.NRML,
            quantity=3 * option.freeze_quantity,
            price=Decimal(90),
            autoslice=True,
        )
        yield Sliced(environment=opened, simulator=simulator, request=request)


@pytest.fixture
async def sliced(database_url: str) -> AsyncIterator[Sliced]:
    async with slicing(database_url, cash=10_000_000) as opened:
        yield opened


async def ledger_states(environment: OrderEnvironment) -> list[str]:
    return [str(row["state"]) for row in await environment.ledger()]


async def shown(environment: OrderEnvironment, order_id: str, state: str) -> None:
    """Until the order, or the group of orders, is in this state."""

    async def is_there() -> bool:
        return bool((await environment.service.queries.order(order_id))["state"] == state)

    await until(is_there)


async def test_a_slice_that_shows_late_is_waited_for_and_taken_back(database_url: str, sliced: Sliced) -> None:
    """The answer of the sliced leg is lost, the other leg is refused, and three reads lack the newest slice."""
    environment = sliced.environment
    await environment.fault("drop_after_accept")
    await environment.fault("shrink_book", **BOOK, times=3, params={"drop": 1})
    await environment.fault("status", after=1, params=NO_FUNDS)
    batch = await environment.batch([sliced.request, order()])
    assert (batch["status"], batch["residual"]) == ("rolled_back", [])
    assert await ledger_states(environment) == ["CANCELLED"] * 3
    await checked_history(database_url, sliced.simulator)


async def test_a_slice_that_shows_after_its_batch_has_ended_is_taken_back_with_an_alarm(
    database_url: str, sliced: Sliced
) -> None:
    """The window passes without it: the batch says what is known, and is corrected when the slice shows."""
    environment = sliced.environment
    await environment.fault("drop_after_accept")
    await environment.fault("shrink_book", **BOOK, times=-1, params={"drop": 1})
    await environment.fault("status", after=1, params=NO_FUNDS)
    batch = await environment.batch([sliced.request, order()])
    assert batch["status"] == "rolled_back"
    assert sorted(await ledger_states(environment)) == ["CANCELLED", "CANCELLED", "OPEN"]
    (await environment.sim.delete("/_sim/faults")).raise_for_status()

    async def corrected() -> bool:
        environment.orders.wakeups.on_order_hint(ACCOUNT)
        document, _ = await environment.service.queries.batch_now(UUID(batch["batch_id"]))
        return document["status"] == "needs_attention" and await ledger_states(environment) == ["CANCELLED"] * 3

    await until(corrected)
    alarms = await environment.orders.operators.resolutions.alarms(limit=5)
    assert "late_order" in {alarm.kind for alarm in alarms}
    await checked_history(database_url, sliced.simulator)


async def test_slices_found_in_the_book_are_completed_when_all_are_there(sliced: Sliced) -> None:
    """The book shows one, then two, then three: the task is in doubt until the quantity is complete."""
    environment = sliced.environment
    await environment.fault("drop_after_accept")
    await environment.fault("shrink_book", **BOOK, times=2, params={"drop": 2})
    await environment.fault("shrink_book", **BOOK, after=2, times=2, params={"drop": 1})
    task = await reaches(environment, await sliced.place(wait_s=0.0), TaskStatus.COMPLETED, TaskStatus.FAILED)
    ids = [row["order_id"] for row in await environment.ledger()]
    assert (task["status"], task["children"], task["last_error"]) == (
        "completed",
        [{"order_id": order_id} for order_id in ids],
        None,
    )


async def test_a_part_that_stays_a_part_is_said_and_corrected(sliced: Sliced) -> None:
    """The window passes with two of three: the answer says so, until the third shows."""
    environment = sliced.environment
    await environment.fault("drop_after_accept")
    await environment.fault("shrink_book", **BOOK, times=-1, params={"drop": 1})
    task = await reaches(environment, await sliced.place(wait_s=0.0), TaskStatus.COMPLETED)
    assert (len(task["children"]), task["last_error"]["code"]) == (2, "SLICES_MISSING")
    (await environment.sim.delete("/_sim/faults")).raise_for_status()

    async def whole() -> bool:
        environment.orders.wakeups.on_order_hint(ACCOUNT)
        stored = await now(environment, task)
        return len(stored.children) == 3 and stored.last_error is None

    await until(whole)


async def test_all_slices_refused_is_failed(database_url: str) -> None:
    """The broker answers 200 with a group id, and a refusal of each slice."""
    async with slicing(database_url, cash=1_000) as sliced:
        task = await sliced.place()
        assert (task["status"], task["sent"], task["last_error"]["code"]) == ("failed", "yes", "BROKER_REFUSED")
        assert "all 3 slices" in task["last_error"]["message"]
        assert await sliced.environment.ledger() == []


async def test_some_slices_refused_is_said(database_url: str) -> None:
    """It was placed in part: completed, with an error that names the part."""
    async with slicing(database_url, cash=400_000) as sliced:
        task = await sliced.place()
        assert (task["status"], task["last_error"]["code"]) == ("completed", "SLICES_REFUSED")
        assert [("order_id" in child, "error" in child) for child in task["children"]].count((False, True)) >= 1
        assert len(await sliced.environment.ledger()) == sum("order_id" in child for child in task["children"])


async def test_a_group_id_sums_its_slices(sliced: Sliced) -> None:
    """Pending while the book shows none, open, filled in part, filled."""
    environment = sliced.environment
    task = await sliced.place()
    group, ids = task["order_id"], [child["order_id"] for child in task["children"]]
    assert group not in ids
    await shown(environment, group, "open")
    for number, order_id in enumerate(ids):
        fill = {"fill": sliced.one_slice}
        (await environment.sim.post(f"/_sim/orders/{order_id}", json=fill)).raise_for_status()
        await shown(environment, group, "completed" if number == 2 else "partially_filled")
    document = await environment.service.queries.order(group)
    assert (document["filled_quantity"], document["average_price"]) == (sliced.request.quantity, 90)
    assert [child["order_id"] for child in document["children"]] == ids


async def test_a_group_id_is_cancelled_slice_by_slice(database_url: str, sliced: Sliced) -> None:
    """One is filled already: the others go, and the answer is final when they have."""
    environment = sliced.environment
    task = await sliced.place()
    await shown(environment, task["order_id"], "open")
    first = task["children"][0]["order_id"]
    (await environment.sim.post(f"/_sim/orders/{first}", json={"fill": sliced.one_slice})).raise_for_status()
    group = await environment.service.queries.group(task["order_id"], account_id=ACCOUNT)
    assert group is not None
    done = await environment.orders.withdrawals.withdraw(group.task_id, wait_s=20.0)
    assert done.over
    assert sorted(await ledger_states(environment)) == ["CANCELLED", "CANCELLED", "COMPLETE"]
    await checked_history(database_url, sliced.simulator)


async def test_other_commands_refuse_a_group_id_and_name_the_slices(sliced: Sliced) -> None:
    """Nothing is stored or sent."""
    environment = sliced.environment
    task = await sliced.place()
    group, ids = task["order_id"], ", ".join(child["order_id"] for child in task["children"])
    service = environment.service
    with pytest.raises(OrderIsAGroup, match=ids) as refused:
        await service.modify(group, OrderChanges(price=Decimal(91)), account_id=None, caller=CALLER, wait_s=5.0)
    assert (refused.value.code, refused.value.sent) == ("ORDER_IS_A_GROUP", "no")
    with pytest.raises(OrderIsAGroup):
        await service.history(group, account_id=ACCOUNT)
    with pytest.raises(OrderIsAGroup):
        await service.place(
            OrderLine(request=sliced.request),
            account_id=ACCOUNT,
            caller=CALLER,
            wait_s=5.0,
            replaces=Replaces(order_id=group, version="0" * 32),
        )
    page = await service.queries.tasks(ACCOUNT, status=None, before=None, limit=10)
    assert [one["operation"] for one in page.data] == ["place"]


COVER: Mapping[str, Any] = {"variety": Variety.CO, "price": Decimal(1510), "trigger_price": Decimal(1450)}


async def test_a_cover_order_whose_answer_is_lost_is_found_with_its_stop(
    database_url: str, simulator: RunningSimulator, environment: OrderEnvironment
) -> None:
    """The stop carries the same tag on the other side, and is no mismatch."""
    await environment.fault("drop_after_accept", path="/orders/co")
    task = await reaches(
        environment, await environment.place(wait_s=0.0, **COVER), TaskStatus.COMPLETED, TaskStatus.DEAD_LETTER
    )
    assert task["status"] == "completed"
    assert await environment.orders.operators.resolutions.alarms(limit=5) == []
    await read_again(environment, 2)
    entry = (await environment.ledger())[0]
    assert (entry["order_id"], entry["state"]) == (task["order_id"], "COMPLETE")
    await checked_history(database_url, simulator)


async def test_a_cover_leg_that_is_rolled_back_leaves_no_stop_and_no_position(
    database_url: str, simulator: RunningSimulator, environment: OrderEnvironment
) -> None:
    """Its stop is cancelled, which exits at the market: what the entry bought is sold, and nothing remains."""
    await environment.fault("drop_after_accept", path="/orders/co")
    await environment.fault("status", params=NO_FUNDS)
    batch = await environment.batch([order(**COVER), order()])
    assert (batch["status"], batch["residual"]) == ("rolled_back_with_fills", [])
    assert batch["orders"][0]["filled_quantity"] == 10
    assert await ledger_states(environment) == ["COMPLETE", "COMPLETE"]
    await checked_history(database_url, simulator)


async def test_a_refusal_does_not_end_a_placement_of_which_a_slice_is_shown(sliced: Sliced) -> None:
    """The book has one slice when the broker's error comes: it is in doubt, and then completed in part."""
    environment = sliced.environment
    steps = await sender_steps(environment)
    await environment.fault("shrink_book", **BOOK, times=-1, params={"drop": 2})
    placed = await sliced.place(wait_s=0.0)
    claimed = await steps.claim()
    assert claimed is not None
    await steps.send_only(claimed)
    await steps.loops.reconciler.sweep()
    await steps.store(claimed, Refused(error_type="MarginException", message="Insufficient funds.", http_status=400))
    assert (await now(environment, placed)).status is TaskStatus.IN_DOUBT

    async def ended() -> bool:
        await steps.loops.reconciler.sweep()
        return (await now(environment, placed)).status is not TaskStatus.IN_DOUBT

    await until(ended)
    task = await now(environment, placed)
    assert (task.status, task.error_code) == (TaskStatus.COMPLETED, SLICES_MISSING)
    assert task.confirmed_ids == [(await environment.ledger())[0]["order_id"]]
