"""The tags of orders with an idempotency key, on the wire: each follows from the key, and no two orders share one."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

from app.broker.orders import OrderType, TransactionType
from app.orders.operators.resolution import OperatorDecision
from app.orders.state.tags import ClientKey, TagOrigin
from tests.order_environment import ACCOUNT, OPERATOR, OrderEnvironment
from tests.order_requests import order
from tests.order_waits import end_by_hints

KEY = "a-key-of-a-client-1"
ORDER = TagOrigin(account_id=ACCOUNT, key=ClientKey(principal="t", idem_key=KEY))


def expected(environment: OrderEnvironment, *origins: TagOrigin) -> list[str]:
    return sorted(f"{environment.parts.tagger.fresh(origin)}1" for origin in origins)


async def tags_at_the_exchange(environment: OrderEnvironment) -> list[str]:
    return sorted(row["tag"] for row in await environment.ledger())


async def test_a_single_order_and_the_legs_of_a_batch_have_the_tags_of_their_keys(
    environment: OrderEnvironment,
) -> None:
    """The single order's key is used for a batch by another client: other tags, because it is another client."""
    await environment.place(key=KEY)
    await environment.batch([order(), order()], key="a-key-of-a-client-2")
    batch = replace(ORDER, key=ClientKey(principal="t", idem_key="a-key-of-a-client-2"), kind="leg")
    wanted = expected(environment, ORDER, batch, replace(batch, leg=1))
    assert await tags_at_the_exchange(environment) == wanted


async def test_an_order_that_is_queued_again_has_the_tag_of_its_generation(environment: OrderEnvironment) -> None:
    """Twice given up and twice queued again: three orders of one key under three tags."""
    await environment.fault("drop_before_read", times=2)
    task = await environment.place(key=KEY, wait_s=0.5)
    resolutions = environment.orders.operators.resolutions
    for _ in range(2):
        assert (await end_by_hints(environment, task))["status"] == "failed"
        again = OperatorDecision(resolution="requeue", note="the book has not shown it")
        task = await resolutions.resolve(UUID(task["task_id"]), again, by=OPERATOR)
    assert (await end_by_hints(environment, task))["status"] == "completed"
    assert await tags_at_the_exchange(environment) == expected(environment, ORDER.follow_up("requeue", generation=2))


async def test_a_replacement_and_a_square_off_have_tags_of_their_own(environment: OrderEnvironment) -> None:
    """The square-off is derived from the batch's key and its leg, the replacement from its request's own key."""
    await environment.set_price("NSE:INFY", 1500, frozen=True)
    refused = {"code": 400, "error_type": "MarginException", "message": "Insufficient funds", "process": False}
    await environment.fault("status", after=1, params=refused)
    filled = order(order_type=OrderType.MARKET, price=None, quantity=4)
    done = await environment.batch([filled, order()], key=KEY, on_filled="square_off")
    assert done["status"] == "rolled_back_with_fills"
    leg = replace(ORDER, kind="leg")
    assert await tags_at_the_exchange(environment) == expected(environment, leg, leg.follow_up("square_off"))
    sides = {row["request"]["transaction_type"] for row in await environment.ledger()}
    assert sides == {TransactionType.BUY, TransactionType.SELL}
