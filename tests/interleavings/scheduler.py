"""Runs operations side by side, one step at a time, in an order that is chosen from outside.

An operation calls ``Actor.pause`` before each step and waits there until the scheduler grants it. After a grant the
scheduler waits until that operation pauses again, ends, or is blocked by a lock that another one holds; only then is
the next step chosen. So the same choices give the same run. Beside the next step of a paused operation it can be chosen
that the wait of a blocked one ends at its bound: that choice is the operation's name in upper case.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from enum import Enum, StrEnum, auto
from typing import Any, Protocol

LOOK_EVERY_S = 0.003
"""How often a step that does not come back is looked up at the server. Most statements take less."""

LIMIT_S = 20.0
"""What no run takes, on the slowest machine."""

Choose = Callable[[Sequence[str]], str]
"""Picks the next step from those that are ready: the name of an actor, or in upper case the end of its wait."""


class Kind(StrEnum):
    """What a step does; see ``exploration.commute``."""

    READ = "read"  # a statement that changes and locks nothing
    WRITE = "write"  # a statement that changes or locks something
    END = "end"  # of a transaction
    ASK = "ask"  # a request that changes nothing at the broker
    SEND = "send"  # one that does
    OTHER = "other"


class State(Enum):
    """Where an operation is."""

    PAUSED = auto()  # before a step, until it is granted
    MOVING = auto()  # in a step, or on the way from one to the next
    ENDED = auto()


class StuckRun(Exception):
    """A run that did not come to its end within its limit."""


class Server(Protocol):
    """What the scheduler asks of the database's server about the processes that work for steps."""

    async def blockers(self, pids: Sequence[int]) -> Mapping[int, Sequence[int]]:
        """Of those that wait for a lock: the processes that hold it."""
        ...

    async def end_wait(self, pid: int) -> None:
        """The wait of this process ends with an error, as at its bound."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One chosen step."""

    choice: str  # the actor, or in upper case the end of its wait
    label: str  # the statement or the request
    kind: Kind
    ready: Mapping[str, Kind]  # everything that could have been chosen
    blocked: bool = False  # it had to wait for a lock


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How an operation ended: with a value or an error, ``ended_at`` in seconds of the epoch."""

    value: Any = None
    error: BaseException | None = None
    ended_at: float


@dataclass(slots=True, kw_only=True)
class Run:
    """What happened: the steps in their order, and how each operation ended."""

    steps: list[Step] = field(default_factory=list)
    endings: dict[str, Ending] = field(default_factory=dict)
    deadlocks: int = 0

    @property
    def schedule(self) -> str:
        """The choices of all steps: by it the run is repeated."""
        return "".join(step.choice for step in self.steps)


class Actor:
    """One operation's side of the scheduler. ``name`` is a lower-case letter."""

    def __init__(self, name: str, *, changed: asyncio.Event) -> None:
        self.name = name
        self.state = State.MOVING
        self.label = ""
        self.kind = Kind.OTHER
        self.pid: int | None = None
        """The server process that works for the present step; None while nothing is asked of the server."""

        self.blocked = False
        """Its step waited for a lock when it was looked up last."""

        self.wait_ends = False
        """The server was told to end its wait, and has not done so yet."""

        self.inside: Inside | None = None
        """Where the present step pauses once more in its middle."""

        self._changed = changed
        self._granted = asyncio.Event()

    async def pause(self, label: str, kind: Kind = Kind.OTHER) -> None:
        """Wait for the grant of the step that ``label`` names."""
        self.label, self.kind, self.state, self.blocked, self.wait_ends = label, kind, State.PAUSED, False, False
        self._changed.set()
        await self._granted.wait()
        self._granted.clear()

    def pause_inside(self) -> None:
        """The present step has come to its middle."""
        self.label, self.state, self.blocked = f"... {self.label}", State.PAUSED, False

    @asynccontextmanager
    async def at_server(self, pid: int) -> AsyncIterator[None]:
        """While the block runs this server process works for the step."""
        self.pid = pid
        try:
            yield
        finally:
            self.pid = None

    async def grant(self) -> None:
        inside, self.state = self.inside, State.MOVING
        if self.pid is not None and inside is not None:
            self.inside = None
            await inside.release()
        else:
            self._granted.set()

    def end(self) -> None:
        self.state, self.blocked, self.wait_ends = State.ENDED, False, False
        self._changed.set()


@dataclass(frozen=True, slots=True, kw_only=True)
class Inside:
    """A pause in the middle of a statement: it waits for a lock that this process holds until ``release``."""

    pid: int
    release: Callable[[], Awaitable[None]]


Program = Callable[[Actor], Awaitable[Any]]


class Scheduler:
    """``run`` takes one program for each actor, by name."""

    def __init__(self, server: Server, *, limit_s: float = LIMIT_S) -> None:
        self._server = server
        self._limit_s = limit_s

    async def run(self, programs: Mapping[str, Program], choose: Choose) -> Run:
        """Everything to its end. Raises StuckRun; what a program raises is in its ending."""
        changed = asyncio.Event()
        actors = [Actor(name, changed=changed) for name in programs]
        run = Run()
        tasks = [asyncio.create_task(_follow(programs[actor.name], actor, run)) for actor in actors]
        try:
            async with asyncio.timeout(self._limit_s):
                await self._grant_all(actors, run, choose, changed=changed)
        except TimeoutError as error:
            present = ", ".join(f"{actor.name} {actor.state.name.lower()} at {actor.label!r}" for actor in actors)
            raise StuckRun(f"{run.schedule}: {present}") from error
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        return run

    async def _grant_all(self, actors: Sequence[Actor], run: Run, choose: Choose, *, changed: asyncio.Event) -> None:
        in_deadlock = False
        while True:
            await self._until_nothing_moves(actors, run, changed)
            paused = {actor.name: actor for actor in actors if actor.state is State.PAUSED}
            if paused:
                in_deadlock = False
                await self._take_step(paused, [actor for actor in actors if actor.blocked], run, choose)
            elif all(actor.state is State.ENDED for actor in actors):
                return
            else:  # each waits for another one's lock until the server ends one of them
                run.deadlocks += not in_deadlock
                in_deadlock = True
                await _changes_within(changed, LOOK_EVERY_S)

    async def _take_step(self, paused: Mapping[str, Actor], blocked: Sequence[Actor], run: Run, choose: Choose) -> None:
        waits = {actor.name.upper(): actor for actor in blocked}
        ready = {name: actor.kind for name, actor in paused.items()} | dict.fromkeys(waits, Kind.OTHER)
        choice = choose(list(ready))
        actor = paused.get(choice) or waits[choice]
        run.steps.append(Step(choice=choice, label=actor.label, kind=ready[choice], ready=ready))
        if choice in paused:
            await actor.grant()
        elif actor.pid is not None:
            actor.blocked, actor.wait_ends = False, True
            await self._server.end_wait(actor.pid)

    async def _until_nothing_moves(self, actors: Sequence[Actor], run: Run, changed: asyncio.Event) -> None:
        """Until each operation is paused, ended or blocked."""
        while moving := [actor for actor in actors if actor.state is State.MOVING]:
            # one that was blocked a step ago needs no time to come back: only the other's step can have freed it
            if not all(actor.blocked for actor in moving) and await _changes_within(changed, LOOK_EVERY_S):
                continue
            if any(actor.wait_ends for actor in moving):
                continue
            at_server = [actor for actor in moving if actor.pid is not None]
            blockers = await self._server.blockers([actor.pid for actor in at_server if actor.pid is not None])
            for actor in at_server:
                held_by = blockers.get(actor.pid or 0, ())
                actor.blocked = bool(held_by)
                if actor.inside is not None and actor.inside.pid in held_by:
                    actor.pause_inside()
            if all(actor.blocked for actor in actors if actor.state is State.MOVING):
                for actor in actors:
                    if actor.blocked:
                        _mark_blocked(run, actor.name)
                return


async def _follow(program: Program, actor: Actor, run: Run) -> None:
    """Run one operation and note how it ended."""
    try:
        value = await program(actor)
    except Exception as error:  # noqa: BLE001 - whatever it is, the checker of the run decides what it means
        run.endings[actor.name] = Ending(error=error, ended_at=time.time())
    else:
        run.endings[actor.name] = Ending(value=value, ended_at=time.time())
    finally:
        actor.end()


async def _changes_within(changed: asyncio.Event, seconds: float) -> bool:
    """Whether an operation has paused or ended meanwhile."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await changed.wait()
    is_set = changed.is_set()
    changed.clear()
    return is_set


def _mark_blocked(run: Run, name: str) -> None:
    """The last step of this actor waits for a lock."""
    for number in range(len(run.steps) - 1, -1, -1):
        step = run.steps[number]
        if step.choice == name:
            run.steps[number] = replace(step, blocked=True)
            return


def following(schedule: str) -> Choose:
    """Chooses in this order; what is not ready is passed over. After the end of the schedule the actor that was granted
    last goes on as long as it can, and no wait ends at its bound."""
    wanted = list(schedule)
    last = ""

    def choose(ready: Sequence[str]) -> str:
        nonlocal last
        while wanted:
            choice = wanted.pop(0)
            if choice in ready:
                last = choice.lower()
                return choice
        last = last if last in ready else next(name for name in ready if name.islower())
        return last

    return choose
