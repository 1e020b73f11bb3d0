"""Leases: one owner at a time, by the database's clock, with a term that only rises."""

from __future__ import annotations

import asyncio
import itertools
import os
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from functools import partial
from urllib.parse import urlsplit

import psycopg
import pytest

from app.db.leases import HELD_BY_TERM, Lease, LeaseLost, LeaseTimes
from app.db.ownership import Ownership, WhenUnsure
from app.db.postgres import Database, open_database
from app.errors import Unavailable
from app.kit.clock import Clock, SystemClock
from app.kit.process import process_name
from chaos.proxy import Toxic, open_proxy
from tests.integration.market.proxy import TcpProxy
from tests.waiting import until

LONG = LeaseTimes(ttl_s=60.0, trust_s=40.0, renew_every_s=0.1, try_every_s=0.05)
"""No test waits for the end of such a lease: a statement ends it, or a clock moves."""

LONGER = LeaseTimes(ttl_s=2.5, trust_s=2.0, renew_every_s=0.1, try_every_s=0.05)
"""Longer than the pauses of a busy machine: for what must not be lost meanwhile."""


class MovedClock(SystemClock):
    """The machine's clock, ahead by as many seconds as a test says."""

    ahead_s = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.ahead_s


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    opened = await open_database(database_url, name="leases")
    yield opened
    await opened.close()


def lease(database: Database, owner: str, *, times: LeaseTimes = LONG, clock: Clock | None = None) -> Lease:
    return Lease(database, name="sender:primary", owner=owner, times=times, clock=clock or SystemClock())


async def change_row(database: Database, changes: str) -> None:
    """What another process, or time, does to the row."""
    async with database.connection() as connection:
        await connection.execute(f"UPDATE lease SET {changes}")  # noqa: S608 - the tests' own texts


async def seconds_left(database: Database) -> float:
    async with database.connection() as connection:
        cursor = await connection.execute("SELECT extract(epoch FROM expires_at - clock_timestamp()) FROM lease")
        row = await cursor.fetchone()
    assert row is not None
    return float(row[0])


async def test_one_of_many_processes_takes_the_lease(database: Database) -> None:
    """Ten processes ask at once: one has it, in term 1."""
    leases = [lease(database, f"replica-{n}") for n in range(10)]
    taken = await asyncio.gather(*(one.try_take() for one in leases))
    assert sum(taken) == 1
    winner = leases[taken.index(True)]
    assert (winner.term, winner.held) == (1, True)
    assert not any(one.held for one in leases if one is not winner)


async def test_a_lease_that_is_not_renewed_passes_on(database: Database) -> None:
    """The next owner's term is one higher; the old owner stops trusting itself before its row is over."""
    clock = MovedClock()
    old, new = lease(database, "old", clock=clock), lease(database, "new")
    assert await old.try_take()
    assert not await new.try_take()
    assert LONG.ttl_s - 20 < await seconds_left(database) <= LONG.ttl_s
    clock.ahead_s = LONG.trust_s - 20
    assert old.held
    clock.ahead_s = LONG.trust_s
    assert not old.held
    await change_row(database, "expires_at = clock_timestamp()")
    assert await new.try_take()
    assert new.term == 2
    assert LONG.ttl_s - 20 < await seconds_left(database) <= LONG.ttl_s
    with pytest.raises(LeaseLost):
        await old.renew()


async def test_a_renewed_lease_stays(database: Database) -> None:
    """A renewal begins its time anew, in the row and for its owner."""
    clock = MovedClock()
    holder = lease(database, "holder", clock=clock)
    assert await holder.try_take()
    await change_row(database, "expires_at = clock_timestamp() + interval '20 s'")
    clock.ahead_s = LONG.trust_s
    assert not holder.held
    await holder.renew()
    assert holder.held
    assert LONG.ttl_s - 20 < await seconds_left(database) <= LONG.ttl_s


ELSEWHERE = {
    "a later term of the same process": "term = term + 1",
    "another process in the same term": "owner = 'thief'",
    "a term that is over, and nobody took the next": "expires_at = clock_timestamp()",
    "another lease": "name = 'sender:other'",
}
"""What may have become of the row; each alone ends a process's right to act."""


@pytest.mark.parametrize("change", ELSEWHERE.values(), ids=ELSEWHERE.keys())
async def test_a_guarded_statement_needs_the_present_term(database: Database, change: str) -> None:
    """Owner, term, time and name: the condition that a claim adds looks at each of them."""

    async def may_act() -> bool:
        async with database.connection() as connection:
            cursor = await connection.execute(f"SELECT {HELD_BY_TERM}", owned.guard)
            return (await cursor.fetchone()) == (True,)

    owned = lease(database, "replica")
    assert await owned.try_take()
    assert await may_act()
    await change_row(database, change)
    assert not await may_act()


@pytest.mark.parametrize("change", ELSEWHERE.values(), ids=ELSEWHERE.keys())
async def test_a_renewal_needs_the_present_term(database: Database, change: str) -> None:
    """What is no longer this process's is not extended, and the process stops trusting itself."""
    owned = lease(database, "replica")
    assert await owned.try_take()
    await change_row(database, change)
    before = await seconds_left(database)
    with pytest.raises(LeaseLost):
        await owned.renew()
    assert not owned.held
    assert await seconds_left(database) <= before


@pytest.mark.parametrize("change", [change for change in ELSEWHERE.values() if "expires_at" not in change])
async def test_a_release_ends_the_present_term_only(database: Database, change: str) -> None:
    """A lease that another process, or this one again, has taken meanwhile stays; so does one of another name."""
    owned = lease(database, "replica")
    assert await owned.try_take()
    await change_row(database, change)
    await owned.release()
    assert not owned.held
    assert await seconds_left(database) > 0


async def test_a_released_lease_is_free_at_once(database: Database) -> None:
    """After a replica that leaves in order the next owner does not wait for the time to live."""
    old, new = lease(database, "old", times=LeaseTimes()), lease(database, "new", times=LeaseTimes())
    assert await old.try_take()
    await old.release()
    assert not old.held
    assert await new.try_take()


@dataclass(slots=True)
class Work:
    """Work of two owners that must never run at once."""

    working: list[str] = field(default_factory=list)
    both: list[list[str]] = field(default_factory=list)

    async def run(self, name: str) -> None:
        self.working.append(name)
        if len(self.working) > 1:
            self.both.append(list(self.working))
        try:
            await asyncio.Event().wait()
        finally:
            self.working.remove(name)

    async def one(self) -> str:
        """The one that works, as soon as one does."""
        await until(lambda: _is(len(self.working) == 1))
        return self.working[0]


async def test_work_runs_only_under_the_lease_and_is_cancelled_when_it_is_lost(database: Database) -> None:
    """Two owners want the same work: never both at once; when a third takes the lease neither works."""
    work = Work()
    owners = {name: Ownership(lease(database, name), partial(work.run, name)) for name in ("a", "b")}
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(owner.run()) for owner in owners.values()]
        first = await work.one()
        assert [name for name, owner in owners.items() if owner.working] == [first]
        await change_row(database, "term = term + 1, owner = 'thief'")
        await until(lambda: _is(work.working == []))
        assert not any(owner.working for owner in owners.values())
        await change_row(database, "expires_at = clock_timestamp()")
        await work.one()
        for task in running:
            task.cancel()
    assert work.both == []


async def test_an_owner_that_leaves_hands_its_work_over_at_once(database: Database) -> None:
    """Long before the end of its lease, and it does not take the lease again."""
    work = Work()
    owners = {name: Ownership(lease(database, name), partial(work.run, name)) for name in ("a", "b")}
    async with asyncio.TaskGroup() as tasks:
        first_runs = tasks.create_task(owners["a"].run())
        assert await work.one() == "a"
        second_runs = tasks.create_task(owners["b"].run())
        await asyncio.sleep(0.3)  # tries of the second one
        assert work.working == ["a"]
        first_runs.cancel()
        await asyncio.wait([first_runs])
        await owners["a"].leave()
        assert await work.one() == "b"
        second_runs.cancel()
    assert work.both == []


async def test_an_owner_that_has_left_neither_renews_nor_takes_its_lease_again(database: Database) -> None:
    """Its work is still ending when the next owner may begin."""
    owned = lease(database, "a")
    owner = Ownership(owned, partial(Work().run, "a"))
    running = asyncio.create_task(owner.run())
    try:
        await until(lambda: _is(owner.working))
        await owner.leave()
        await asyncio.sleep(0.5)  # renewals, had it not left
        assert owner.working
        assert await seconds_left(database) <= 0
        assert owned.term == 1
    finally:
        running.cancel()
        await asyncio.wait([running])


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

    async with TcpProxy.to(database_url) as proxy:
        database = await open_database(proxy.url, name="leases")
        clock = MovedClock()
        owners = [
            Ownership(
                Lease(database, name=name, owner="me", times=LONG, clock=clock),
                partial(work, name),
                when_unsure=unsure,
            )
            for name, unsure in CASES
        ]
        running = [asyncio.create_task(owner.run()) for owner in owners]
        await until(lambda: _is(all(owner.working for owner in owners)))
        await proxy.cut()
        await asyncio.sleep(1.0)
        assert stopped == []  # the lease is still good
        clock.ahead_s = LONG.trust_s
        await until(lambda: _is(stopped == ["sender"]))
        await asyncio.sleep(1.0)
        assert stopped == ["sender"]
        await proxy.heal()
        async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
            await connection.execute("UPDATE lease SET expires_at = clock_timestamp()")
        await until(lambda: _is(all(owner.lease.held and owner.working for owner in owners)))
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


async def test_work_that_fails_begins_anew_and_says_so(database: Database) -> None:
    """An error of one account's work ends neither the process nor the work: another process may try meanwhile."""
    said: list[str] = []
    beginnings: list[float] = []
    clock = SystemClock()

    async def work() -> None:
        beginnings.append(clock.monotonic())
        if len(beginnings) < 3:
            raise OverflowError("date value out of range")
        await asyncio.Event().wait()

    async def tell(what: str) -> None:
        said.append(what)

    owned = lease(database, "a")
    owner = Ownership(owned, work, on_failure=tell, random_unit=lambda: 0.0)
    running = asyncio.create_task(owner.run())
    await until(lambda: _is(len(said) == 1))
    assert not owned.held
    assert owner.failure == "OverflowError: date value out of range"
    await until(lambda: _is(len(beginnings) == 3))
    assert said == ["OverflowError: date value out of range"] * 2
    pauses = [after - before for before, after in itertools.pairwise(beginnings)]
    assert 0.5 <= pauses[0] < pauses[1]
    assert owner.working
    assert owner.failure is not None
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_a_failure_that_cannot_be_reported_is_a_failure_all_the_same(database: Database) -> None:
    """The database may be away at that moment: the work begins anew, unreported."""
    begun = asyncio.Event()
    failing = True

    async def work() -> None:
        nonlocal failing
        if failing:
            failing = False
            raise KeyError("exchange")
        begun.set()
        await asyncio.Event().wait()

    async def tell(what: str) -> None:
        raise Unavailable(what)

    running = asyncio.create_task(Ownership(lease(database, "a"), work, on_failure=tell).run())
    await asyncio.wait_for(begun.wait(), 10)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_the_generation_rises_with_each_statement_and_no_late_answer_lowers_it(database: Database) -> None:
    """A copy from before one of them has a lower one, and the owner's lease is lost there."""
    mine = lease(database, "me")
    assert await mine.try_take()
    taken = mine.generation
    await mine.renew()
    assert mine.generation == taken + 1
    mine.advanced(taken)
    assert mine.guard["lease_generation"] == taken + 1
    await change_row(database, f"generation = {taken}")
    with pytest.raises(LeaseLost):
        await mine.renew()
    await change_row(database, "expires_at = clock_timestamp()")
    assert await mine.try_take()
    assert mine.generation == taken + 1
    await mine.renew()
