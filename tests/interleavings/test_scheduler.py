"""The scheduler itself: an order is followed, a lock wait is a step, deadlocks and endless operations end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

import psycopg
import pytest
from psycopg.errors import DeadlockDetected

from app.db.postgres import Database, Tx
from app.errors import Unavailable
from tests.interleavings.pausing import CLAIMS, PAUSES_INSIDE, LockServer, Side, open_side
from tests.interleavings.scheduler import Actor, Program, Run, Scheduler, StuckRun, following


@dataclass(frozen=True, slots=True, kw_only=True)
class TwoSides:
    """Two sides on a table with the rows 1 and 2."""

    sides: Mapping[str, tuple[Side, Database]]
    server: LockServer

    def program(self, name: str, *, rows: tuple[int, ...]) -> Program:
        """Add one to each of these rows, in one transaction."""
        side, database = self.sides[name]

        async def program(actor: Actor) -> None:
            side.actor = actor
            async with database.transaction() as tx:
                for row in rows:
                    await tx.execute("UPDATE counter SET value = value + 1 WHERE id = %s", (row,))

        return program

    async def run(self, schedule: str, *, a: tuple[int, ...], b: tuple[int, ...]) -> Run:
        programs = {"a": self.program("a", rows=a), "b": self.program("b", rows=b)}
        return await Scheduler(self.server).run(programs, following(schedule))

    async def values(self, tx: Tx) -> list[int]:
        cursor = await tx.execute("SELECT value FROM counter ORDER BY id")
        return [row[0] for row in await cursor.fetchall()]


@pytest.fixture
async def two(database_url: str) -> AsyncIterator[TwoSides]:
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as control:
        await control.execute(PAUSES_INSIDE)
        await control.execute("CREATE TABLE counter (id int PRIMARY KEY, value int NOT NULL DEFAULT 0)")
        await control.execute("INSERT INTO counter (id) VALUES (1), (2)")
        server = LockServer(control)
        sides = {name: await open_side(database_url, name, server=server) for name in ("a", "b")}
        yield TwoSides(sides=sides, server=server)
        for side, database in sides.values():
            side.actor = None
            await database.close()


async def test_a_schedule_is_followed_step_by_step(two: TwoSides) -> None:
    """Three steps each, on different rows: two statements and the end of the transaction."""
    run = await two.run("abbaab", a=(1, 1), b=(2, 2))
    assert run.schedule == "abbaab"
    assert [step.label[:6] for step in run.steps] == ["UPDATE"] * 4 + ["end of"] * 2
    assert not any(step.blocked for step in run.steps)


async def test_the_same_schedule_gives_the_same_run(two: TwoSides) -> None:
    """Also where steps are blocked and choices are passed over."""
    runs = [await two.run("abbbab", a=(1, 2), b=(1,)) for _ in range(3)]
    assert len({run.schedule for run in runs}) == 1


async def test_a_step_that_waits_for_a_lock_counts_and_the_other_goes_on(two: TwoSides) -> None:
    """The second update of the row waits for the first one's commit; nothing else can be chosen meanwhile."""
    run = await two.run("abbb", a=(1, 2), b=(1,))
    assert [(step.choice, step.blocked) for step in run.steps] == [
        ("a", False), ("b", True), ("a", False), ("a", False), ("b", False),
    ]  # fmt: skip
    assert set(run.steps[2].ready) == {"a", "B"}
    assert not any(ending.error for ending in run.endings.values())


async def test_a_wait_can_end_at_its_bound(two: TwoSides) -> None:
    """``B``: the waiting statement fails as when its time is over, and its operation learns it."""
    run = await two.run("abB", a=(1, 2), b=(1,))
    assert run.schedule == "abBbaa"
    assert isinstance(run.endings["b"].error, Unavailable)
    assert run.endings["a"].error is None


async def test_a_deadlock_ends_and_is_counted(two: TwoSides) -> None:
    """The server ends one of two operations that wait for each other, and the other one comes to its end."""
    run = await two.run("abab", a=(1, 2), b=(2, 1))
    assert run.deadlocks == 1
    failed = [ending.error for ending in run.endings.values() if ending.error is not None]
    assert [type(error.__cause__) for error in failed] == [DeadlockDetected]


async def test_an_operation_that_never_pauses_again_is_named(two: TwoSides) -> None:
    """Within the limit of the run, together with the steps so far."""

    async def hang(actor: Actor) -> None:
        await actor.pause("last seen here")
        await asyncio.sleep(60)

    with pytest.raises(StuckRun, match=r"^ab: .*b moving at 'last seen here'"):
        await Scheduler(two.server, limit_s=1.0).run({"a": two.program("a", rows=(1,)), "b": hang}, following("ab"))


async def test_a_claim_pauses_inside_with_its_snapshot_taken(two: TwoSides) -> None:
    """What is committed while it pauses there is not in its snapshot, and its row is not locked yet."""
    side, database = two.sides["a"]

    async def claim(actor: Actor) -> tuple[int, int]:
        side.actor = actor
        async with database.connection() as connection:
            cursor = await connection.execute(
                f"""WITH free AS (SELECT id FROM counter WHERE id = 1 AND clock_timestamp() > '2000-01-01'
                      FOR UPDATE {CLAIMS})
                    SELECT (SELECT count(*) FROM free), (SELECT value FROM counter WHERE id = 2)"""  # noqa: S608
            )
            row = await cursor.fetchone()
            assert row is not None
            return row[0], row[1]

    programs = {"a": claim, "b": two.program("b", rows=(1, 2))}
    run = await Scheduler(two.server).run(programs, following("abbba"))
    assert run.schedule == "abbbaa"
    assert run.endings["a"].value == (1, 0)
    assert not any(step.blocked for step in run.steps)
