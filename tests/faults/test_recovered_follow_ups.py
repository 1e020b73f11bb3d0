"""After a loss of the database: closing positions under a forgotten key, and orders that follow forgotten ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest

from app.broker.orders import OrderType, TransactionType
from app.errors import Conflict
from app.orders.entry.acceptance import Caller
from app.orders.entry.lost_requests import Recovering
from app.orders.operators.resolution import OperatorDecision
from app.orders.risk.exits import PositionFilter
from app.orders.state.tags import ClientKey, TagOrigin
from tests.faults.test_position_close import bought, net, until_flat
from tests.faults.test_recovery import KEY, is_over, is_recovering, opening, remembered, wipe  # noqa: F401 - a fixture
from tests.order_environment import ACCOUNT, OPERATOR, Memory, OrderEnvironment
from tests.order_requests import order
from tests.order_rows import insert_task
from tests.order_waits import after_the_lease, end_by_hints
from tests.waiting import until

Open = Callable[..., AbstractAsyncContextManager[OrderEnvironment]]
ORDER = TagOrigin(account_id=ACCOUNT, key=ClientKey(principal="t", idem_key=KEY))
REFUSED = {"code": 400, "error_type": "MarginException", "message": "Insufficient funds", "process": False}


async def close(environment: OrderEnvironment, key: str = KEY, **which: Any) -> Mapping[str, Any]:
    caller = Caller(principal="t", idem_key=key)
    wanted = PositionFilter(account_id=ACCOUNT, **which)
    return (await environment.orders.position_closes.close(wanted, tag=None, caller=caller, wait_s=10.0)).document


async def test_a_forgotten_close_ends_with_the_exits_that_it_has_sent(
    opening: Open,  # noqa: F811
    database_url: str,
) -> None:
    """Two positions were closed, and one was opened since. Its client repeats the key: 409 until the window is over,
    then what was sent, for ever; the new position is not touched, and can be closed under another key."""
    async with opening(Memory()) as environment:
        await environment.set_price("NSE:INFY", 1500, frozen=True)
        await environment.set_price("NSE:SBIN", 510, frozen=True)
        await bought(environment, 10)
        await bought(environment, 4, tradingsymbol="SBIN", transaction_type=TransactionType.SELL)
        before = await close(environment)
        await until_flat(environment)
        await bought(environment, 7)
        await remembered(environment)
        await environment.crash()
        await wipe(environment)
        sent = len(await environment.ledger())
    await after_the_lease(database_url)
    async with opening(Memory()) as environment:
        await until(lambda: is_recovering(environment))
        with pytest.raises(Recovering):
            await close(environment)
        await until(lambda: is_over(environment), within_s=30)
        after = await close(environment)
        assert after["status"] == "needs_attention"
        assert "under a new key" in after["error"]["message"]
        legs = [(leg["order_id"], leg["filled_quantity"]) for leg in after["orders"]]
        assert legs == [(leg["order_id"], leg["filled_quantity"]) for leg in before["orders"]]
        assert after["residual"] == []
        assert await close(environment) == after
        for other in ({"product": "CNC"}, {"tradingsymbol": "TCS"}):
            with pytest.raises(Conflict) as reused:
                await close(environment, **other)
            assert reused.value.code == "IDEMPOTENCY_KEY_REUSED"
        assert (await net(environment), len(await environment.ledger())) == ({("INFY", "MIS"): 7}, sent)
        assert (await close(environment, "another-key-of-a-client"))["status"] == "completed"
        await until_flat(environment)


async def test_a_close_that_was_never_sent_is_carried_out_after_the_recovery(
    opening: Open,  # noqa: F811
    database_url: str,
) -> None:
    """The book has no exit under its key: it is a new request then, once."""
    async with opening(Memory()) as environment:
        await environment.set_price("NSE:INFY", 1500, frozen=True)
        await bought(environment, 10)
        await remembered(environment)
        await environment.crash()
        await wipe(environment)
    await after_the_lease(database_url)
    async with opening(Memory()) as environment:
        await until(lambda: is_over(environment), within_s=30)
        assert (await close(environment))["status"] == "completed"
        assert (await close(environment))["orders"][0]["filled_quantity"] == 10
        assert len(await environment.ledger()) == 2


async def forgotten(environment: OrderEnvironment, origin: TagOrigin) -> None:
    """A task that was made of the book's rows under this tag."""
    async with environment.database.transaction() as tx:
        tag_base = environment.parts.tagger.fresh(origin)
        await insert_task(
            tx,
            {"task_id": uuid4(), "status": "completed", "purpose": "recovered", "tag_base": tag_base, "order_id": "1",
             "instrument": "NSE:TCS", "request": {"tradingsymbol": "TCS"}, "sent": "yes"},
        )  # fmt: skip


async def test_an_exit_has_a_tag_of_its_own_beside_one_that_was_forgotten(environment: OrderEnvironment) -> None:
    """The copy does not know the first exit of the leg, and the book has shown it since: the next one is sent."""
    await environment.set_price("NSE:INFY", 1500, frozen=True)
    leg = TagOrigin(account_id=ACCOUNT, key=ORDER.key, kind="leg")
    await forgotten(environment, leg.follow_up("square_off"))
    await environment.fault("status", after=1, params=REFUSED)
    legs = [order(order_type=OrderType.MARKET, price=None, quantity=4, algo_id="NSE:17"), order(price=Decimal(1401))]
    done = await environment.batch(legs, key=KEY, on_filled="square_off")
    assert done["status"] == "rolled_back_with_fills"
    assert done["residual"] == []
    sold = [row for row in await environment.ledger() if row["request"]["transaction_type"] == "SELL"]
    assert [row["tag"][:-1] for row in sold] == [
        environment.parts.tagger.fresh(leg.follow_up("square_off", generation=1))
    ]
    assert [row["request"]["algo_id"] for row in sold] == ["NSE:17"]


async def test_an_operator_can_repeat_an_order_whose_repetition_was_forgotten(environment: OrderEnvironment) -> None:
    await environment.fault("drop_before_read")
    task = await environment.place(key=KEY, wait_s=0.5)
    assert (await end_by_hints(environment, task))["status"] == "failed"
    await forgotten(environment, ORDER.follow_up("requeue", generation=1))
    again = OperatorDecision(resolution="requeue", note="the book has not shown it")
    task = await environment.orders.operators.resolutions.resolve(UUID(task["task_id"]), again, by=OPERATOR)
    assert (await end_by_hints(environment, task))["status"] == "completed"
    assert [row["tag"][:-1] for row in await environment.ledger()] == [
        environment.parts.tagger.fresh(ORDER.follow_up("requeue", generation=2))
    ]
