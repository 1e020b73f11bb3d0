"""Mass cancels: what matches is cancelled until the book shows its end, and nothing else is touched."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import pytest

from app.broker.orders import OrderType, Product, TransactionType
from app.errors import BadInput, Conflict, NotFound
from app.orders.entry.acceptance import Caller
from app.orders.entry.outcome_wait import Answer
from app.orders.state.mass_cancels import OrderFilter
from simulator.server import RunningSimulator
from tests.faults.test_removal import CANCELS, NOT_NOW, place_elsewhere, states, until_shown
from tests.order_environment import ACCOUNT, OrderEnvironment
from tests.order_waits import end_of, read_again

KEY = "cancel-everything-1"


async def cancel(environment: OrderEnvironment, *, key: str | None = KEY, wait_s: float = 20.0, **which: Any) -> Answer:
    wanted = OrderFilter(account_id=which.pop("account_id", ACCOUNT), **which)
    return await environment.orders.mass_cancels.cancel(
        wanted, caller=Caller(principal="t", idem_key=key), wait_s=wait_s
    )


def outcomes(answer: Answer) -> list[str]:
    return sorted(str(result["outcome"]) for result in answer.document["results"])


async def resting(environment: OrderEnvironment, **changes: Any) -> Mapping[str, Any]:
    """A live order that the book has shown."""
    placed = await environment.place(**{"price": Decimal(1400), **changes})
    await until_shown(environment, placed["order_id"])
    return placed


async def test_everything_of_an_account_is_cancelled(environment: OrderEnvironment) -> None:
    """Without a field every live order matches; what has ended is not touched, and new orders go."""
    filled = await environment.place(order_type=OrderType.MARKET, price=None)
    await read_again(environment, 2)
    await resting(environment)
    await resting(environment, transaction_type=TransactionType.SELL, product=Product.CNC, price=Decimal(1600))
    answer = await cancel(environment)
    assert answer.final
    assert (answer.document["total"], answer.document["cancelled"]) == (2, 2)
    assert filled["task_id"] not in {result["task_id"] for result in answer.document["results"]}
    assert sorted(await states(environment)) == ["CANCELLED", "CANCELLED", "COMPLETE"]
    assert (await environment.place(price=Decimal(1401)))["status"] == "completed"
    await read_again(environment, 2)
    assert "OPEN" in await states(environment)


@pytest.mark.parametrize(
    ("which", "gone"),
    [
        ({"tradingsymbol": "INFY"}, {"INFY"}),
        ({"exchange": "NSE", "tradingsymbol": "SBIN"}, {"SBIN"}),
        ({"exchange": "BSE"}, set()),
        ({"transaction_type": "BUY"}, {"INFY", "SBIN"}),
        ({"transaction_type": "SELL"}, set()),
        ({"tag": "mine"}, set()),
        ({"older_than_s": 3600.0}, set()),
        ({"older_than_s": 0.0}, {"INFY", "SBIN"}),
    ],
)
async def test_only_what_matches_every_field_is_cancelled(
    environment: OrderEnvironment, which: dict[str, Any], gone: set[str]
) -> None:
    """The others stay as they are."""
    await environment.set_price("NSE:SBIN", 510)
    await resting(environment)
    await resting(environment, tradingsymbol="SBIN", price=Decimal(500))
    answer = await cancel(environment, **which)
    assert answer.final
    cancelled = {row["request"]["tradingsymbol"] for row in await environment.ledger() if row["state"] == "CANCELLED"}
    assert cancelled == gone
    assert answer.document["total"] == len(gone)


async def test_unsent_orders_and_orders_of_unknown_outcome_are_among_them(environment: OrderEnvironment) -> None:
    """The one without an answer is cancelled as soon as the book shows it; those behind it are never sent."""
    await environment.fault("drop_after_accept")
    tasks = [await environment.place(price=Decimal(1400 + number), wait_s=0) for number in range(4)]
    answer = await cancel(environment)
    for task in tasks:
        await end_of(environment, task)
    again = await cancel(environment)
    assert again.final
    assert set(outcomes(again)) <= {"cancelled", "not_placed"}
    assert answer.document["total"] == 4
    assert set(await states(environment)) <= {"CANCELLED"}


async def test_a_refused_cancel_is_followed_by_another(environment: OrderEnvironment) -> None:
    """Refused twice, the order is gone in the end, and the answer waits for that."""
    await resting(environment)
    await environment.fault("status", params=NOT_NOW, times=2, **CANCELS)
    answer = await cancel(environment)
    assert answer.final
    assert outcomes(answer) == ["cancelled"]
    assert await states(environment) == ["CANCELLED"]


async def test_orders_of_other_applications_are_among_them(
    environment: OrderEnvironment, simulator: RunningSimulator
) -> None:
    """They match by the fields of the book."""
    other = await place_elsewhere(simulator, tag="theirs")
    await read_again(environment, 2)
    assert (await cancel(environment, tag="mine")).document["total"] == 0
    answer = await cancel(environment, key="another-key-of-16", tag="theirs")
    assert answer.final
    assert [result["order_id"] for result in answer.document["results"]] == [other]
    assert answer.document["results"][0]["task_id"] is None
    assert await states(environment) == ["CANCELLED"]


async def test_a_repeated_key_means_the_same_orders(environment: OrderEnvironment) -> None:
    """Orders that came later are not touched by it."""
    await resting(environment)
    first = await cancel(environment)
    await resting(environment)
    again = await cancel(environment)
    assert again.replayed
    assert again.document["results"] == first.document["results"]
    assert sorted(await states(environment)) == ["CANCELLED", "OPEN"]


async def test_a_key_of_another_filter_is_refused(environment: OrderEnvironment) -> None:
    """And so is a key that an order was placed under."""
    await cancel(environment)
    with pytest.raises(Conflict) as caught:
        await cancel(environment, tradingsymbol="INFY")
    assert caught.value.code == "IDEMPOTENCY_KEY_REUSED"
    await environment.place(price=Decimal(1400), key="k" * 16)
    with pytest.raises(Conflict):
        await cancel(environment, key="k" * 16)


async def test_a_key_and_a_known_account_are_required(environment: OrderEnvironment) -> None:
    """Nothing is cancelled without them."""
    with pytest.raises(BadInput) as caught:
        await cancel(environment, key=None)
    assert caught.value.code == "IDEMPOTENCY_KEY_MISSING"
    with pytest.raises(NotFound):
        await cancel(environment, account_id="nobody-knows")


async def test_one_key_many_times_at_once_is_one_mass_cancel(environment: OrderEnvironment) -> None:
    """Concurrent repetitions get the answer of the one that was stored."""
    await resting(environment)
    answers = await asyncio.gather(*(cancel(environment) for _ in range(10)))
    assert len({answer.resource_id for answer in answers}) == 1
    assert await states(environment) == ["CANCELLED"]
