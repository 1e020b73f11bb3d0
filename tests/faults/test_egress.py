"""The broker takes orders only from some addresses: which replica sends, and what becomes of a task that was refused.

The replicas of these tests leave from loopback addresses of their own, and the simulator refuses by the client's
address, as the broker does. The ledger is the oracle: one task, one order.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from typing import Any, TypeAlias

import psycopg
import pytest

from app.commands.doctor import examine
from app.config import Settings
from app.orders.risk.halt_store import find_halt
from app.orders.sending import egress_store
from app.orders.state.egress import Egress
from app.orders.state.model import TaskStatus
from app.orders.state.trading_reasons import TradingStatus
from simulator.server import RunningSimulator
from tests.order_environment import ACCOUNT, OPERATOR, SHORT_SETTINGS, OrderEnvironment, open_order_environment
from tests.order_waits import end_of, owns, reaches
from tests.waiting import until

BAD, WORSE, GOOD = "127.0.0.2", "127.0.0.3", "127.0.0.4"

Start: TypeAlias = Callable[..., AbstractAsyncContextManager[OrderEnvironment]]


def _message(address: str) -> str:
    return f"IP ({address}) is not allowed to place orders for this app. Update allowed IPs on the Kite console."


@pytest.fixture
def start(database_url: str, simulator: RunningSimulator) -> Start:
    """A replica whose requests leave from an address of its own."""

    @asynccontextmanager
    async def starting(
        address: str, *, known: bool = True, allowed: tuple[str, ...] = (), **changes: Any
    ) -> AsyncIterator[Any]:
        egress = {"egress_ip": address if known else "", "allowed_egress_ips": allowed}
        settings = replace(SHORT_SETTINGS, **{**egress, "freshness_limit_s": 30.0, **changes})
        async with open_order_environment(
            database_url, simulator.url, settings=settings, source_ip=address, owner=f"replica at {address}"
        ) as opened:
            yield opened

    return starting


async def _refuse(environment: OrderEnvironment, *addresses: str) -> None:
    """From now on the broker takes no orders, changes and cancels from these addresses."""
    await environment.set_price("NSE:INFY", 1500)
    for address in addresses:
        params = {"code": 403, "error_type": "PermissionException", "message": _message(address)}
        await environment.fault("status", method="*", path="/orders/regular*", times=-1, params=params, address=address)


async def _rows(environment: OrderEnvironment, sql: str) -> list[tuple[Any, ...]]:
    async with environment.database.connection() as connection:
        return await (await connection.execute(sql)).fetchall()


async def _attempts(environment: OrderEnvironment) -> list[tuple[Any, ...]]:
    return await _rows(environment, "SELECT attempt, outcome FROM order_attempt ORDER BY started_at")


async def _halted_by(environment: OrderEnvironment) -> str | None:
    async with environment.database.connection() as connection:
        halt = await find_halt(connection, scope=ACCOUNT)
    return None if halt is None else halt.set_by


async def _status(environment: OrderEnvironment) -> TradingStatus:
    await environment.orders.statuses.read()
    (status,) = environment.orders.statuses.known()
    return status


async def _shows(environment: OrderEnvironment, *reasons: str) -> None:
    async def is_shown() -> bool:
        return set(reasons) <= set((await _status(environment)).reasons)

    await until(is_shown)


@pytest.mark.parametrize("known", [True, False], ids=["addresses given", "addresses not given"])
async def test_a_refused_replica_hands_over_and_the_other_sends_the_task_once(start: Start, *, known: bool) -> None:
    """One order, of the second attempt; the client hears nothing of it, and what follows goes at the first attempt."""
    async with start(BAD, known=known) as first:
        await _refuse(first, BAD)
        await owns(first)
        async with start(GOOD, known=known) as second:
            task = await first.place()
            assert (task["status"], task["attempts"], task["last_error"]) == ("completed", 2, None)
            assert await _attempts(first) == [(1, "address_refused"), (2, "accepted")]
            assert [order["order_id"] for order in await first.ledger()] == [task["order_id"]]
            assert (first.engine.is_owner(ACCOUNT), second.engine.is_owner(ACCOUNT)) == (False, True)
            assert await _halted_by(first) is None
            assert await _rows(first, "SELECT kind FROM order_alarm") == []
            assert (await first.place())["attempts"] == 1
            shown = {one.replica: (one.may_send, one.is_owner) for one in (await _status(first)).candidates}
            assert shown == {f"replica at {BAD}": (False, False), f"replica at {GOOD}": (True, True)}


async def test_the_term_is_over_when_the_task_can_be_claimed_again(start: Start) -> None:
    """At the commit that returns the task the lease is free: this process cannot claim again what it gives back."""
    async with start(BAD) as first:
        await _refuse(first, BAD)
        await owns(first)
        async with first.database.connection() as connection:
            for statement in _NOTE_LEASE_AT_COMMIT:
                await connection.execute(statement)
        async with start(GOOD) as second:
            assert (await second.place())["status"] == "completed"
            assert await _rows(first, "SELECT is_over FROM lease_at_commit") == [(True,)]


_NOTE_LEASE_AT_COMMIT = (
    "CREATE TABLE lease_at_commit (is_over boolean)",
    """CREATE FUNCTION note_lease() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
         INSERT INTO lease_at_commit
           SELECT expires_at <= clock_timestamp() FROM lease WHERE name = 'sender:' || NEW.account_id;
         RETURN NULL;
       END $$""",
    """CREATE CONSTRAINT TRIGGER returned AFTER UPDATE ON order_task DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
         WHEN (OLD.status = 'running' AND NEW.status = 'pending') EXECUTE FUNCTION note_lease()""",
)


async def test_orders_sent_together_are_each_returned_once(start: Start) -> None:
    """All that were under way when the first refusal came."""
    async with start(BAD) as first:
        await _refuse(first, BAD)
        await owns(first)
        async with start(GOOD):
            symbols = ("INFY", "TCS", "SBIN")
            tasks = [await first.place(tradingsymbol=one, wait_s=0.0) for one in symbols]
            ends = [await end_of(first, task) for task in tasks]
            assert [one["status"] for one in ends] == ["completed"] * len(symbols), ends
            assert all(one["attempts"] <= 2 for one in ends)
            assert len(await first.ledger()) == len(symbols)


async def test_the_account_halts_when_no_replica_has_an_address_that_the_broker_takes(start: Start) -> None:
    """The task fails with the broker's words after one hand-over; nothing is at the exchange; both replicas say why."""
    async with start(BAD) as first:
        await _refuse(first, BAD, WORSE)
        await owns(first)
        async with start(WORSE) as second:
            task = await first.place()
            assert (task["status"], task["attempts"], task["last_error"]["code"]) == ("failed", 2, "BROKER_REFUSED")
            assert task["last_error"]["message"] == _message(WORSE)
            assert await _attempts(first) == [(1, "address_refused"), (2, "address_refused")]
            assert await _halted_by(first) == "service"
            assert await _rows(first, "SELECT kind FROM order_alarm") == [("address_refused",)]
            held = await reaches(first, await first.place(wait_s=0.0), TaskStatus.HELD)
            assert held["last_error"]["code"] == "HALTED"
            for replica in (first, second):
                await _shows(replica, "address_refused", "halted")
            assert await first.ledger() == []


async def test_a_task_returns_to_pending_only_once(start: Start) -> None:
    """The second refusal ends it, although a third replica could send."""
    async with start(BAD) as first:
        await _refuse(first, BAD, WORSE)
        await owns(first)
        third = replace(Egress.of(first.parts.settings, replica="a third one"), address=GOOD)
        async with start(WORSE), first.database.connection() as connection:
            await egress_store.announce(connection, third)
            await connection.execute(
                "UPDATE sender_replica SET seen_at = seen_at + interval '1 hour' WHERE address = %s", (GOOD,)
            )
            task = await first.place()
            assert (task["status"], task["attempts"]) == ("failed", 2)
            assert await _halted_by(first) is None
            assert await egress_store.another_may_send(
                connection, ACCOUNT, Egress.of(first.parts.settings, replica="x")
            )
        assert await first.ledger() == []


async def test_a_refused_address_is_tried_again_after_its_cool_down(start: Start, database_url: str) -> None:
    """Not before, although the lease becomes free; then the replica owns the account and sends."""
    async with start(BAD) as first:
        await _refuse(first, BAD)
        await owns(first)
        async with start(GOOD) as second:
            assert (await first.place())["status"] == "completed"
            async with first.database.connection() as connection:
                here = Egress.of(first.parts.settings, replica=f"replica at {BAD}")
                assert await egress_store.is_refused(connection, ACCOUNT, here)
                assert not await egress_store.may_own(connection, ACCOUNT, here)
                left = "SELECT extract(epoch FROM refused_until - clock_timestamp()) FROM egress_address"
                cursor = await connection.execute(f"{left} WHERE refused_until IS NOT NULL")
                ((seconds,),) = await cursor.fetchall()
                assert 500 < seconds <= 600
                await first.sim.delete("/_sim/faults")
                await connection.execute("UPDATE egress_address SET refused_until = clock_timestamp()")
                assert await egress_store.may_own(connection, ACCOUNT, here)
            await second.engine.drain(timeout_s=2.0)
            await owns(first)
        assert (await first.place())["status"] == "completed"
        assert len(await first.ledger()) == 2
        assert await _halted_by(first) is None


async def test_a_refused_replica_reads_on_and_hands_over_when_one_starts_that_may_send(start: Start) -> None:
    """Alone it owns the halted account, so that the order book is read; an operator resumes once another has it."""
    async with start(BAD) as first:
        await _refuse(first, BAD)
        task = await first.place()
        assert (task["status"], task["attempts"], await _halted_by(first)) == ("failed", 1, "service")
        assert first.engine.is_owner(ACCOUNT)
        reads = first.engine.read_counters()[ACCOUNT].reads
        await until(lambda: _is(first.engine.read_counters()[ACCOUNT].reads > reads))
        async with start(GOOD) as second:
            await owns(second)
            assert await _halted_by(first) == "service"
            await second.orders.operators.halts.resume(ACCOUNT, reason="another address", by=OPERATOR)
            assert (await first.place())["status"] == "completed"
            assert len(await first.ledger()) == 1


async def _is(fact: bool) -> bool:
    return fact


async def test_a_resume_lets_a_refused_address_try_again(start: Start) -> None:
    """The operator has registered it."""
    async with start(BAD) as first:
        await _refuse(first, BAD)
        assert (await first.place())["status"] == "failed"
        await first.sim.delete("/_sim/faults")
        await first.orders.operators.halts.resume(ACCOUNT, reason="registered", by=OPERATOR)
        assert (await first.place())["status"] == "completed"
        accepted = "SELECT address FROM egress_address WHERE accepted_at IS NOT NULL AND refused_until IS NULL"
        assert await _rows(first, accepted) == [(BAD,)]


async def test_a_replica_that_is_not_allowed_never_takes_the_account(start: Start) -> None:
    """Its tasks wait, the account is halted after a while, and the one that is allowed sends after a resume."""
    async with start(BAD, allowed=(GOOD,)) as first:
        await first.set_price("NSE:INFY", 1500)
        task = await first.place(wait_s=0.0)

        async def is_halted() -> bool:
            return await _halted_by(first) == "service"

        await until(is_halted)
        status = await _status(first)
        assert list(status.reasons) == ["no_sender", "address_refused", "halted"]
        assert [(one.address, one.may_send, one.why) for one in status.candidates] == [
            (BAD, False, "ALLOWED_EGRESS_IPS does not name the address")
        ]
        assert await _rows(first, "SELECT 1 FROM lease WHERE name LIKE 'sender:%'") == []
        async with start(GOOD, allowed=(GOOD,)) as second:
            await owns(second)
            await second.orders.operators.halts.resume(ACCOUNT, reason="one is allowed now", by=OPERATOR)
            assert (await end_of(first, task))["status"] == "completed"
            assert not first.engine.is_owner(ACCOUNT)
            assert len(await first.ledger()) == 1


async def test_a_replica_that_may_send_and_never_takes_the_account_does_not_keep_the_others_away(start: Start) -> None:
    """It announces itself, and its loops do not begin: the account is halted then, and its book is read by the replica
    that was refused."""
    async with start(BAD, replica_live_s=1.0) as first:
        await _refuse(first, BAD)
        await owns(first)
        await _rows(
            first,
            """INSERT INTO sender_replica (replica, address, listed, seen_at)
               VALUES ('able and idle', '127.0.0.4', true, clock_timestamp() + interval '1 hour') RETURNING 1""",
        )
        task = await first.place(wait_s=0.0)
        await reaches(first, task, TaskStatus.PENDING, TaskStatus.HELD)

        async def is_halted() -> bool:
            return await _halted_by(first) == "service"

        await until(is_halted)
        await owns(first)
        assert await first.ledger() == []


async def test_what_is_long_over_is_forgotten(start: Start) -> None:
    """Replicas that have not been seen for a day, when another one starts."""
    async with start(GOOD) as first:
        await _rows(
            first,
            """INSERT INTO sender_replica (replica, address, listed, seen_at)
               VALUES ('gone', '', true, clock_timestamp() - interval '2 days') RETURNING 1""",
        )
        async with start(WORSE):

            async def is_forgotten() -> bool:
                return await _rows(first, "SELECT 1 FROM sender_replica WHERE replica = 'gone'") == []

            await until(is_forgotten)


async def test_an_address_that_the_broker_accepted_may_send_without_being_listed(start: Start) -> None:
    """Until the broker refuses it."""
    async with start(GOOD) as first:
        await first.set_price("NSE:INFY", 1500)
        assert (await first.place())["status"] == "completed"
        unlisted = replace(Egress.of(first.parts.settings, replica="another one"), listed=False)
        async with first.database.connection() as connection:
            assert await egress_store.may_own(connection, ACCOUNT, unlisted)
            assert not await egress_store.may_own(connection, "second", unlisted)
            await egress_store.store_refusal(connection, ACCOUNT, GOOD, message="IP (x)", cool_down_s=0.0)
            assert not await egress_store.may_own(connection, ACCOUNT, unlisted)


async def test_doctor_says_which_replica_may_send(start: Start, database_url: str, redis_url: str) -> None:
    """This one by its settings and what the broker said of its address, and those that run."""

    async def found(**changes: Any) -> tuple[str, str]:
        keys = {"kite_api_key": "simkey", "kite_api_secret": "simsecret", "kite_rest_url": "http://127.0.0.1:9"}
        settings = Settings(database_url=database_url, redis_url=redis_url, **{**keys, **changes})
        (one,) = [finding for finding in await examine(settings) if finding.subject == "sender primary"]
        return one.result, one.detail

    result, detail = await found()
    assert (result, "not known" in detail, "running replicas that may: none" in detail) == ("ok", True, True)
    async with start(GOOD):
        result, detail = await found(egress_source_ip=GOOD, allowed_egress_ips=f"{GOOD}, {WORSE}")
        assert (result, f"that may: replica at {GOOD} ({GOOD})" in detail) == ("ok", True)
        assert f"this replica may send, address {GOOD}" in detail
        result, detail = await found(egress_ip=BAD, allowed_egress_ips=GOOD)
        assert (result, "ALLOWED_EGRESS_IPS does not name the address" in detail) == ("fail", True)
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
        await egress_store.store_refusal(connection, ACCOUNT, BAD, message=_message(BAD), cool_down_s=600.0)
    result, detail = await found(egress_ip=BAD)
    assert (result, _message(BAD) in detail) == ("fail", True)
