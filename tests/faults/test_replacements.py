"""An order that takes another one's place: never beside it, and never after a fill that its caller had not seen."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any, Literal

import pytest

from app.errors import BadInput, NotFound
from app.orders.entry.acceptance import Answer, Caller
from app.orders.entry.preconditions import NotAsSeen
from app.orders.state.audit import Actor
from app.orders.state.model import TaskStatus
from app.orders.state.new_tasks import OrderLine, Replaces
from simulator.server import RunningSimulator
from tests.desk import ACCOUNT, Desk, open_desk, order
from tests.desk_waits import after_the_lease, end_of, now, reaches, read_again, struck
from tests.faults.judge import judged
from tests.faults.test_crash_rows import resting
from tests.integration.orders.operators import operations_of, withdrawals_of
from tests.waiting import until

CANCELS = {"method": "DELETE", "path": "/orders/*"}


async def shown(desk: Desk, order_id: str) -> Mapping[str, Any]:
    return await desk.service.queries.order(order_id)


async def put_in_place_of(
    desk: Desk,
    order_id: str,
    *,
    version: str | None = None,
    wait_s: float = 20.0,
    key: str | None = None,
    **changes: Any,
) -> Answer:
    """Ask for another order of the same side in its place, by default at the version that it has now."""
    seen = version or str((await shown(desk, order_id))["version"])
    return await desk.service.place(
        OrderLine(request=order(**changes)),
        account_id=ACCOUNT,
        caller=Caller(principal="t", idem_key=key),
        wait_s=wait_s,
        replaces=Replaces(order_id=order_id, version=seen),
    )


async def fill(desk: Desk, order_id: str, quantity: int) -> None:
    (await desk.sim.post(f"/_sim/orders/{order_id}", json={"fill": quantity})).raise_for_status()


@asynccontextmanager
async def replacing(
    desk: Desk, old: str, *, fresh: Literal["for_long", "as_stored"] = "for_long"
) -> AsyncIterator[Mapping[str, Any]]:
    """A replacement that waits inside the block, because no cancel gets through there; behind it they do.

    It stays fresh however slow the machine is, unless it is to be ``as_stored``.
    """
    await desk.fault("drop_before_read", **CANCELS, times=-1)
    task = (await put_in_place_of(desk, old, price=Decimal(1405), wait_s=0.0)).document
    if fresh == "for_long":
        await stay_fresh(desk, for_s=120)
    await struck(desk, "drop_before_read")
    yield task
    (await desk.sim.delete("/_sim/faults")).raise_for_status()


async def left_behind(desk: Desk) -> Mapping[str, Any]:
    """A replacement whose owner has died before a cancel got through."""
    await desk.set_price("NSE:INFY", 1500)
    async with replacing(desk, await resting(desk)) as task:
        await desk.crash()
    return task


async def stay_fresh(desk: Desk, *, for_s: int) -> None:
    async with desk.database.connection() as connection:
        await connection.execute(
            "UPDATE order_task SET send_by = clock_timestamp() + make_interval(secs => %s)", (for_s,)
        )


async def cancel_of(desk: Desk) -> Mapping[str, Any]:
    """The one cancel that there is."""
    (cancel,) = [one for one in await tasks_of(desk) if one["operation"] == "cancel"]
    return cancel


async def tasks_of(desk: Desk) -> Sequence[Mapping[str, Any]]:
    page = await desk.service.queries.tasks(ACCOUNT, status=None, before=None, limit=100)
    return page.data


async def test_the_new_order_goes_when_the_old_one_is_gone(desk: Desk) -> None:
    """One is live at any time: the old one is cancelled, and the new one was sent after that."""
    old = await resting(desk)
    task = (await put_in_place_of(desk, old, price=Decimal(1405), quantity=12)).document
    assert (task["status"], task["replaces"]) == ("completed", old)
    first, second = await desk.ledger()
    assert (first["order_id"], first["state"], first["filled_quantity"]) == (old, "CANCELLED", 0)
    assert second["order_id"] == task["order_id"]
    ended, sent = (await now(desk, await cancel_of(desk))).finished_at, (await now(desk, task)).last_sent_at
    assert ended is not None
    assert sent is not None
    assert ended < sent


async def test_nothing_goes_while_the_old_one_may_live(desk: Desk) -> None:
    """No cancel gets through: the new order waits, and goes when one does."""
    old = await resting(desk)
    async with replacing(desk, old) as task:
        await read_again(desk, 3)
        assert (await now(desk, task)).status is TaskStatus.PENDING
        assert len(await desk.ledger()) == 1
    assert (await end_of(desk, task))["status"] == "completed"
    assert [row["state"] for row in await desk.ledger()] == ["CANCELLED", "OPEN"]


async def test_a_cancel_that_never_gets_through_costs_the_new_order_not_the_old_one(desk: Desk) -> None:
    """It expires unsent, and says so; the old order lives on, as its row shows."""
    old = await resting(desk)
    async with replacing(desk, old) as task:
        await stay_fresh(desk, for_s=0)
        ended = await end_of(desk, task)
        assert (ended["status"], ended["sent"]) == ("expired", "no")
        await end_of(desk, await cancel_of(desk))
    await read_again(desk, 3)
    assert [(row["order_id"], row["state"]) for row in await desk.ledger()] == [(old, "OPEN")]


async def test_the_cancel_is_over_before_the_order_that_follows_it(desk: Desk) -> None:
    """By the time of an answer: a cancel that leaves in its last moment still lets the new order go."""
    old = await resting(desk)
    async with replacing(desk, old, fresh="as_stored") as task:
        place, cancel = await now(desk, task), await now(desk, await cancel_of(desk))
    assert (place.send_by - cancel.send_by).total_seconds() == desk.parts.settings.send_timeout_s


async def test_an_old_order_that_fills_instead_is_not_replaced(desk: Desk) -> None:
    """The exchange filled it before the cancel: nothing takes its place, and the answer says why."""
    old = await resting(desk)
    await desk.fault("cancel_fill_race", **CANCELS)
    task = (await put_in_place_of(desk, old, price=Decimal(1405))).document
    assert (task["status"], task["sent"]) == ("cancelled", "no")
    assert task["last_error"]["code"] == "REPLACED_ORDER_FILLED"
    assert [row["order_id"] for row in await desk.ledger()] == [old]


async def test_a_further_fill_before_the_cancel_is_not_replaced(desk: Desk) -> None:
    """Four of ten filled that the caller had not seen: an order for ten would be four too many."""
    old = await resting(desk)
    async with replacing(desk, old) as task:
        await fill(desk, old, 4)
    ended = await end_of(desk, task)
    assert (ended["status"], ended["last_error"]["code"]) == ("cancelled", "REPLACED_ORDER_FILLED")
    (row,) = await desk.ledger()
    assert (row["state"], row["filled_quantity"]) == ("CANCELLED", 4)


async def test_what_had_filled_before_is_no_hindrance(desk: Desk) -> None:
    """The caller saw four of ten filled and asks for the other six at another price."""
    old = await resting(desk)
    await fill(desk, old, 4)

    async def seen() -> bool:
        desk.orders.wakeups.on_order_hint(ACCOUNT)
        return bool((await shown(desk, old))["filled_quantity"] == 4)

    await until(seen)
    task = (await put_in_place_of(desk, old, price=Decimal(1405), quantity=6)).document
    assert task["status"] == "completed"
    assert [(row["state"], row["filled_quantity"]) for row in await desk.ledger()] == [("CANCELLED", 4), ("OPEN", 0)]


async def test_a_crash_between_the_two_is_taken_up_by_the_next_owner(
    database_url: str, simulator: RunningSimulator
) -> None:
    """Both are durable in one commit: the next owner cancels the one and then sends the other, once."""
    async with open_desk(database_url, simulator.url, owner="first") as desk:
        task = await left_behind(desk)
    await after_the_lease(database_url)
    async with open_desk(database_url, simulator.url, owner="second") as desk:
        assert (await end_of(desk, task))["status"] == "completed"
        assert [row["state"] for row in await desk.ledger()] == ["CANCELLED", "OPEN"]
        await judged(database_url, simulator)


async def test_a_replacement_that_is_taken_back_leaves_the_cancel(desk: Desk) -> None:
    """Its caller gave the old order up; nothing takes its place any more."""
    old = await resting(desk)
    async with replacing(desk, old) as task:
        assert (await withdrawals_of(desk).withdraw((await now(desk, task)).task_id)).over
    assert (await end_of(desk, await cancel_of(desk)))["status"] == "completed"
    await read_again(desk, 2)
    assert [row["state"] for row in await desk.ledger()] == ["CANCELLED"]


async def test_what_cannot_be_replaced_is_refused_with_nothing_done(desk: Desk) -> None:
    """Another version, an order at its end, another side, an unknown order, a halt: the old order stays as it is."""
    old = await resting(desk)
    with pytest.raises(NotAsSeen) as stale:
        await put_in_place_of(desk, old, version="0" * 32)
    assert (stale.value.code, stale.value.sent) == ("VERSION_STALE", "no")
    with pytest.raises(BadInput, match="only another such one replaces it"):
        await put_in_place_of(desk, old, transaction_type="SELL")
    with pytest.raises(BadInput, match="NSE:INFY"):
        await put_in_place_of(desk, old, tradingsymbol="SBIN")
    with pytest.raises(NotFound):
        await put_in_place_of(desk, "1", version="0" * 32)
    operations = operations_of(desk)
    by = Actor(principal="t")
    await operations.halt(ACCOUNT, mode="halt", open_orders="leave", reason="test", by=by)
    with pytest.raises(NotAsSeen, match="nothing would take its place") as halted:
        await put_in_place_of(desk, old)
    assert halted.value.code == "HALTED"
    await operations.resume(ACCOUNT, reason="test", by=by)
    assert [one["operation"] for one in await tasks_of(desk)] == ["place"]
    await desk.service.cancel(old, account_id=ACCOUNT, caller=Caller(principal="t"), wait_s=20)
    await reaches(desk, (await tasks_of(desk))[0], TaskStatus.COMPLETED)

    async def gone() -> bool:
        return bool((await shown(desk, old))["state"] == "cancelled")

    await until(gone)
    with pytest.raises(NotAsSeen) as final:
        await put_in_place_of(desk, old)
    assert (final.value.code, final.value.retryable) == ("ORDER_ALREADY_FINAL", "no")


async def test_fifty_equal_replacements_are_one(desk: Desk) -> None:
    """One key, one cancel, one order; asked again when the old order is long gone, it is still that one."""
    old = await resting(desk)
    version = str((await shown(desk, old))["version"])
    asked = [
        put_in_place_of(desk, old, version=version, key="replace-0123456789", price=Decimal(1405)) for _ in range(50)
    ]
    answers = await asyncio.gather(*asked)
    again = await put_in_place_of(desk, old, version=version, key="replace-0123456789", price=Decimal(1405))
    assert again.replayed
    assert {answer.resource_id for answer in answers} == {again.resource_id}
    assert sorted(one["operation"] for one in await tasks_of(desk)) == ["cancel", "place", "place"]
    assert [row["state"] for row in await desk.ledger()] == ["CANCELLED", "OPEN"]
