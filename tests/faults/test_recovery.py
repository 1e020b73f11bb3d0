"""What an account does between a loss of the database and the end of its recovery, and what clients are answered."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from app.broker.orders import OrderChanges, OrderType, TransactionType, Variety
from app.errors import Conflict
from app.orders.entry.acceptance import Caller
from app.orders.entry.lost_requests import OrderDiffers, Recovering
from app.orders.recovery.database_record import RecordUnavailable
from app.orders.recovery.loss_check import Continuity, LossCheck
from app.orders.recovery.loss_signs import DatabaseRecord, Sign
from app.orders.recovery.recovery_store import Recovery, find
from app.orders.sending.sent_today_store import sent_today
from app.orders.state.mass_cancels import OrderFilter
from app.orders.state.model import Task, TaskStatus
from app.orders.state.tags import ClientKey, TagOrigin, TagSecrets
from simulator.server import RunningSimulator
from tests.faults.test_forgotten_commits import forget
from tests.faults.test_lost_database import shows
from tests.faults.test_removal import place_elsewhere
from tests.order_environment import (
    ACCOUNT,
    DEPLOYMENT,
    OPERATOR,
    SHORT_SETTINGS,
    TAG_SECRETS,
    Memory,
    OrderEnvironment,
    open_order_environment,
)
from tests.order_requests import order
from tests.order_waits import after_the_lease, end_of, now, owns, reaches, read_again
from tests.waiting import until

KEY = "the-key-of-a-client-1"
LOGIN = {"Authorization": "token simkey:simtoken"}

Open = Callable[..., AbstractAsyncContextManager[OrderEnvironment]]


class AheadOf(Memory):
    """Remembers a claim that the database has forgotten."""

    async def read(self) -> DatabaseRecord | None:
        if self.record is None:
            return None
        return replace(self.record, generations={name: one + 1000 for name, one in self.record.generations.items()})


class Away(Memory):
    """Cannot be reached."""

    async def read(self) -> DatabaseRecord | None:
        raise RecordUnavailable("it is away")

    async def write(self, record: DatabaseRecord) -> None:
        raise RecordUnavailable("it is away")


@pytest.fixture
def opening(database_url: str, simulator: RunningSimulator) -> Open:
    def open_one(memory: Memory, **options: Any) -> AbstractAsyncContextManager[OrderEnvironment]:
        return open_order_environment(database_url, simulator.url, records=[memory], **options)

    return open_one


async def wipe(environment: OrderEnvironment) -> None:
    """Every order is forgotten, as in a copy from before the first."""
    async with environment.database.connection() as connection:
        await connection.execute(
            "TRUNCATE order_attempt, idempotency_key, fill, order_alarm, broker_order, batch, order_task CASCADE"
        )


async def remembered(environment: OrderEnvironment) -> None:
    """Until the places outside of the database have a record of it."""
    (memory,) = environment.inputs.records

    async def has_record() -> bool:
        return await memory.read() is not None

    await until(has_record)


async def recovery_of(environment: OrderEnvironment) -> Recovery | None:
    async with environment.database.connection() as connection:
        return await find(connection, ACCOUNT)


async def is_recovering(environment: OrderEnvironment) -> bool:
    recovery = await recovery_of(environment)
    return recovery is not None and not recovery.is_over


async def is_over(environment: OrderEnvironment) -> bool:
    recovery = await recovery_of(environment)
    return recovery is not None and recovery.is_over


async def place_at_the_exchange(environment: OrderEnvironment, tag_base: str, **changes: Any) -> str:
    """What a sender did whose database is gone: an order under the tag of its first attempt."""
    request = order(**changes).to_json()
    form = {name: str(value) for name, value in request.items() if name not in {"variety", "autoslice"}}
    answer = await environment.sim.post("/orders/regular", data={**form, "tag": tag_base + "1"}, headers=LOGIN)
    return str(answer.raise_for_status().json()["data"]["order_id"])


def tag_of(environment: OrderEnvironment, **changes: Any) -> str:
    origin = TagOrigin(account_id=ACCOUNT, key=ClientKey(principal="t", idem_key=KEY))
    return environment.parts.tagger.fresh(replace(origin, **changes))


async def states(environment: OrderEnvironment) -> list[str]:
    return [row["state"] for row in await environment.ledger()]


async def test_an_order_of_our_prefix_without_a_task_is_the_sure_sign(opening: Open, database_url: str) -> None:
    """Nothing is remembered, neither by a process nor elsewhere: the book alone says that orders were forgotten."""
    async with opening(Memory()) as environment:
        task = await environment.place(key=KEY)
        unkeyed = await environment.place()
        await environment.crash()
        await wipe(environment)
    await after_the_lease(database_url)
    async with opening(Memory()) as environment:
        await until(lambda: is_recovering(environment))
        recovery = await recovery_of(environment)
        assert recovery is not None
        assert recovery.sign == Sign.ORDER_WITHOUT_TASK
        again = await environment.answer(key=KEY)
        assert (again.document["order_id"], again.document["sent"], again.replayed) == (task["order_id"], "yes", True)
        async with environment.database.connection() as connection:
            cursor = await connection.execute("SELECT order_id FROM order_task WHERE purpose = 'recovered'")
            assert await cursor.fetchall() == [(unkeyed["order_id"],)]
        assert len(await environment.ledger()) == 2


async def test_a_new_deployment_does_not_recover(opening: Open) -> None:
    """An empty database, a place that remembers none, a book without our tags: the first order goes out."""
    async with opening(Memory()) as environment:
        assert (await environment.place(key=KEY))["status"] == "completed"
        assert await recovery_of(environment) is None


async def test_an_empty_database_recovers_unless_it_is_proven_to_be_a_new_one(opening: Open) -> None:
    """What would remember another database cannot be asked."""
    async with opening(Away()) as environment:
        await until(lambda: is_recovering(environment))
        with pytest.raises(Recovering) as refused:
            await environment.answer(key=KEY)
        assert refused.value.sent == "unknown"
        await until(lambda: is_over(environment), within_s=30)
        recovery = await recovery_of(environment)
        assert recovery is not None
        assert recovery.sign == Sign.EMPTY
        assert recovery.clean_reads >= 5
        assert await environment.ledger() == []


async def test_a_claim_that_is_missing_stops_its_owner_within_the_term(environment: OrderEnvironment) -> None:
    """The copy is younger than the lease: no renewal was due, and the next claim finds nothing to claim."""
    first = await environment.place(key=KEY)
    async with environment.database.connection() as connection:
        await connection.execute("UPDATE lease SET generation = generation - 1 WHERE name = 'sender:primary'")
    task = await environment.place(key="another-key-of-it", wait_s=0.0)
    await until(lambda: is_recovering(environment))
    ended = await end_of(environment, task)
    assert (ended["status"], ended["sent"]) == ("expired", "no")
    assert [row["order_id"] for row in await environment.ledger()] == [first["order_id"]]


async def test_a_recovery_that_another_replica_began_stops_the_owner_immediately(
    environment: OrderEnvironment,
) -> None:
    """The owner has not noticed it yet: the claim itself asks the database."""
    await environment.place(key=KEY)
    halts = environment.orders.operators.halts
    await halts.halt(ACCOUNT, mode="halt", open_orders="leave", reason="keeps the order", by=OPERATOR)
    task = await environment.place(key="another-key-of-it", wait_s=0.3)
    await reaches(environment, task, TaskStatus.HELD)
    async with environment.database.transaction() as tx:
        await tx.execute("DELETE FROM kill_switch")
        await tx.execute(
            "INSERT INTO account_recovery (account_id, sign, quiet_from) VALUES (%s, 'noticed elsewhere', now())",
            (ACCOUNT,),
        )
    environment.engine.changed(ACCOUNT)
    ended = await end_of(environment, task)
    assert (ended["status"], ended["sent"]) == ("expired", "no")
    assert len(await environment.ledger()) == 1


async def test_a_replica_that_notices_the_same_loss_later_does_not_begin_it_again(
    environment: OrderEnvironment,
) -> None:
    """Each process compares by itself; a second beginning would make the window longer for every replica."""
    await environment.place(key=KEY)
    replicas = [
        LossCheck(
            environment.parts, accounts=[ACCOUNT], stores=[Memory()], generations={}, on_loss=print, books_read=bool
        )
        for _ in range(2)
    ]
    assert [await one.check() for one in replicas] == [Continuity.UNPROVEN] * 2
    async with environment.database.connection() as connection:
        await connection.execute("UPDATE lease SET generation = 0")
    assert await replicas[0].check() is Continuity.LOST
    first = await recovery_of(environment)
    assert await replicas[1].check() is Continuity.LOST
    second = await recovery_of(environment)
    assert first is not None
    assert second is not None
    assert (second.began_at, second.quiet_from) == (first.began_at, first.quiet_from)
    assert await replicas[1].check() is Continuity.CONTINUED, "what it saw then is what counts now"


async def test_requests_that_the_copy_calls_unsent_are_in_doubt_and_expire_unsent_at_the_end(
    opening: Open, database_url: str
) -> None:
    """Neither sent nor called unsent before the book has proven it; their clients see the doubt meanwhile."""
    memory = AheadOf()
    async with opening(memory) as environment:
        await owns(environment)
        await remembered(environment)
        await environment.crash()
        task = await environment.place(key=KEY, wait_s=0.0)
    await after_the_lease(database_url)
    async with opening(memory) as environment:
        doubtful = await reaches(environment, task, TaskStatus.IN_DOUBT)
        assert (doubtful["sent"], doubtful["last_error"]["code"]) == ("unknown", "RESTORED_UNSENT")
        assert await is_recovering(environment)
        repeated = await environment.answer(key=KEY, wait_s=0.0)
        assert (repeated.replayed, repeated.document["sent"]) == (True, "unknown")
        ended = await end_of(environment, task)
        assert (ended["status"], ended["sent"]) == ("expired", "no")
        assert await environment.ledger() == []


@pytest.mark.parametrize("stored_again", [False, True], ids=["restored", "stored again before the loss was noticed"])
async def test_a_request_that_the_copy_calls_unsent_and_that_was_sent_is_found(
    opening: Open, database_url: str, *, stored_again: bool
) -> None:
    """Sent in its second attempt even, of which the copy knows nothing; the task may be younger than its order."""
    memory = AheadOf()
    async with opening(memory) as environment:
        throttled = {"code": 429, "error_type": "NetworkException", "message": "Too many requests"}
        await environment.fault("status", params=throttled)
        task = await environment.place(key=KEY)
        assert (task["status"], task["attempts"]) == ("completed", 2)
        await remembered(environment)
        await environment.crash()
        await forget(environment, fresh_s=0)
        if stored_again:
            async with environment.database.connection() as connection:
                await connection.execute("UPDATE order_task SET created_at = created_at + interval '10 s'")
    await after_the_lease(database_url)
    async with opening(memory) as environment:
        ended = await end_of(environment, task)
        assert (ended["status"], ended["sent"], ended["order_id"]) == (task["status"], task["sent"], task["order_id"])


async def test_a_request_taken_back_while_the_account_recovers_is_not_called_unsent(
    environment: OrderEnvironment,
) -> None:
    """The copy calls it unsent, and no read of the book has spoken yet."""
    task = await environment.place()
    await environment.crash()
    environment.parts.settlement.sends.forget(await now(environment, task))  # another process has sent it
    await forget(environment, fresh_s=20)
    async with environment.database.connection() as connection:
        await connection.execute(
            "INSERT INTO account_recovery (account_id, sign, quiet_from) VALUES (%s, 'noticed elsewhere', now())",
            (ACCOUNT,),
        )
    taken_back = await environment.orders.withdrawals.withdraw(UUID(task["task_id"]))
    assert not taken_back.over
    assert taken_back.document["status"] == "pending"
    assert taken_back.document["cancel_on_sight"]
    wanted = OrderFilter(account_id=ACCOUNT)
    caller = Caller(principal="t", idem_key="cancel-everything-01")
    cancelled = await environment.orders.mass_cancels.cancel(wanted, caller=caller, wait_s=0.0)
    assert [one["outcome"] for one in cancelled.document["results"]] == ["cancelling"]


async def test_an_order_that_no_request_can_have_made_is_a_sign_of_a_loss_once(
    environment: OrderEnvironment, simulator: RunningSimulator
) -> None:
    """Another application uses our two characters: no attempt has the number X. Its order stays in the book all day."""
    await place_elsewhere(simulator, tag=f"{DEPLOYMENT}{'ABCDEFGHJKMNPQRST'}X")
    await read_again(environment, 1)
    await until(lambda: is_over(environment), within_s=30)
    await environment.orders.operators.halts.resume(ACCOUNT, reason="looked at", by=OPERATOR)
    assert (await environment.place(key=KEY))["status"] == "completed"
    await read_again(environment, 2)
    assert not await is_recovering(environment)
    await place_elsewhere(simulator, tag=f"{DEPLOYMENT}{'ABCDEFGHJKMNPQRST'}Y")
    await read_again(environment, 2)
    assert await is_recovering(environment), "another one is another sign"


async def test_further_orders_of_a_request_that_was_found_are_no_sign_of_a_loss(
    opening: Open, database_url: str
) -> None:
    """The broker makes the next leg of an iceberg when one fills: it gets its task, and the account goes on."""
    async with opening(Memory()) as environment:
        await environment.set_price("NSE:INFY", 1500)
        await environment.place(variety=Variety.ICEBERG, iceberg_legs=2, iceberg_quantity=5)
        await environment.crash()
        await wipe(environment)
    await after_the_lease(database_url)
    async with opening(Memory()) as environment:
        await until(lambda: is_over(environment), within_s=30)
        first = (await environment.ledger())[0]["order_id"]
        (await environment.sim.post(f"/_sim/orders/{first}", json={"fill": 5})).raise_for_status()
        await read_again(environment, 3)
        assert not await is_recovering(environment)
        second = (await environment.ledger())[1]["order_id"]
        shown_now = await environment.service.queries.order(second)
        task = await now(environment, shown_now)
        assert (task.purpose, task.confirmed_ids) == ("recovered", [first, second])


@pytest.mark.parametrize(("rollback", "state"), [(True, "CANCELLED"), (False, "OPEN")])
async def test_a_batch_of_which_a_leg_is_in_the_book_is_not_continued(
    opening: Open, database_url: str, *, rollback: bool, state: str
) -> None:
    """The copy calls three legs unsent, one was sent: it follows ``rollback_on_failure``, the others are cancelled."""
    memory = AheadOf()
    async with opening(memory) as environment:
        await owns(environment)
        await remembered(environment)
        await environment.crash()
        batch = await environment.batch([order(), order(), order()], key=KEY, wait_s=0.0, rollback=rollback)
        await place_at_the_exchange(environment, tag_of(environment, kind="leg"))
    await after_the_lease(database_url)
    async with opening(memory) as environment:
        await until(lambda: is_over(environment), within_s=30)
        after = (await environment.service.queries.batch_now(UUID(batch["batch_id"])))[0]
        assert after["status"] == "needs_attention"
        assert [leg["status"] for leg in after["orders"]] == ["completed", "cancelled", "cancelled"]

        async def has_state() -> bool:
            return await states(environment) == [state]

        await until(has_state)


@pytest.mark.parametrize(("rollback", "state"), [(True, "CANCELLED"), (False, "OPEN")])
async def test_a_forgotten_batch_of_which_a_leg_was_sent_is_not_continued(
    opening: Open, database_url: str, *, rollback: bool, state: str
) -> None:
    """The copy knows nothing of it. Its client repeats the key: 409 until the window is over, then what is left."""
    async with opening(Memory()) as environment:
        await owns(environment)
        await environment.crash()
        await place_at_the_exchange(environment, tag_of(environment, kind="leg", leg=1))
    await after_the_lease(database_url)
    async with opening(Memory()) as environment:
        await until(lambda: is_recovering(environment))
        with pytest.raises(Recovering):
            await environment.batch([order(), order()], key=KEY, rollback=rollback)
        await until(lambda: is_over(environment), within_s=30)
        batch = await environment.batch([order(), order()], key=KEY, rollback=rollback)
        assert (batch["status"], [leg["status"] for leg in batch["orders"]]) == (
            "needs_attention",
            ["cancelled", "completed"],
        )

        async def has_state() -> bool:
            return await states(environment) == [state]

        await until(has_state)


async def test_a_forgotten_batch_that_was_placed_is_answered_with_its_orders(opening: Open, database_url: str) -> None:
    async with opening(Memory()) as environment:
        before = await environment.batch([order(), order(quantity=7)], key=KEY)
        await environment.crash()
        await wipe(environment)
    await after_the_lease(database_url)
    async with opening(Memory()) as environment:
        await until(lambda: is_recovering(environment))
        again = await environment.batch([order(), order(quantity=7)], key=KEY, wait_s=15)
        assert [leg["order_id"] for leg in again["orders"]] == [leg["order_id"] for leg in before["orders"]]
        assert again["status"] == "completed"
        assert len(await environment.ledger()) == 2


async def test_another_request_under_a_forgotten_key_is_refused(opening: Open, database_url: str) -> None:
    """Another instrument or side is 422, another price an alarm and 409 with ``sent: unknown``; none is placed."""
    async with opening(Memory()) as environment:
        await environment.place(key=KEY)
        await environment.crash()
        await wipe(environment)
    await after_the_lease(database_url)
    async with opening(Memory()) as environment:
        await until(lambda: is_recovering(environment))
        for other in ({"tradingsymbol": "TCS"}, {"transaction_type": TransactionType.SELL}):
            with pytest.raises(Conflict) as reused:
                await environment.answer(key=KEY, **other)
            assert reused.value.code == "IDEMPOTENCY_KEY_REUSED"
        with pytest.raises(OrderDiffers) as differs:
            await environment.answer(key=KEY, price=Decimal(1401))
        assert (differs.value.code, differs.value.sent) == ("RECOVERED_ORDER_DIFFERS", "unknown")
        assert environment.engine.counters.alarms["mismatch"] == 1
        assert len(await environment.ledger()) == 1


async def test_a_modification_and_market_protection_explain_the_difference(opening: Open, database_url: str) -> None:
    async with opening(Memory()) as environment:
        await environment.set_price("NSE:INFY", 1500, frozen=True)
        resting = await environment.place(key=KEY)
        market: dict[str, Any] = {"order_type": OrderType.MARKET, "price": None}
        filled = await environment.place(key="a-key-of-a-market-order", **market)
        changes = OrderChanges(price=Decimal(1401), quantity=12)
        caller = Caller(principal="t")
        await environment.service.modify(resting["order_id"], changes, account_id=ACCOUNT, caller=caller, wait_s=10)
        await environment.crash()
        await wipe(environment)
    await after_the_lease(database_url)
    async with opening(Memory()) as environment:
        await until(lambda: is_recovering(environment))
        again = [await environment.place(key=KEY), await environment.place(key="a-key-of-a-market-order", **market)]
        assert [task["order_id"] for task in again] == [resting["order_id"], filled["order_id"]]


async def test_an_order_that_shows_late_is_found_within_the_window(opening: Open, database_url: str) -> None:
    """Sent just before the loss, and not in the first books: 409 until it shows, and it is never sent again."""
    memory = AheadOf()
    async with opening(memory) as environment:
        await environment.fault("late_visible", params={"ms": 4000})
        task = await environment.place(key=KEY, wait_s=1.0)
        await remembered(environment)
        await environment.crash()
        await wipe(environment)
    await after_the_lease(database_url)
    async with opening(memory) as environment:
        await until(lambda: is_recovering(environment))
        with pytest.raises(Recovering):
            await environment.answer(key=KEY, wait_s=0.0)

        async def is_answered() -> bool:
            try:
                answer = await environment.answer(key=KEY, wait_s=0.0)
            except Recovering:
                return False
            return bool(answer.document["order_id"])

        await until(is_answered)
        assert len(await environment.ledger()) == 1
        assert (await environment.place(key=KEY))["order_id"] == (await environment.ledger())[0]["order_id"]
        assert task["account_id"] == ACCOUNT


async def test_an_order_without_its_tag_blocks_the_key_until_an_operator_speaks(
    opening: Open, database_url: str
) -> None:
    """The book shows an order that could be the request's, without a tag: neither adopted nor doubled."""
    memory = AheadOf()
    async with opening(memory) as environment:
        task = await environment.place(key=KEY)
        await remembered(environment)
        await environment.crash()
        await wipe(environment)
    await environment_fault_tag_null(opening, memory)
    await after_the_lease(database_url)
    async with opening(memory) as environment:
        await until(lambda: is_over(environment), within_s=30)
        await environment.orders.operators.halts.resume(ACCOUNT, reason="looked at it", by=OPERATOR)
        with pytest.raises(Recovering, match=task["order_id"]):
            await environment.answer(key=KEY)
        assert len(await environment.ledger()) == 1
        other = await environment.place(key="a-key-of-another-order", quantity=3)
        assert other["status"] == "completed"
        recoveries = environment.orders.operators.recoveries
        await until(lambda: shows(environment, other["order_id"]))
        with pytest.raises(Conflict) as owned:
            await recoveries.not_ours(ACCOUNT, other["order_id"], note="placed by hand", by=OPERATOR)
        assert owned.value.code == "ORDER_OF_A_TASK"
        await recoveries.not_ours(ACCOUNT, task["order_id"], note="placed by hand", by=OPERATOR)
        assert (await environment.place(key=KEY))["status"] == "completed"
        assert len(await environment.ledger()) == 3


async def test_a_request_that_the_copy_calls_unsent_is_not_called_so_beside_an_order_without_a_tag(
    opening: Open, database_url: str
) -> None:
    """The order that shows without its tag may be its own: an operator decides, and nothing says ``sent: no``."""
    memory = AheadOf()
    async with opening(memory) as environment:
        await owns(environment)
        await remembered(environment)
        await environment.crash()
        task = await environment.place(key=KEY, wait_s=0.0)
        other = await environment.place(key="a-key-of-another-order", wait_s=0.0, quantity=3)
        await place_at_the_exchange(environment, tag_of(environment))
    await environment_fault_tag_null(opening, memory)
    await after_the_lease(database_url)
    async with opening(memory) as environment:
        await until(lambda: is_over(environment), within_s=30)
        assert shown(await now(environment, task)) == (TaskStatus.DEAD_LETTER, "unknown", "LOOK_ALIKE")
        assert shown(await now(environment, other)) == (TaskStatus.EXPIRED, "no", "EXPIRED")
        assert len(await environment.ledger()) == 1


def shown(task: Task) -> tuple[TaskStatus, str, str | None]:
    return task.status, str(task.sent), task.error_code


async def environment_fault_tag_null(opening: Open, memory: Memory) -> None:
    """Every book from now on is without tags."""
    async with opening(memory, owner="sets-a-fault") as environment:
        await environment.fault("tag_null", method="GET", path="/orders", times=-1)
        await environment.crash()


async def test_after_a_recovery_the_account_reduces_only_and_its_log_has_a_new_epoch(
    opening: Open, database_url: str
) -> None:
    """The copy has forgotten halts as well. The day's orders count for the broker's limits again."""
    memory = AheadOf()
    async with opening(memory) as environment:
        for number in range(3):
            await environment.place(key=f"{KEY}-{number}")
        epoch = await epoch_of(environment)
        await remembered(environment)
        await environment.crash()
        await wipe(environment)
    await after_the_lease(database_url)
    async with opening(memory) as environment:
        await until(lambda: is_over(environment), within_s=30)
        assert await epoch_of(environment) not in {epoch, None}
        (halt,) = await environment.orders.operators.halts.halts()
        assert (halt.scope, halt.mode, halt.set_by) == (ACCOUNT, "reduce_only", "recovery")
        held = await environment.place(key="a-key-that-is-new-1", wait_s=0.5)
        assert (held["status"], held["last_error"]["code"]) == ("held", "HALTED")
        async with environment.database.connection() as connection:
            task = await now(environment, held)
            assert (await sent_today(connection, ACCOUNT, trade_date=task.trade_date)).places == 3
        await environment.orders.operators.halts.resume(ACCOUNT, reason="it is as it was", by=OPERATOR)
        assert (await end_of(environment, held))["status"] == "completed"


async def test_an_account_may_trade_immediately_after_its_recovery(opening: Open, database_url: str) -> None:
    memory = AheadOf()
    settings = replace(SHORT_SETTINGS, after_recovery="trade")
    async with opening(memory, settings=settings) as environment:
        await owns(environment)
        await remembered(environment)
        await environment.crash()
    await after_the_lease(database_url)
    async with opening(memory, settings=settings) as environment:
        await until(lambda: is_over(environment), within_s=30)
        assert await environment.orders.operators.halts.halts() == []
        assert (await environment.place(key=KEY))["status"] == "completed"


async def test_cancels_pass_while_the_account_recovers(opening: Open, database_url: str) -> None:
    """An operator's kill with ``cancel_open`` reaches orders that the copy has forgotten."""
    async with opening(Memory()) as environment:
        await environment.place(key=KEY)
        await environment.crash()
        await wipe(environment)
    await after_the_lease(database_url)
    async with opening(Memory()) as environment:
        await until(lambda: is_recovering(environment))
        halts = environment.orders.operators.halts
        await halts.halt(ACCOUNT, mode="halt", open_orders="cancel", reason="emergency", by=OPERATOR)

        async def is_cancelled() -> bool:
            return await states(environment) == ["CANCELLED"]

        await until(is_cancelled)
        assert await is_recovering(environment)


async def test_orders_of_an_older_version_of_the_secret_are_recognised(opening: Open, database_url: str) -> None:
    """The secret was changed between the order and the loss."""
    older = TagSecrets(versions=(b"the version before",), given_code=DEPLOYMENT)
    both = replace(TAG_SECRETS, versions=(*TAG_SECRETS.versions, *older.versions))
    async with opening(Memory(), secrets=older) as environment:
        task = await environment.place(key=KEY)
        asked_later = await environment.place(key="another-key-of-a-client")
        await environment.crash()
        await wipe(environment)
    await after_the_lease(database_url)
    async with opening(Memory(), secrets=both) as environment:
        await until(lambda: is_recovering(environment))
        assert (await environment.place(key=KEY))["order_id"] == task["order_id"]
        await until(lambda: is_over(environment), within_s=30)
        assert (await environment.place(key=KEY))["order_id"] == task["order_id"]
        again = await environment.place(key="another-key-of-a-client")
        assert again["order_id"] == asked_later["order_id"]
        assert len(await environment.ledger()) == 2


async def epoch_of(environment: OrderEnvironment) -> str | None:
    async with environment.database.connection() as connection:
        cursor = await connection.execute("SELECT epoch FROM account_seq WHERE account_id = %s", (ACCOUNT,))
        row = await cursor.fetchone()
        return None if row is None else str(row[0])
