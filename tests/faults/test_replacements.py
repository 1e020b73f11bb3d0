"""An order that takes another one's place: never beside it, and never after a fill that its caller had not seen."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Literal

import pytest

from app.errors import BadInput, NotFound
from app.orders.entry.acceptance import Caller
from app.orders.entry.outcome_wait import Answer
from app.orders.entry.preconditions import NotAsSeen
from app.orders.state.audit import Actor
from app.orders.state.model import TaskStatus
from app.orders.state.new_tasks import OrderLine, Replaces
from simulator.server import RunningSimulator
from tests.faults.chaos_checks import checked_history
from tests.faults.test_crash_rows import resting
from tests.order_environment import ACCOUNT, OrderEnvironment, open_order_environment
from tests.order_requests import order
from tests.order_waits import after_the_lease, end_of, now, reaches, read_again, struck
from tests.waiting import until

CANCELS = {"method": "DELETE", "path": "/orders/*"}


async def shown(environment: OrderEnvironment, order_id: str) -> Mapping[str, Any]:
    return await environment.service.queries.order(order_id)


async def put_in_place_of(
    environment: OrderEnvironment,
    order_id: str,
    *,
    version: str | None = None,
    wait_s: float = 20.0,
    key: str | None = None,
    **changes: Any,
) -> Answer:
    """Ask for another order of the same side in its place, by default at the version that it has now."""
    seen = version or str((await shown(environment, order_id))["version"])
    return await environment.service.place(
        OrderLine(request=order(**changes)),
        account_id=ACCOUNT,
        caller=Caller(principal="t", idem_key=key),
        wait_s=wait_s,
        replaces=Replaces(order_id=order_id, version=seen),
    )


async def fill(environment: OrderEnvironment, order_id: str, quantity: int) -> None:
    (await environment.sim.post(f"/_sim/orders/{order_id}", json={"fill": quantity})).raise_for_status()


@asynccontextmanager
async def replacing(
    environment: OrderEnvironment, old: str, *, fresh: Literal["for_long", "as_stored"] = "for_long"
) -> AsyncIterator[Mapping[str, Any]]:
    """A replacement that waits inside the block, because no cancel gets through there; behind it they do.

    It stays fresh however slow the machine is, unless it is to be ``as_stored``.
    """
    await environment.fault("drop_before_read", **CANCELS, times=-1)
    task = (await put_in_place_of(environment, old, price=Decimal(1405), wait_s=0.0)).document
    if fresh == "for_long":
        await stay_fresh(environment, for_s=120)
    await struck(environment, "drop_before_read")
    yield task
    (await environment.sim.delete("/_sim/faults")).raise_for_status()


async def left_behind(environment: OrderEnvironment) -> Mapping[str, Any]:
    """A replacement whose owner has died before a cancel got through."""
    await environment.set_price("NSE:INFY", 1500)
    async with replacing(environment, await resting(environment)) as task:
        await environment.crash()
    return task


async def stay_fresh(environment: OrderEnvironment, *, for_s: int) -> None:
    async with environment.database.connection() as connection:
        await connection.execute(
            "UPDATE order_task SET send_by = clock_timestamp() + make_interval(secs => %s)", (for_s,)
        )


async def cancel_of(environment: OrderEnvironment) -> Mapping[str, Any]:
    """The one cancel that there is."""
    (cancel,) = [one for one in await tasks_of(environment) if one["operation"] == "cancel"]
    return cancel


async def tasks_of(environment: OrderEnvironment) -> Sequence[Mapping[str, Any]]:
    page = await environment.service.queries.tasks(ACCOUNT, status=None, before=None, limit=100)
    return page.data


async def test_the_new_order_goes_when_the_old_one_is_gone(environment: OrderEnvironment) -> None:
    """One is live at any time: the old one is cancelled, and the new one was sent after that."""
    old = await resting(environment)
    task = (await put_in_place_of(environment, old, price=Decimal(1405), quantity=12)).document
    assert (task["status"], task["replaces"]) == ("completed", old)
    first, second = await environment.ledger()
    assert (first["order_id"], first["state"], first["filled_quantity"]) == (old, "CANCELLED", 0)
    assert second["order_id"] == task["order_id"]
    ended, sent = (
        (await now(environment, await cancel_of(environment))).finished_at,
        (await now(environment, task)).last_sent_at,
    )
    assert ended is not None
    assert sent is not None
    assert ended < sent


async def test_a_replacement_is_not_sent_while_the_old_order_may_live(environment: OrderEnvironment) -> None:
    """No cancel gets through: the new order waits, and goes when one does."""
    old = await resting(environment)
    async with replacing(environment, old) as task:
        await read_again(environment, 3)
        assert (await now(environment, task)).status is TaskStatus.PENDING
        assert len(await environment.ledger()) == 1
    assert (await end_of(environment, task))["status"] == "completed"
    assert [row["state"] for row in await environment.ledger()] == ["CANCELLED", "OPEN"]


async def test_a_cancel_that_never_gets_through_costs_the_new_order_not_the_old_one(
    environment: OrderEnvironment,
) -> None:
    """It expires unsent, and says so; the old order lives on, as its row shows."""
    old = await resting(environment)
    async with replacing(environment, old) as task:
        await stay_fresh(environment, for_s=0)
        ended = await end_of(environment, task)
        assert (ended["status"], ended["sent"]) == ("expired", "no")
        await end_of(environment, await cancel_of(environment))
    await read_again(environment, 3)
    assert [(row["order_id"], row["state"]) for row in await environment.ledger()] == [(old, "OPEN")]


async def test_the_cancel_is_over_before_the_order_that_follows_it(environment: OrderEnvironment) -> None:
    """By the time of an answer: a cancel that leaves in its last moment still lets the new order go."""
    old = await resting(environment)
    async with replacing(environment, old, fresh="as_stored") as task:
        place, cancel = await now(environment, task), await now(environment, await cancel_of(environment))
    assert (place.send_by - cancel.send_by).total_seconds() == environment.parts.settings.send_timeout_s


async def test_an_old_order_that_fills_instead_is_not_replaced(environment: OrderEnvironment) -> None:
    """The exchange filled it before the cancel: nothing takes its place, and the answer says why."""
    old = await resting(environment)
    await environment.fault("cancel_fill_race", **CANCELS)
    task = (await put_in_place_of(environment, old, price=Decimal(1405))).document
    assert (task["status"], task["sent"]) == ("cancelled", "no")
    assert task["last_error"]["code"] == "REPLACED_ORDER_FILLED"
    assert [row["order_id"] for row in await environment.ledger()] == [old]


async def test_a_further_fill_before_the_cancel_is_not_replaced(environment: OrderEnvironment) -> None:
    """Four of ten filled that the caller had not seen: an order for ten would be four too many."""
    old = await resting(environment)
    async with replacing(environment, old) as task:
        await fill(environment, old, 4)
    ended = await end_of(environment, task)
    assert (ended["status"], ended["last_error"]["code"]) == ("cancelled", "REPLACED_ORDER_FILLED")
    (row,) = await environment.ledger()
    assert (row["state"], row["filled_quantity"]) == ("CANCELLED", 4)


async def test_earlier_fills_do_not_hinder_a_replacement(environment: OrderEnvironment) -> None:
    """The caller saw four of ten filled and asks for the other six at another price."""
    old = await resting(environment)
    await fill(environment, old, 4)

    async def seen() -> bool:
        environment.orders.wakeups.on_order_hint(ACCOUNT)
        return bool((await shown(environment, old))["filled_quantity"] == 4)

    await until(seen)
    task = (await put_in_place_of(environment, old, price=Decimal(1405), quantity=6)).document
    assert task["status"] == "completed"
    assert [(row["state"], row["filled_quantity"]) for row in await environment.ledger()] == [
        ("CANCELLED", 4),
        ("OPEN", 0),
    ]


async def test_a_crash_between_the_two_is_taken_up_by_the_next_owner(
    database_url: str, simulator: RunningSimulator
) -> None:
    """Both are durable in one commit: the next owner cancels the one and then sends the other, once."""
    async with open_order_environment(database_url, simulator.url, owner="first") as environment:
        task = await left_behind(environment)
    await after_the_lease(database_url)
    async with open_order_environment(database_url, simulator.url, owner="second") as environment:
        assert (await end_of(environment, task))["status"] == "completed"
        assert [row["state"] for row in await environment.ledger()] == ["CANCELLED", "OPEN"]
        await checked_history(database_url, simulator)


async def test_a_replacement_that_is_taken_back_takes_its_cancel_back(environment: OrderEnvironment) -> None:
    """Nothing would follow: the old order lives on, although its cancel was tried before and would get through now."""
    old = await resting(environment)
    async with replacing(environment, old) as task:
        assert (await environment.orders.withdrawals.withdraw((await now(environment, task)).task_id)).over
    assert (await end_of(environment, await cancel_of(environment)))["status"] == "cancelled"
    await read_again(environment, 2)
    assert [row["state"] for row in await environment.ledger()] == ["OPEN"]


async def test_an_order_that_cannot_be_replaced_is_left_as_it_is(environment: OrderEnvironment) -> None:
    """Another version, a finished order, another side, an unknown order, a halt: the old order stays as it is."""
    old = await resting(environment)
    with pytest.raises(NotAsSeen) as stale:
        await put_in_place_of(environment, old, version="0" * 32)
    assert (stale.value.code, stale.value.sent) == ("VERSION_STALE", "no")
    with pytest.raises(BadInput, match="only another such one replaces it"):
        await put_in_place_of(environment, old, transaction_type="SELL")
    with pytest.raises(BadInput, match="NSE:INFY"):
        await put_in_place_of(environment, old, tradingsymbol="SBIN")
    with pytest.raises(NotFound):
        await put_in_place_of(environment, "1", version="0" * 32)
    operations = environment.orders.operators.halts
    by = Actor(principal="t")
    await operations.halt(ACCOUNT, mode="halt", open_orders="leave", reason="test", by=by)
    with pytest.raises(NotAsSeen, match="nothing would take its place") as halted:
        await put_in_place_of(environment, old)
    assert halted.value.code == "HALTED"
    await operations.resume(ACCOUNT, reason="test", by=by)
    assert [one["operation"] for one in await tasks_of(environment)] == ["place"]
    await environment.service.cancel(old, account_id=ACCOUNT, caller=Caller(principal="t"), wait_s=20)
    await reaches(environment, (await tasks_of(environment))[0], TaskStatus.COMPLETED)

    async def gone() -> bool:
        return bool((await shown(environment, old))["state"] == "cancelled")

    await until(gone)
    with pytest.raises(NotAsSeen) as final:
        await put_in_place_of(environment, old)
    assert (final.value.code, final.value.retryable) == ("ORDER_ALREADY_FINAL", "no")


async def test_fifty_equal_replacements_are_one(environment: OrderEnvironment) -> None:
    """One key, one cancel, one order; asked again when the old order is long gone, it is still that one."""
    old = await resting(environment)
    version = str((await shown(environment, old))["version"])
    asked = [
        put_in_place_of(environment, old, version=version, key="replace-0123456789", price=Decimal(1405))
        for _ in range(50)
    ]
    answers = await asyncio.gather(*asked)
    again = await put_in_place_of(environment, old, version=version, key="replace-0123456789", price=Decimal(1405))
    assert again.replayed
    assert {answer.resource_id for answer in answers} == {again.resource_id}
    assert sorted(one["operation"] for one in await tasks_of(environment)) == ["cancel", "place", "place"]
    assert [row["state"] for row in await environment.ledger()] == ["CANCELLED", "OPEN"]


async def test_a_replacement_is_not_sent_after_its_valid_until(environment: OrderEnvironment) -> None:
    """The cancel gets through, and the new order would come too late."""
    old = await resting(environment)
    await environment.fault("delay", **CANCELS, params={"ms": 1500})
    valid_until = datetime.now(UTC) + timedelta(seconds=1)
    task = (await put_in_place_of(environment, old, price=Decimal(1405), valid_until=valid_until)).document
    assert (task["status"], task["sent"]) == ("expired", "no")
    assert len(await environment.ledger()) == 1


async def test_a_replacement_that_is_not_valid_for_long_is_sent(environment: OrderEnvironment) -> None:
    """The cancel has half of the time."""
    old = await resting(environment)
    valid_until = datetime.now(UTC) + timedelta(seconds=1.9)
    task = (await put_in_place_of(environment, old, price=Decimal(1405), valid_until=valid_until)).document
    assert task["status"] == "completed"
    place, cancel = await now(environment, task), await now(environment, await cancel_of(environment))
    assert place.send_by == valid_until
    assert cancel.send_by < place.send_by
