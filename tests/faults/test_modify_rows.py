"""Modifications whose answer is late or lost: the order's row decides, once the book shows its present state."""

from __future__ import annotations

import asyncio
import time
from decimal import Decimal

import pytest

from app.broker.orders import OrderChanges
from app.orders.entry.acceptance import Caller
from app.orders.entry.outcome_wait import Answer
from app.orders.entry.preconditions import NotAsSeen
from app.orders.state.model import TaskStatus
from tests.faults.test_crash_rows import resting
from tests.order_environment import OrderEnvironment
from tests.order_waits import end_of, reaches, read_again, struck
from tests.waiting import until

CALLER = Caller(principal="t")


async def reprice(
    environment: OrderEnvironment, order_id: str, price: int, *, wait_s: float, only_if: frozenset[str] | None = None
) -> Answer:
    changes = OrderChanges(price=Decimal(price))
    return await environment.service.modify(
        order_id, changes, account_id=None, caller=CALLER, wait_s=wait_s, only_if=only_if
    )


async def test_a_modification_that_fills_the_order_is_not_called_failed(environment: OrderEnvironment) -> None:
    """The book shows the filled order before the answer comes: it was modified, and that is why it filled."""
    order_id = await resting(environment)
    await environment.fault("hang", method="PUT", path="/orders/*", params={"ms": 1000})
    asked = asyncio.create_task(reprice(environment, order_id, 1510, wait_s=20.0))
    await struck(environment, "hang")
    await read_again(environment, 3)
    assert (await asked).document["status"] == "completed"
    shown = await environment.service.queries.order(order_id)
    assert (shown["state"], shown["price"]) == ("completed", 1510)


async def test_a_version_is_stale_while_another_modification_is_on_its_way(environment: OrderEnvironment) -> None:
    """Who has seen the order has not seen that change; after it has ended, its own version counts."""
    order_id = await resting(environment)

    async def version() -> str:
        return str((await environment.service.queries.order(order_id))["version"])

    seen = await version()
    await environment.fault("hang", method="PUT", path="/orders/*", params={"ms": 1500})
    hanging = asyncio.create_task(reprice(environment, order_id, 1405, wait_s=20.0))
    await struck(environment, "hang")
    with pytest.raises(NotAsSeen, match="on its way"):
        await reprice(environment, order_id, 1410, wait_s=0.0, only_if=frozenset({seen}))
    assert (await hanging).document["status"] == "completed"

    async def changed() -> bool:
        return await version() != seen

    await until(changed)
    after = await reprice(environment, order_id, 1410, wait_s=20.0, only_if=frozenset({await version()}))
    assert after.document["status"] == "completed"


async def test_a_book_without_the_order_does_not_end_a_modification(environment: OrderEnvironment) -> None:
    """No read for longer than the window, then one that lacks the row: what we last saw of it proves nothing now."""
    order_id = await resting(environment)
    await environment.fault("status", method="GET", path="/orders", times=-1, params={"code": 502})
    await environment.fault("drop_after_accept", method="PUT", path="/orders/*")
    answer = await reprice(environment, order_id, 1405, wait_s=0.0)
    await reaches(environment, answer.document, TaskStatus.IN_DOUBT)
    await asyncio.sleep(environment.parts.settings.in_doubt_window_s + 1.0)
    await environment.sim.delete("/_sim/faults")
    await environment.fault("shrink_book", method="GET", path="/orders", times=1)
    assert (await end_of(environment, answer.document))["status"] == "completed"


async def test_a_stale_book_does_not_take_a_modification_back(environment: OrderEnvironment) -> None:
    """The row of before the change is older by the exchange's stamp: no event says the old price again."""
    order_id = await resting(environment)
    between = time.monotonic() + 0.5  # when the order shows its old price
    await asyncio.sleep(1.0)
    await reprice(environment, order_id, 1405, wait_s=20.0)

    async def shown() -> bool:
        return bool((await environment.service.queries.order(order_id))["price"] == 1405)

    await until(shown)
    before = len(await environment.events())
    age_ms = round((time.monotonic() - between) * 1000)
    await environment.fault("stale_book", method="GET", path="/orders", times=3, params={"ms": age_ms})
    await read_again(environment, 3)
    await struck(environment, "stale_book")
    await asyncio.sleep(0.3)  # what was read is stored
    assert (await environment.events())[before:] == []
    assert (await environment.service.queries.order(order_id))["price"] == 1405
