"""What prevents two live orders where one was wanted, and the cancel of an old order that nothing can follow."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from decimal import Decimal

import pytest

from app.broker.orders import Operation, OrderType, TransactionType, Variety
from app.orders.entry.acceptance import Caller
from app.orders.entry.preconditions import NotAsSeen
from app.orders.risk.halt_store import set_halt
from app.orders.state.audit import Actor
from app.orders.state.engine_settings import BreakerLimits
from app.orders.state.model import TaskStatus
from simulator.server import RunningSimulator
from tests.faults.sender_steps import sender_steps
from tests.faults.test_crash_rows import resting
from tests.faults.test_replacements import cancel_of, left_behind, put_in_place_of, replacing, shown
from tests.order_environment import ACCOUNT, SHORT_SETTINGS, OrderEnvironment, open_order_environment
from tests.order_waits import after_the_lease, end_of, now, reaches, read_again, struck
from tests.waiting import until

BY = Actor(principal="operator")


async def states(environment: OrderEnvironment) -> list[str]:
    return [str(row["state"]) for row in await environment.ledger()]


@pytest.fixture
async def patient(database_url: str, simulator: RunningSimulator) -> AsyncIterator[OrderEnvironment]:
    """An environment where doubts and open breakers last for longer than any test takes."""
    settings = replace(
        SHORT_SETTINGS,
        block_on_doubt_s=300.0,
        in_doubt_window_s=300.0,
        halt_doubts=100,
        halt_doubt_age_s=300.0,
        breaker=BreakerLimits(pause_s=300.0),
    )
    async with open_order_environment(database_url, simulator.url, settings=settings) as environment:
        await environment.set_price("NSE:INFY", 1500)
        yield environment


async def test_two_replacements_of_one_order_are_one(environment: OrderEnvironment) -> None:
    """Two strategies saw the same order: the first takes its place, the second learns that it is being replaced."""
    old = await resting(environment)
    version = str((await shown(environment, old))["version"])
    asked = [
        put_in_place_of(environment, old, version=version, key=f"replace-{name * 12}", price=Decimal(price))
        for name, price in (("a", 1405), ("b", 1406))
    ]
    answers = await asyncio.gather(*asked, return_exceptions=True)
    (refused,) = [one for one in answers if isinstance(one, BaseException)]
    assert isinstance(refused, NotAsSeen)
    assert refused.code in {"VERSION_STALE", "ORDER_ALREADY_FINAL"}
    assert await states(environment) == ["CANCELLED", "OPEN"]


async def test_other_orders_of_the_instrument_do_not_wait_for_a_cancel(environment: OrderEnvironment) -> None:
    """An exit goes while a replacement cannot."""
    old = await resting(environment)
    async with replacing(environment, old) as task:
        exit_ = await environment.place(transaction_type=TransactionType.SELL, order_type=OrderType.MARKET, price=None)
        assert exit_["status"] == "completed"
        assert (await now(environment, task)).status is TaskStatus.PENDING


async def test_a_halt_keeps_the_old_order_as_long_as_the_new_one(environment: OrderEnvironment) -> None:
    """Accepted before the halt: neither goes while it is in force, both say so, and both go when it is lifted."""
    old = await resting(environment)
    async with replacing(environment, old) as task:
        await environment.orders.operators.halts.halt(ACCOUNT, mode="halt", open_orders="leave", reason="test", by=BY)
    for held in (await cancel_of(environment), task):
        await reaches(environment, held, TaskStatus.HELD)
    assert await states(environment) == ["OPEN"]
    await environment.orders.operators.halts.resume(ACCOUNT, reason="test", by=BY)
    assert (await end_of(environment, task))["status"] == "completed"
    assert await states(environment) == ["CANCELLED", "OPEN"]


async def test_a_halt_is_seen_by_the_claim_of_such_a_cancel(environment: OrderEnvironment) -> None:
    """From its commit on, by senders that have not read it yet; a client's own cancel passes."""
    old = await resting(environment)
    sender = await sender_steps(environment)
    await put_in_place_of(environment, old, price=Decimal(1405), wait_s=0.0)
    async with environment.database.transaction() as tx:
        await set_halt(tx, scope=ACCOUNT, mode="halt", reason="test", set_by="test")
    assert await sender.claim() is None
    await environment.service.cancel(old, account_id=None, caller=Caller(principal="t"), wait_s=0.0)
    claimed = await sender.claim()
    assert claimed is not None
    assert (claimed.operation, claimed.purpose) == (Operation.CANCEL, "client")


async def test_a_halt_that_cancels_does_not_count_on_a_cancel_that_it_holds(environment: OrderEnvironment) -> None:
    """The old order is cancelled by a cancel of the halt's own."""
    old = await resting(environment)
    async with replacing(environment, old):
        await environment.orders.operators.halts.halt(ACCOUNT, mode="halt", open_orders="cancel", reason="test", by=BY)

    async def gone() -> bool:
        return await states(environment) == ["CANCELLED"]

    await until(gone)


async def test_a_doubt_on_the_instrument_keeps_the_old_order_too(patient: OrderEnvironment) -> None:
    """The new order would have to wait for the doubt, so the cancel does."""
    old = await resting(patient)
    await patient.fault("drop_before_read")
    other = await patient.place(price=Decimal(1390), wait_s=0.0)
    await reaches(patient, other, TaskStatus.IN_DOUBT)
    await put_in_place_of(patient, old, price=Decimal(1405), wait_s=0.0)
    await read_again(patient, 3)
    assert (await now(patient, await cancel_of(patient))).status is TaskStatus.PENDING
    assert await states(patient) == ["OPEN"]


async def test_an_open_breaker_keeps_the_old_order_too(patient: OrderEnvironment) -> None:
    """Placements have no answers: no new order may be sent, so none is cancelled for one, though the book is read."""
    old = await resting(patient)
    await patient.fault("drop_before_read", times=-1)
    for symbol in ("SBIN", "TCS", "ITC"):
        await patient.place(tradingsymbol=symbol, wait_s=0.0)

    async def opened() -> bool:
        return patient.engine.breaker_states()[ACCOUNT, "place"] != "closed"

    await until(opened)
    new = (await put_in_place_of(patient, old, price=Decimal(1405), wait_s=0.0)).document
    await read_again(patient, 3)
    for held in (await cancel_of(patient), new):
        document = await reaches(patient, held, TaskStatus.HELD)
        assert document["last_error"]["code"] == "BREAKER_OPEN"
    assert await states(patient) == ["OPEN"]


async def test_an_order_that_the_exchange_rejected_meanwhile_is_replaced(environment: OrderEnvironment) -> None:
    """It is gone and filled nothing, whatever ended it."""
    old = await resting(environment)
    async with replacing(environment, old) as task:
        (await environment.sim.post(f"/_sim/orders/{old}", json={"reject": "by the exchange"})).raise_for_status()
        assert (await end_of(environment, task))["status"] == "completed"
    assert await states(environment) == ["REJECTED", "OPEN"]


async def test_an_order_of_another_day_under_the_same_id_says_nothing(environment: OrderEnvironment) -> None:
    """The broker's ids are unique within a day only: yesterday's cancelled one is not the one that is replaced."""
    old = await resting(environment)
    async with replacing(environment, old) as task:
        async with environment.database.connection() as connection:
            await connection.execute(
                """INSERT INTO broker_order (account_id, trade_date, order_id, status, state, filled_quantity,
                     average_price, content_hash, document)
                   SELECT account_id, trade_date - 1, order_id, 'CANCELLED', 'cancelled', 0, 0, content_hash, document
                   FROM broker_order WHERE order_id = %s""",
                (old,),
            )
        await read_again(environment, 3)
        assert (await now(environment, task)).status is TaskStatus.PENDING
    assert (await end_of(environment, task))["status"] == "completed"


async def test_a_slice_is_not_replaced(environment: OrderEnvironment) -> None:
    """Its sisters would live on beside an order that was meant for the whole."""
    leg = await environment.place(variety=Variety.ICEBERG, iceberg_legs=2, iceberg_quantity=5)

    async def is_there() -> bool:
        return bool((await shown(environment, leg["order_id"]))["state"] == "open")

    await until(is_there)
    with pytest.raises(NotAsSeen, match="belong together") as refused:
        await put_in_place_of(environment, leg["order_id"])
    assert refused.value.code == "ORDER_NOT_REPLACEABLE"


async def test_an_order_whose_end_was_never_seen_is_not_replaced(environment: OrderEnvironment) -> None:
    """It cannot be said whether it is live."""
    old = await resting(environment)
    async with environment.database.connection() as connection:
        await connection.execute("""UPDATE broker_order SET document = document || '{"stale": true}'""")
    with pytest.raises(NotAsSeen) as refused:
        await put_in_place_of(environment, old)
    assert refused.value.code == "ORDER_NOT_REPLACEABLE"


async def test_a_new_term_does_not_withdraw_before_the_book_was_read(
    database_url: str, simulator: RunningSimulator
) -> None:
    """The rows may be those of a restored database: "not sent" is said once the book was read, not before."""
    async with open_order_environment(database_url, simulator.url, owner="first") as environment:
        task = await left_behind(environment)
        await environment.fault("status", method="GET", path="/orders", times=-1, params={"code": 502})
        async with environment.database.connection() as connection:
            await connection.execute("UPDATE broker_order SET state = 'completed', status = 'COMPLETE'")
    await after_the_lease(database_url)
    async with open_order_environment(database_url, simulator.url, owner="second") as environment:
        await struck(environment, "status", times=2)
        assert (await now(environment, task)).status is TaskStatus.PENDING
        (await environment.sim.delete("/_sim/faults")).raise_for_status()
        ended = await end_of(environment, task)
        assert (ended["status"], ended["last_error"]["code"]) == ("cancelled", "REPLACED_ORDER_FILLED")
