"""The database is lost while an order is accepted: stored once or not at all, and the caller learns which."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Literal
from uuid import UUID

import pytest

from app.composition.orders import build_acceptance
from app.db.postgres import open_database
from app.orders.entry.acceptance import Acceptance, Caller
from app.orders.entry.not_accepted import AcceptanceUnknown, NotAccepted
from app.orders.risk.limits import RiskLimits
from app.orders.state.new_tasks import NewTask, OrderLine
from app.orders.views.queries import OrderQueries
from simulator.server import RunningSimulator
from tests.integration.market.proxy import TcpProxy
from tests.order_environment import ACCOUNT, OPERATOR, OrderEnvironment, open_order_environment
from tests.order_requests import order
from tests.order_waits import after_the_lease
from tests.waiting import until

Cut = Literal["before", "after"]


@dataclass(slots=True)
class Line:
    """One connection: whether it is cut, and that an answer of the server came after that."""

    is_cut: bool = False
    swallowed: asyncio.Event = field(default_factory=asyncio.Event)


class CommitCutter(TcpProxy):
    """Breaks connections at a COMMIT: ``before`` the server sees it, or ``after`` it did, without its answer.

    With ``comes_back`` ``never``, the database is gone once all cuts are made.
    """

    cuts: list[Cut]
    comes_back: Literal["at_once", "never"] = "at_once"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self.cuts and self.comes_back == "never":
            writer.transport.abort()
            return
        there, back = await asyncio.open_connection(self._target.hostname, self._target.port)
        self._writers |= {writer, back}
        line = Line()
        self._pumps |= {
            asyncio.create_task(self._requests(reader, back, writer, line)),
            asyncio.create_task(self._answers(there, writer, line)),
        }

    async def _requests(
        self, reader: asyncio.StreamReader, back: asyncio.StreamWriter, front: asyncio.StreamWriter, line: Line
    ) -> None:
        while data := await reader.read(65536):
            cut = self.cuts.pop(0) if b"COMMIT" in data and self.cuts else None
            line.is_cut = cut is not None
            if cut != "before":
                back.write(data)
            if cut == "after":
                await line.swallowed.wait()  # the server's commit went through, its answer is lost
            if cut is not None:
                for writer in {front} if self.comes_back == "at_once" else self._writers:
                    writer.transport.abort()
                break
        back.transport.abort()

    async def _answers(self, reader: asyncio.StreamReader, front: asyncio.StreamWriter, line: Line) -> None:
        while data := await reader.read(65536):
            if line.is_cut:
                line.swallowed.set()
            else:
                front.write(data)
        front.transport.abort()


@asynccontextmanager
async def accepting_through(proxy: TcpProxy, environment: OrderEnvironment) -> AsyncIterator[Acceptance]:
    """An acceptance whose database is behind the proxy; the environment's own engine is not."""
    database = await open_database(proxy.url, name="cut", min_size=1)
    inputs = replace(environment.inputs, queries=OrderQueries(database=database, clock=environment.parts.clock))
    try:
        yield build_acceptance(replace(environment.parts, database=database), inputs, engine=environment.engine)
    finally:
        await database.close()


def a_task(environment: OrderEnvironment) -> NewTask:
    return environment.parts.tasks.place(OrderLine(request=order()), account_id=ACCOUNT)


@pytest.mark.parametrize("cut", ["before", "after"])
async def test_a_commit_that_is_cut_off_stores_the_order_once(
    environment: OrderEnvironment, database_url: str, cut: Cut
) -> None:
    """Whether or not the commit went through, the same rows are offered again: one task, one order, a plain 201."""
    async with CommitCutter.to(database_url) as proxy:
        assert isinstance(proxy, CommitCutter)
        proxy.cuts = [cut]
        async with accepting_through(proxy, environment) as acceptance:
            answer = await acceptance.accept(
                [a_task(environment)],
                batch=None,
                fingerprint=b"f",
                caller=Caller(principal="t", idem_key="k" * 16),
                wait_s=20,
            )
        assert proxy.cuts == []
    assert answer.document["status"] == "completed"
    assert len(await environment.ledger()) == 1


async def test_a_lost_commit_of_a_restricted_account_is_not_counted_against_itself(
    database_url: str, simulator: RunningSimulator
) -> None:
    """No key, and a limit that the order itself reaches: the second try finds its rows before it counts them."""
    limits = RiskLimits(max_identical=1, identical_window_s=30.0, max_open_orders=1)
    async with open_order_environment(database_url, simulator.url, limits=limits) as environment:
        await environment.orders.operators.halts.halt(
            ACCOUNT, mode="reduce_only", open_orders="leave", reason="test", by=OPERATOR
        )
        async with CommitCutter.to(database_url) as proxy:
            assert isinstance(proxy, CommitCutter)
            proxy.cuts = ["after"]
            async with accepting_through(proxy, environment) as acceptance:
                answer = await acceptance.accept(
                    [a_task(environment)], batch=None, fingerprint=b"f", caller=Caller(principal="t"), wait_s=0
                )
            assert proxy.cuts == []
        assert answer.document["status"] in {"pending", "held"}
        assert await _tasks(environment, 1)


async def test_a_database_lost_for_good_during_the_commit_is_reported_as_unknown(
    environment: OrderEnvironment, database_url: str
) -> None:
    """It may be stored and may be sent: no server error (those get repeated), `sent` says unknown."""
    async with CommitCutter.to(database_url) as proxy:
        assert isinstance(proxy, CommitCutter)
        proxy.cuts, proxy.comes_back = ["after"], "never"
        async with accepting_through(proxy, environment) as acceptance:
            task = a_task(environment)
            with pytest.raises(AcceptanceUnknown) as caught:
                await acceptance.accept([task], batch=None, fingerprint=b"f", caller=Caller(principal="t"), wait_s=20)
    assert (caught.value.sent, caught.value.retryable) == ("unknown", "after_check")
    await until(lambda: _ledger_has(environment, 1))


async def test_a_database_that_is_away_accepts_nothing_and_says_so(
    environment: OrderEnvironment, database_url: str
) -> None:
    """Lost before the commit: nothing is stored, `sent` says no, and trying again is safe."""
    async with TcpProxy.to(database_url) as proxy, accepting_through(proxy, environment) as acceptance:
        await proxy.cut()
        with pytest.raises(NotAccepted) as caught:
            await acceptance.accept(
                [a_task(environment)], batch=None, fingerprint=b"f", caller=Caller(principal="t"), wait_s=20
            )
    assert (caught.value.sent, caught.value.retryable) == ("no", "yes")
    assert await environment.ledger() == []


async def test_a_database_lost_while_the_caller_waits_is_no_failure(
    environment: OrderEnvironment, database_url: str, simulator: RunningSimulator
) -> None:
    """The order is stored: the answer says that its state cannot be read, and where it will be; never an error."""
    await environment.crash()  # no sender runs while the caller waits
    async with TcpProxy.to(database_url) as proxy, accepting_through(proxy, environment) as acceptance:
        waiting = asyncio.create_task(
            acceptance.accept(
                [a_task(environment)], batch=None, fingerprint=b"f", caller=Caller(principal="t"), wait_s=3.0
            )
        )
        await until(lambda: _tasks(environment, 1))
        await proxy.cut()
        answer = await waiting
    assert not answer.final
    assert (answer.document["status"], answer.document["sent"]) == ("in_doubt", "unknown")
    assert answer.document["task_id"] == str(answer.resource_id)
    await after_the_lease(database_url)
    async with open_order_environment(database_url, simulator.url, owner="next") as after:
        await until(lambda: _completed(after, answer.resource_id))


async def _ledger_has(environment: OrderEnvironment, count: int) -> bool:
    return len(await environment.ledger()) == count


async def _tasks(environment: OrderEnvironment, count: int) -> bool:
    return len((await environment.service.queries.tasks(None, status=None, before=None, limit=10)).data) == count


async def _completed(environment: OrderEnvironment, task_id: UUID) -> bool:
    return (await environment.service.queries.task(task_id)).status == "completed"
