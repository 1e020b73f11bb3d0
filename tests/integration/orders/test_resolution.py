"""An operator's decision about doubts and dead letters: what it can do, and what overrules it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from app.broker.orders import OrderChanges
from app.errors import BadInput, Conflict, NotFound
from app.orders.entry.acceptance import Caller
from app.orders.operators import resolution_store as store
from app.orders.operators.resolution import OperatorDecision
from app.orders.state.model import Resolution, TaskStatus
from simulator.server import RunningSimulator
from tests.order_environment import ACCOUNT, OPERATOR, SHORT_SETTINGS, OrderEnvironment, open_order_environment
from tests.order_waits import now, reaches
from tests.waiting import until

ME = Caller(principal="t")
LONG_DOUBTS = replace(SHORT_SETTINGS, in_doubt_window_s=120.0)


@pytest.fixture
async def environment(database_url: str, simulator: RunningSimulator) -> AsyncIterator[OrderEnvironment]:
    """An environment whose doubts last as long as a test."""
    async with open_order_environment(database_url, simulator.url, settings=LONG_DOUBTS) as opened:
        await opened.set_price("NSE:INFY", 1500)
        yield opened


def decision(resolution: Resolution, order_id: str | None = None) -> OperatorDecision:
    return OperatorDecision(resolution=resolution, note="contract note", order_id=order_id)


async def resolve(environment: OrderEnvironment, task: Mapping[str, Any], what: OperatorDecision) -> Mapping[str, Any]:
    return await environment.orders.operators.resolutions.resolve(UUID(task["task_id"]), what, by=OPERATOR)


async def in_doubt(environment: OrderEnvironment, **changes: Any) -> Mapping[str, Any]:
    """A task whose request was dropped before the broker read it."""
    await environment.fault("drop_before_read")
    return await reaches(environment, await environment.place(wait_s=0.0, **changes), TaskStatus.IN_DOUBT)


async def dead_letter(environment: OrderEnvironment) -> Mapping[str, Any]:
    """The same, on a day whose book is gone."""
    task = await in_doubt(environment)
    async with environment.database.connection() as connection:
        await connection.execute(
            "UPDATE order_task SET trade_date = trade_date - 3 WHERE task_id = %s", (UUID(task["task_id"]),)
        )
    return await reaches(environment, task, TaskStatus.DEAD_LETTER)


async def refused(environment: OrderEnvironment, task: Mapping[str, Any], what: OperatorDecision) -> str:
    with pytest.raises(Conflict) as caught:
        await resolve(environment, task, what)
    return caught.value.code


async def test_a_doubt_of_a_day_that_is_over_waits_for_an_operator(environment: OrderEnvironment) -> None:
    """Its book is gone, so absence can no longer be proven: dead letter, with an alarm and an event."""
    task = await dead_letter(environment)
    stored = await environment.service.queries.task(UUID(task["task_id"]))
    assert stored.error_code == "DAY_ENDED_IN_DOUBT"
    alarms = await environment.orders.operators.resolutions.alarms(limit=10)
    assert [(one.kind, one.subject) for one in alarms] == [("dead_letter", task["task_id"])]
    assert (await environment.events())[-1][2]["task_status"] == "dead_letter"


async def test_not_placed_ends_a_doubt_as_failed(environment: OrderEnvironment) -> None:
    """With an event and an entry in the trail; what was sent stays unknown, because a decision is no proof."""
    task = await in_doubt(environment)
    ended = await resolve(environment, task, decision("not_placed"))
    assert (ended["status"], ended["sent"]) == ("failed", "unknown")
    assert "contract note" in ended["last_error"]["message"]
    assert (await environment.events())[-1][1] == "order_failed"
    trail = (await environment.orders.operators.halts.audit(before=None, limit=5)).data
    assert (trail[0]["action"], trail[0]["subject"]) == ("resolve_not_placed", task["task_id"])
    assert (trail[0]["before"]["status"], trail[0]["after"]["note"]) == ("in_doubt", "contract note")
    assert await refused(environment, task, decision("not_placed")) == "TASK_NOT_RESOLVABLE"


async def test_placed_adopts_an_order_that_the_book_shows(environment: OrderEnvironment) -> None:
    """A look-alike without a tag becomes the task's order by an operator's decision only."""
    task = await in_doubt(environment)
    answer = await environment.sim.post(
        "/orders/regular",
        headers={"Authorization": "token simkey:simtoken"},
        data={"exchange": "NSE", "tradingsymbol": "INFY", "transaction_type": "BUY", "quantity": "10",
              "product": "MIS", "order_type": "LIMIT", "price": "1400"},
    )  # fmt: skip
    order_id = answer.json()["data"]["order_id"]
    with pytest.raises(BadInput) as caught:
        await resolve(environment, task, decision("placed"))
    assert caught.value.code == "ORDER_ID_MISSING"
    assert await refused(environment, task, decision("placed", "999")) == "ORDER_NOT_IN_BOOK"

    async def seen() -> bool:
        environment.orders.wakeups.on_order_hint(ACCOUNT)
        page = await environment.service.queries.orders(ACCOUNT, after=None, limit=10)
        return any(row["order_id"] == order_id for row in page.data)

    await until(seen)
    ended = await resolve(environment, task, decision("placed", order_id))
    assert (ended["status"], ended["order_id"], ended["sent"]) == ("completed", order_id, "yes")
    order = await environment.service.queries.order(order_id)
    assert order["task_id"] == task["task_id"]
    assert (await environment.events())[-1][1] == "order_placed"


async def test_placed_takes_no_order_of_another_task(environment: OrderEnvironment) -> None:
    """It has one already: an operator cannot take it away."""
    other = await shown_order(environment)
    task = await in_doubt(environment)
    assert await refused(environment, task, decision("placed", other)) == "ORDER_OF_ANOTHER_TASK"


@pytest.mark.parametrize("changes", [{"transaction_type": "SELL"}, {"tradingsymbol": "SBIN", "price": Decimal(700)}])
async def test_placed_takes_no_order_of_another_shape(environment: OrderEnvironment, changes: dict[str, Any]) -> None:
    """Another side or another instrument is another order, unless it has the task's tag."""
    order_id = await shown_order(environment, **{"price": Decimal(1600), **changes})
    task = await in_doubt(environment)
    await environment.crash()  # no read gives the row back to its own task
    await change(environment, "broker_order SET task_id = NULL")
    assert await refused(environment, task, decision("placed", order_id)) == "ORDER_DIFFERS"
    tag = "(SELECT tag_base || '1' FROM order_task WHERE status = 'in_doubt')"
    await change(environment, f"broker_order SET tag = {tag}")
    ended = await resolve(environment, task, decision("placed", order_id))
    assert (ended["status"], ended["order_id"]) == ("completed", order_id)


async def test_placed_takes_no_order_of_an_earlier_day(environment: OrderEnvironment) -> None:
    """The broker's ids repeat: yesterday's order was there before the task."""
    order_id = await shown_order(environment)
    task = await in_doubt(environment)
    await environment.crash()
    await change(environment, "broker_order SET task_id = NULL, trade_date = trade_date - 1")
    assert await refused(environment, task, decision("placed", order_id)) == "ORDER_NOT_IN_BOOK"


@pytest.mark.parametrize("lost", ["tag = NULL", "task_id = NULL"])
async def test_what_the_book_shows_cannot_be_called_not_placed(environment: OrderEnvironment, lost: str) -> None:
    """Its tag, or what an earlier read has found, is stronger than an operator's word."""
    task = await environment.place()
    await until(lambda: is_shown(environment, task["order_id"]))
    await environment.crash()
    await change(environment, f"broker_order SET {lost}")
    await change(environment, "order_task SET status = 'in_doubt', order_id = NULL, finished_at = NULL")
    assert await refused(environment, task, decision("not_placed")) == "ORDER_IN_BOOK"
    ended = await resolve(environment, task, decision("placed", task["order_id"]))
    assert ended["status"] == "completed"


@pytest.mark.parametrize("operation", ["cancel", "modify"])
async def test_a_decision_about_a_cancel_or_a_modification(environment: OrderEnvironment, operation: str) -> None:
    """It came about, or it did not; no order id is asked for, and it is never queued again."""
    ends = []
    for resolution in ("placed", "not_placed"):
        order_id = await shown_order(environment)
        command = await command_in_doubt(environment, order_id, operation)
        assert await refused(environment, command, decision("requeue")) == "NOT_A_PLACEMENT"
        ended = await resolve(environment, command, decision(resolution))
        ends.append((ended["status"], ended["sent"], (ended["last_error"] or {}).get("code")))
    assert ends == [("completed", "yes", None), ("failed", "unknown", "NOT_CONFIRMED")]


async def test_a_task_that_was_refused_is_not_queued_again(environment: OrderEnvironment) -> None:
    """Its end is proven: the client may ask anew."""
    await environment.fault("status", params={"code": 400, "error_type": "InputException", "message": "Invalid"})
    task = await environment.place()
    assert task["status"] == "failed"
    assert await refused(environment, task, decision("requeue")) == "TASK_NOT_RESOLVABLE"


async def change(environment: OrderEnvironment, rows: str) -> None:
    """What the database has become."""
    async with environment.database.connection() as connection:
        await connection.execute(f"UPDATE {rows}")


async def shown_order(environment: OrderEnvironment, **changes: Any) -> str:
    """The id of a resting order of another task, once the book has shown it."""
    order_id = str((await environment.place(**{"price": Decimal(1390), **changes}))["order_id"])
    await until(lambda: is_shown(environment, order_id))
    return order_id


async def is_shown(environment: OrderEnvironment, order_id: str) -> bool:
    return (await environment.service.queries.order(order_id))["status"] is not None


async def command_in_doubt(environment: OrderEnvironment, order_id: str, operation: str) -> Mapping[str, Any]:
    """A cancel or a modification without an answer, while the book cannot be read."""
    await environment.fault("status", method="GET", path="/orders", times=-1, params={"code": 502})
    method = "DELETE" if operation == "cancel" else "PUT"
    await environment.fault("hang", method=method, path="/orders/*", times=-1, params={"ms": 20_000, "process": False})
    if operation == "cancel":
        answer = await environment.service.cancel(order_id, account_id=None, caller=ME, wait_s=0.0)
    else:
        changes = OrderChanges(price=Decimal(1391))
        answer = await environment.service.modify(order_id, changes, account_id=None, caller=ME, wait_s=0.0)
    found = await reaches(environment, answer.document, TaskStatus.IN_DOUBT)
    await environment.sim.delete("/_sim/faults")
    return found


async def test_a_task_in_doubt_is_never_queued_again(environment: OrderEnvironment) -> None:
    """It may have been placed: that question comes first."""
    task = await in_doubt(environment)
    assert await refused(environment, task, decision("requeue")) == "STILL_IN_DOUBT"
    assert await environment.ledger() == []


async def test_requeue_is_a_new_task_under_a_new_tag_once(environment: OrderEnvironment) -> None:
    """The old one is given up, the new one says which it supersedes; a second requeue is refused."""
    task = await dead_letter(environment)
    fresh = await resolve(environment, task, decision("requeue"))
    assert fresh["supersedes"] == task["task_id"]
    assert fresh["task_id"] != task["task_id"]

    async def sent() -> bool:
        return len(await environment.ledger()) == 1

    await until(sent)
    old, new = [await environment.service.queries.task(UUID(one["task_id"])) for one in (task, fresh)]
    assert old.status is TaskStatus.FAILED
    assert old.tag_base != new.tag_base
    assert await refused(environment, task, decision("requeue")) == "ALREADY_REQUEUED"
    assert len(await environment.ledger()) == 1


async def test_a_completed_task_has_nothing_to_resolve(environment: OrderEnvironment) -> None:
    """A wrong state has an error code; an unknown task is not found."""
    task = await environment.place()
    for resolution in ("placed", "not_placed", "requeue"):
        assert await refused(environment, task, decision(resolution, task["order_id"])) == "TASK_NOT_RESOLVABLE"
    with pytest.raises(NotFound):
        await environment.orders.operators.resolutions.resolve(UUID(int=5), decision("not_placed"), by=OPERATOR)


async def test_the_book_wins_over_the_decision(environment: OrderEnvironment) -> None:
    """A task that an operator gave up surfaces: it is cancelled, and an alarm says so."""
    await environment.fault("late_visible", params={"ms": 3500})
    await environment.fault("drop_after_accept")
    task = await reaches(environment, await environment.place(wait_s=0.0), TaskStatus.IN_DOUBT)
    ended = await resolve(environment, task, decision("not_placed"))
    assert ended["status"] == "failed"

    async def cancelled() -> bool:
        environment.orders.wakeups.on_order_hint(ACCOUNT)
        return [row["state"] for row in await environment.ledger()] == ["CANCELLED"]

    await until(cancelled)
    found = await now(environment, task)
    assert found.status is TaskStatus.COMPLETED
    async with environment.database.connection() as connection:
        assert len(await store.orders_under_tag(connection, found)) == 1
    assert [one.kind for one in await environment.orders.operators.resolutions.alarms(limit=5)] == ["late_order"]
