"""Leases: one owner at a time, by the database's clock, with a term that only rises."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from functools import partial
from urllib.parse import urlsplit

import pytest

from app.db.leases import Lease, LeaseLost, LeaseTimes, Ownership, WhenUnsure
from app.db.postgres import Database, open_database
from app.errors import Unavailable
from app.kit.clock import SystemClock
from app.kit.process import process_name
from chaos.proxy import Toxic, open_proxy
from tests.integration.market.proxy import TcpProxy
from tests.waiting import until

TIMES = LeaseTimes(ttl_s=0.6, trust_s=0.4, renew_every_s=0.1, try_every_s=0.05)
LONGER = LeaseTimes(ttl_s=2.5, trust_s=2.0, renew_every_s=0.1, try_every_s=0.05)
"""Longer than the pauses of a busy machine: for what must not be lost meanwhile."""


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    opened = await open_database(database_url, name="leases")
    yield opened
    await opened.close()


def lease(database: Database, owner: str, *, times: LeaseTimes = TIMES) -> Lease:
    return Lease(database, name="sender:primary", owner=owner, times=times, clock=SystemClock())


async def test_one_of_many_processes_takes_the_lease(database: Database) -> None:
    """Ten processes ask at once: one has it, in term 1."""
    leases = [lease(database, f"replica-{n}") for n in range(10)]
    taken = await asyncio.gather(*(one.try_take() for one in leases))
    assert sum(taken) == 1
    winner = leases[taken.index(True)]
    assert (winner.term, winner.held) == (1, True)


async def test_a_lease_that_is_not_renewed_passes_on(database: Database) -> None:
    """The next owner's term is one higher, and the old owner has stopped trusting itself before that."""
    old, new = lease(database, "old", times=LONGER), lease(database, "new", times=LONGER)
    assert await old.try_take()
    assert not await new.try_take()

    async def taken_over() -> bool:
        return await new.try_take()

    await until(taken_over)
    assert not old.held
    assert new.term == 2
    with pytest.raises(LeaseLost):
        await old.renew()


async def test_a_renewed_lease_stays(database: Database) -> None:
    """Longer than its time to live, as long as it is renewed."""
    holder, other = lease(database, "holder", times=LONGER), lease(database, "other", times=LONGER)
    assert await holder.try_take()
    for _ in range(6):
        await asyncio.sleep(0.5)
        await holder.renew()
        assert not await other.try_take()
    assert holder.held


async def test_a_released_lease_is_free_at_once(database: Database) -> None:
    """After a replica that leaves in order the next owner does not wait for the time to live."""
    old, new = lease(database, "old", times=LeaseTimes()), lease(database, "new", times=LeaseTimes())
    assert await old.try_take()
    await old.release()
    assert not old.held
    assert await new.try_take()


async def test_a_stolen_term_cannot_be_released_by_its_former_owner(database: Database) -> None:
    """Release names the term: a process that lost it cannot end the next owner's."""
    old, new, third = (lease(database, name) for name in ("old", "new", "third"))
    assert await old.try_take()
    async with database.connection() as connection:
        await connection.execute("UPDATE lease SET expires_at = clock_timestamp()")
    new.times = third.times = LeaseTimes()
    assert await new.try_take()
    await old.release()
    assert not await third.try_take()


async def test_work_runs_only_under_the_lease_and_is_cancelled_when_it_is_lost(database: Database) -> None:
    """Two owners want the same work: never both at once; when one is starved of renewals the other goes on."""
    working: list[str] = []
    both: list[list[str]] = []

    async def work(name: str) -> None:
        working.append(name)
        if len(working) > 1:
            both.append(list(working))
        try:
            await asyncio.Event().wait()
        finally:
            working.remove(name)

    a = Ownership(lease(database, "a"), lambda: work("a"))
    b = Ownership(lease(database, "b"), lambda: work("b"))
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(a.run()), tasks.create_task(b.run())]
        await until(lambda: _is(len(working) == 1))
        first = working[0]
        async with database.connection() as connection:  # another owner takes it: renewals fail from now on
            await connection.execute(
                "UPDATE lease SET term = term + 1, owner = 'thief', expires_at = clock_timestamp() + interval '1 s'"
            )
        await until(lambda: _is(working == []))
        await until(lambda: _is(len(working) == 1))
        await (a if working[0] == "a" else b).leave()
        await until(lambda: _is(working == ["b" if first == "a" else "a"] or len(working) == 1))
        for task in running:
            task.cancel()
    assert both == []


async def _is(condition: bool) -> bool:
    return condition


async def test_a_dead_holder_on_this_machine_is_not_waited_for(database: Database) -> None:
    """A process that no longer exists cannot send: its lease is taken at once, in the next term."""
    gone = await asyncio.create_subprocess_exec(sys.executable, "-c", "")
    await gone.wait()
    name = process_name("old").split("/")
    dead = lease(database, "/".join([*name[:3], str(gone.pid), "old"]), times=LeaseTimes())
    alive = lease(database, process_name("new"), times=LeaseTimes())
    assert await dead.try_take()
    assert await alive.try_take()
    assert alive.term == 2
    with pytest.raises(LeaseLost):
        await dead.renew()


async def test_a_living_holder_or_one_elsewhere_is_waited_for(database: Database) -> None:
    """The number of a process says nothing about another machine or another boot."""
    parent = process_name("parent").split("/")
    parent[3] = str(os.getppid())
    elsewhere = process_name("x").split("/")
    elsewhere[1], elsewhere[3] = "another-boot", "1"
    for owner in ("/".join(parent), "/".join(elsewhere), "some name"):
        async with database.connection() as connection:
            await connection.execute("DELETE FROM lease")
        holder = lease(database, owner, times=LeaseTimes())
        assert await holder.try_take()
        assert not await lease(database, process_name("new"), times=LeaseTimes()).try_take()


async def test_harmless_work_goes_on_while_the_database_is_away(database_url: str) -> None:
    """A feed is not stopped by an outage of the database, and keeps the lease when that is back; a sender stops."""
    stopped: list[str] = []

    async def work(name: str) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            stopped.append(name)

    times = LeaseTimes(ttl_s=3.0, trust_s=2.0, renew_every_s=0.1, try_every_s=0.05)
    async with TcpProxy.to(database_url) as proxy:
        database = await open_database(proxy.url, name="leases")
        clock = SystemClock()
        owners = [
            Ownership(
                Lease(database, name=name, owner="me", times=times, clock=clock),
                partial(work, name),
                when_unsure=unsure,
            )
            for name, unsure in CASES
        ]
        running = [asyncio.create_task(owner.run()) for owner in owners]
        await until(lambda: _is(all(owner.working for owner in owners)))
        await proxy.cut()
        await until(lambda: _is(stopped == ["sender"]))
        await asyncio.sleep(1.0)
        assert stopped == ["sender"]
        await proxy.heal()
        await until(lambda: _is(all(owner.lease.held for owner in owners)))
        assert stopped == ["sender"]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await database.close()


CASES: tuple[tuple[str, WhenUnsure], ...] = (("feed", "go_on"), ("sender", "stop"))


async def test_work_that_meets_a_lost_database_begins_anew(database: Database) -> None:
    """In a new term, by itself: a moment's outage must not need a restart of the process."""
    begun: list[int] = []
    owned = lease(database, "replica", times=LONGER)

    async def work() -> None:
        begun.append(owned.term)
        if len(begun) < 3:
            raise Unavailable("the database connection failed", code="DATABASE_UNAVAILABLE")
        await asyncio.Event().wait()

    async def third_term() -> bool:
        return len(begun) == 3

    running = asyncio.create_task(Ownership(owned, work).run())
    try:
        await until(third_term)
        assert begun == [1, 2, 3]
        assert owned.held
    finally:
        running.cancel()
        await asyncio.wait([running])


async def test_a_lease_that_a_connection_was_waited_for_is_trusted_from_its_own_time(database_url: str) -> None:
    """Else an owner would begin with a lease that is over by its own clock, and send nothing for a while."""
    pool = await open_database(database_url, name="narrow", min_size=1, max_size=1)
    times = LeaseTimes(ttl_s=1.5, trust_s=1.0, renew_every_s=0.1, try_every_s=0.05)
    try:
        owned = lease(pool, "replica", times=times)
        async with pool.connection() as taken:
            asking = asyncio.create_task(owned.try_take())
            await taken.execute("SELECT pg_sleep(%s)", (times.trust_s + 0.1,))
        assert await asking
        assert owned.held
    finally:
        await pool.close()


async def test_work_that_fails_while_it_is_stopped_does_not_begin_anew(database: Database) -> None:
    """A connection that breaks on the way out must not keep a stopped owner alive."""
    begun = asyncio.Event()

    async def work() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            raise Unavailable("the database connection failed", code="DATABASE_UNAVAILABLE")

    running = asyncio.create_task(Ownership(lease(database, "replica"), work).run())
    await begun.wait()
    running.cancel()
    done, _ = await asyncio.wait([running], timeout=20)
    assert done
    assert running.cancelled()


async def test_a_line_that_swallows_ends_the_term_and_not_the_ownership(database_url: str) -> None:
    """No answer and no error on the holder's connections: it stops, and begins again when the line is a new one."""
    begun = 0

    async def work() -> None:
        nonlocal begun
        begun += 1
        await asyncio.Event().wait()

    port = urlsplit(database_url).port
    assert port is not None
    async with open_proxy(port) as line:
        url = database_url.replace(f":{port}/", f":{line.port}/")
        database = await open_database(url, name="swallowed", min_size=1, max_size=2)
        owner = asyncio.create_task(Ownership(lease(database, "holder", times=LONGER), work).run())

        async def has_begun(times: int) -> bool:
            return begun >= times

        try:
            await until(partial(has_begun, 1))
            line.toxics = (Toxic(kind="timeout"),)
            await asyncio.sleep(LONGER.ttl_s)
            line.toxics = ()
            await until(partial(has_begun, 2), within_s=40.0)
        finally:
            owner.cancel()
            await asyncio.gather(owner, return_exceptions=True)
            await database.close()
