"""A key is called "not sent" only when no other request under it is being stored, whatever ended the wait for that."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Literal

import pytest

from app.broker.orders import OrderType
from app.composition.orders import build_acceptance
from app.db.postgres import Database, Tx, open_database
from app.orders.entry.acceptance import Acceptance, Caller
from app.orders.entry.keyed_commands import KeyedCommands
from app.orders.entry.not_accepted import AcceptanceUnknown, NotAccepted
from app.orders.entry.outcome_wait import Answer
from app.orders.entry.service import BatchOptions
from app.orders.risk.exits import PositionFilter
from app.orders.state.new_tasks import OrderLine
from app.orders.views.queries import OrderQueries
from chaos.proxy import FaultProxy, Toxic, open_proxy
from tests.faults.outage_environment import port_of, with_port
from tests.order_environment import ACCOUNT, OrderEnvironment
from tests.order_requests import order
from tests.order_waits import read_again, struck
from tests.waiting import until

KEY = "k" * 20
COMMIT_WAITS = Toxic(kind="hold", directions=frozenset({"up"}), since=b"COMMIT")
"""The rows are inserted, and their commit has not arrived."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Replica:
    """An acceptance, and the line to its database."""

    acceptance: Acceptance
    database: Database
    proxy: FaultProxy
    environment: OrderEnvironment

    async def accept(self) -> Answer:
        task = self.environment.parts.tasks.place(OrderLine(request=order()), account_id=ACCOUNT)
        return await self.acceptance.accept(
            [task], batch=None, fingerprint=b"f", caller=Caller(principal="t", idem_key=KEY), wait_s=0.0
        )

    async def close_everything(self) -> Answer:
        """A command for many orders under the same key; what it would store does not matter here."""

        async def rows(tx: Tx) -> None:
            await tx.execute("SELECT 1")

        commands = KeyedCommands(self.database, acceptance=self.acceptance)
        return await commands.store(
            "mass_cancel",
            self.environment.parts.ids.uuid(),
            ACCOUNT,
            fingerprint=b"f",
            caller=Caller(principal="t", idem_key=KEY),
            wait_s=0.0,
            rows=rows,
            stored=lambda: None,
        )

    def lose_the_database(self) -> None:
        self.proxy.stop_listening()
        self.proxy.cut()


@asynccontextmanager
async def replica(environment: OrderEnvironment, database_url: str) -> AsyncIterator[Replica]:
    async with open_proxy(port_of(database_url)) as proxy:
        database = await open_database(with_port(database_url, proxy.port), name="replica", min_size=2, max_size=4)
        inputs = replace(environment.inputs, queries=OrderQueries(database=database, clock=environment.parts.clock))
        parts = replace(environment.parts, database=database)
        acceptance = build_acceptance(parts, inputs, engine=environment.engine)
        try:
            yield Replica(acceptance=acceptance, database=database, proxy=proxy, environment=environment)
        finally:
            await database.close()


async def backends(environment: OrderEnvironment, state: str) -> list[int]:
    """The server processes of the replicas in this state, or in a wait of this kind, long enough that what the client
    sends next is on its way."""
    async with environment.database.connection() as connection:
        cursor = await connection.execute(
            """SELECT pid FROM pg_stat_activity WHERE application_name = 'replica' AND %s IN (state, wait_event_type)
                 AND state_change < clock_timestamp() - interval '0.3 s'""",
            (state,),
        )
        return [row[0] for row in await cursor.fetchall()]


async def holds_the_key(environment: OrderEnvironment) -> None:
    async def held() -> bool:
        return bool(await backends(environment, "idle in transaction"))

    await until(held)


async def waits_for_the_key(environment: OrderEnvironment) -> int:
    async def waits() -> bool:
        return bool(await backends(environment, "Lock"))

    await until(waits)
    return (await backends(environment, "Lock"))[0]


WaitEnds = Literal["by itself", "cancelled by the server", "with its connection"]


@pytest.mark.parametrize("wait_ends", ["by itself", "cancelled by the server", "with its connection"])
async def test_a_wait_for_the_same_key_that_ends_is_no_proof_that_nothing_is_stored(
    environment: OrderEnvironment, database_url: str, wait_ends: WaitEnds
) -> None:
    """The second request is told that it is unknown; the first one's order goes once its commit arrives."""
    async with replica(environment, database_url) as slow, replica(environment, database_url) as other:
        slow.proxy.toxics = (COMMIT_WAITS,)
        first = asyncio.create_task(slow.accept())
        await holds_the_key(environment)
        second = asyncio.create_task(other.accept())
        pid = await waits_for_the_key(environment)
        end: dict[WaitEnds, Callable[[int], str]] = {
            "cancelled by the server": "SELECT pg_cancel_backend({})".format,
            "with its connection": "SELECT pg_terminate_backend({})".format,
        }
        if wait_ends in end:
            async with environment.database.connection() as connection:
                await connection.execute(end[wait_ends](pid))
        with pytest.raises(AcceptanceUnknown) as caught:
            await second
        assert (caught.value.sent, caught.value.retryable) == ("unknown", "after_check")
        assert not first.done()
        slow.proxy.toxics = ()
        assert not (await first).replayed
        assert (await other.accept()).replayed


async def test_a_command_for_many_orders_is_not_called_unsent_while_its_key_is_being_stored(
    environment: OrderEnvironment, database_url: str
) -> None:
    """The same mechanism serves it: its exits and cancels go once the first request's commit arrives."""
    async with replica(environment, database_url) as slow, replica(environment, database_url) as other:
        slow.proxy.toxics = (COMMIT_WAITS,)
        first = asyncio.create_task(slow.accept())
        await holds_the_key(environment)
        with pytest.raises(AcceptanceUnknown) as caught:
            await other.close_everything()
        assert caught.value.sent == "unknown"
        assert not first.done()
        slow.proxy.toxics = ()
        await first


async def test_a_wait_that_ended_is_unknown_when_the_database_cannot_be_asked_any_more(
    environment: OrderEnvironment, database_url: str
) -> None:
    """The second replica's line stops while it waits: its own bound ends the wait, and nobody answers the question."""
    async with replica(environment, database_url) as slow, replica(environment, database_url) as other:
        slow.proxy.toxics = (COMMIT_WAITS,)
        first = asyncio.create_task(slow.accept())
        await holds_the_key(environment)
        second = asyncio.create_task(other.accept())
        await waits_for_the_key(environment)
        other.proxy.toxics = (Toxic(kind="timeout"),)
        with pytest.raises(AcceptanceUnknown):
            await second
        slow.proxy.toxics = ()
        await first


async def test_a_key_whose_commit_is_on_its_way_is_unknown_while_the_database_is_away(
    environment: OrderEnvironment, database_url: str
) -> None:
    """One replica: the first request is between its insert and its commit when the database goes."""
    async with replica(environment, database_url) as alone:
        alone.proxy.toxics = (COMMIT_WAITS,)
        first = asyncio.create_task(alone.accept())
        await holds_the_key(environment)
        alone.proxy.stop_listening()
        alone.proxy.toxics = (COMMIT_WAITS, Toxic(kind="reset_peer", since=b"SELECT"))
        second = await asyncio.gather(alone.accept(), return_exceptions=True)
        alone.proxy.cut()
        third = await asyncio.gather(first, return_exceptions=True)
        fourth = await asyncio.gather(alone.accept(), return_exceptions=True)
        assert [type(one) for one in (*second, *third, *fourth)] == [AcceptanceUnknown] * 3


async def test_a_key_that_no_other_request_stores_is_not_sent(environment: OrderEnvironment, database_url: str) -> None:
    """Lost before its commit was written, and nobody else stores it: not sent, also for those who ask again."""
    async with replica(environment, database_url) as alone:
        alone.proxy.toxics = (Toxic(kind="reset_peer", since=b"INSERT INTO order_task"),)
        with pytest.raises(NotAccepted) as caught:
            await alone.accept()
        assert (caught.value.sent, caught.value.retryable) == ("no", "yes")
        alone.lose_the_database()
        with pytest.raises(NotAccepted):
            await alone.accept()
    assert await environment.ledger() == []


@pytest.mark.parametrize("command", ["close", "margin_first"])
async def test_a_read_that_fails_while_another_request_stores_the_key_is_no_refusal(
    environment: OrderEnvironment, command: str
) -> None:
    """Both requests found the key unused. The broker does not answer the second one's question for the positions, and
    the first one's orders are sent meanwhile: the second is answered with them, not with "nothing was sent"."""

    async def ask() -> Answer:
        caller = Caller(principal="t", idem_key=KEY)
        if command == "close":
            wanted = PositionFilter(account_id=ACCOUNT)
            return await environment.orders.position_closes.close(wanted, tag=None, caller=caller, wait_s=20.0)
        options = BatchOptions(order="margin_first", check_margin="skip")
        lines = [OrderLine(request=order()), OrderLine(request=order(price=Decimal(1401)))]
        return await environment.service.place_batch(
            lines, account_id=ACCOUNT, options=options, caller=caller, wait_s=20.0
        )

    await environment.set_price("NSE:INFY", 1500, frozen=True)
    if command == "close":
        await environment.place(order_type=OrderType.MARKET, price=None)
        await read_again(environment, 2)
    await environment.fault("hang", method="GET", path="/portfolio/positions", params={"ms": 20_000})
    second = asyncio.create_task(ask())
    await struck(environment, "hang")
    first = await ask()
    assert (await second).resource_id == first.resource_id
    assert (await second).replayed
