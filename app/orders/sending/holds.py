"""Says ``held`` of tasks that may not go now, and lets them go again when they may.

The claim is what really stops them (its statement asks for the lease, the kill switch and the number of doubts, and
the class of an open breaker is not asked for at all); this makes the reason visible, so that nobody waits for a
``pending`` task without knowing why.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from app.broker.orders import Operation
from app.orders.risk import kill_switch_store
from app.orders.risk.halts import Halt
from app.orders.sending.account_breakers import AccountBreakers
from app.orders.state import task_store
from app.orders.state.lifecycle import Event
from app.orders.state.model import Task, TaskError, TaskStatus
from app.orders.state.parts import AccountParts
from app.orders.state.verdicts import Verdict

_LOOK_EVERY_S = 0.2
_WAITING = (TaskStatus.PENDING, TaskStatus.RETRYING)


@dataclass(frozen=True, slots=True, kw_only=True)
class Obstacle:
    """Why tasks of an account may not go, and which of them it concerns."""

    error: TaskError
    stopped: frozenset[Operation]
    reductions: Literal["stop", "pass"] = "stop"

    def stops(self, task: Task) -> bool:
        # the cancel of an order that is to be replaced goes with the one that follows it
        kind = Operation.PLACE if task.purpose == "replace" else task.operation
        return kind in self.stopped and not (self.reductions == "pass" and task.reduces)


NO_SESSION = Obstacle(
    error=TaskError(code="NO_SESSION", message="the account has no live session at the broker; log in"),
    stopped=frozenset(Operation),
)
_ADDING = frozenset({Operation.PLACE, Operation.MODIFY})
HALTED_NEW = Obstacle(
    error=TaskError(code="HALTED_NEW", message="too much is in doubt: nothing new until the order book has told"),
    stopped=frozenset({Operation.PLACE}),
    reductions="pass",
)


class Holds:
    """``look`` is called whenever the sender finds nothing that may go; it asks the database five times a second."""

    def __init__(self, parts: AccountParts, *, breakers: AccountBreakers) -> None:
        self._account_id = parts.account_id
        self._database = parts.database
        self._settlement = parts.settlement
        self._session = parts.session
        self._settings = parts.settings
        self._wakeups = parts.wakeups
        self._clock = parts.clock
        self._breakers = breakers
        self._looked_at = float("-inf")

    async def look(self) -> None:
        """Hold what may not go, release what may again. Raises Unavailable."""
        now = self._clock.monotonic()
        if now - self._looked_at < _LOOK_EVERY_S:
            return
        self._looked_at = now
        self._breakers.check()
        async with self._database.connection() as connection:
            waiting = await task_store.unsent(connection, self._account_id)
        if waiting:
            await self._update(waiting, await self._obstacles() if self._session.is_open() else [NO_SESSION])

    async def _obstacles(self) -> list[Obstacle]:
        """What stands in the way now, the gravest first."""
        async with self._database.connection() as connection:
            halt = await kill_switch_store.halt_in_force(connection, self._account_id)
            halted_new = await kill_switch_store.many_doubts(
                connection,
                self._account_id,
                halt_doubts=self._settings.halt_doubts,
                halt_doubt_age_s=self._settings.halt_doubt_age_s,
            )
        found = [] if halt is None else [_halted(halt)]
        found += [HALTED_NEW] if halted_new else []
        return [*found, *(_broken(kind) for kind in Operation if self._breakers.stops(kind))]

    async def _update(self, waiting: Sequence[Task], obstacles: Sequence[Obstacle]) -> None:
        if not any(_next_step(task, obstacles) for task in waiting):
            return
        async with self._database.transaction() as tx:
            await self._settlement.lock(tx, self._account_id)
            for task in await task_store.unsent(tx, self._account_id):
                verdict = _next_step(task, obstacles)
                if verdict is not None:
                    await self._settlement.settle(tx, task.task_id, verdict, fence=task.fence)
        self._wakeups.changed()


def _halted(halt: Halt) -> Obstacle:
    return Obstacle(
        error=TaskError(code="HALTED", message=f"{halt.mode} is in force: {halt.reason}"),
        stopped=_ADDING,
        reductions="pass" if halt.mode == "reduce_only" else "stop",
    )


def _broken(kind: Operation) -> Obstacle:
    message = f"too many {kind} requests had no answer; the broker is asked for its order book before the next one"
    return Obstacle(error=TaskError(code="BREAKER_OPEN", message=message), stopped=frozenset({kind}))


def _next_step(task: Task, obstacles: Sequence[Obstacle]) -> Verdict | None:
    """Hold what is stopped, release what is not; None when the task is right as it is.

    Neither says anything about what was sent before: a cancel that waits to be repeated may have reached the broker.
    """
    in_the_way = next((obstacle for obstacle in obstacles if obstacle.stops(task)), None)
    if in_the_way is not None and task.status in _WAITING:
        return Verdict(event=Event.HOLD, sent=task.sent, error=in_the_way.error)
    if in_the_way is None and task.status is TaskStatus.HELD:
        return Verdict(event=Event.RELEASE, sent=task.sent)
    return None
