"""Marks tasks as held that must not be sent now, and releases them when they may.

This does not stop them; the claim does: its statement checks the lease, the kill switch and the number of doubts, and
names no operation of an open breaker. A hold shows clients and operators the reason, which a task that is merely
``pending`` does not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from app.broker.orders import Operation
from app.orders.risk.halts import Halt
from app.orders.risk.halts_and_doubts_store import stops_of
from app.orders.sending.account_breakers import AccountBreakers
from app.orders.state import task_store
from app.orders.state.lifecycle import Event
from app.orders.state.model import Task, TaskError, TaskStatus
from app.orders.state.order_parts import AccountParts
from app.orders.state.verdicts import Verdict

_REFRESH_EVERY_S = 0.2
"""The sender calls ``refresh`` in each of its rounds, which may follow each other much faster."""
_WAITING = (TaskStatus.PENDING, TaskStatus.RETRYING)


@dataclass(frozen=True, slots=True, kw_only=True)
class Obstacle:
    """A reason why tasks of an account must not be sent, and which tasks it stops."""

    error: TaskError  # what a held task shows
    stopped: frozenset[Operation]
    reductions: Literal["stop", "pass"] = "stop"  # whether tasks that only reduce a position pass

    def stops(self, task: Task) -> bool:
        """Whether this task must not be sent."""
        # the claim sends the cancel of an order to be replaced only when the new order may be sent too
        kind = Operation.PLACE if task.purpose == "replace" else task.operation
        return kind in self.stopped and not (self.reductions == "pass" and task.reduces)


NO_SESSION = Obstacle(
    error=TaskError(code="NO_SESSION", message="the account has no live session at the broker; log in"),
    stopped=frozenset(Operation),
)
_ADDING = frozenset({Operation.PLACE, Operation.MODIFY})
HALTED_NEW = Obstacle(
    error=TaskError(
        code="HALTED_NEW", message="too many outcomes are unknown: no new orders until the order book shows them"
    ),
    stopped=frozenset({Operation.PLACE}),
    reductions="pass",
)


class Holds:
    """The holds of one account. The sender calls ``refresh`` when no further task may be sent."""

    def __init__(self, parts: AccountParts, *, breakers: AccountBreakers) -> None:
        self._account_id = parts.account_id
        self._database = parts.database
        self._settlement = parts.settlement
        self._session = parts.session
        self._settings = parts.settings
        self._wakeups = parts.wakeups
        self._clock = parts.clock
        self._breakers = breakers
        self._refreshed_at = float("-inf")

    async def refresh(self) -> None:
        """Hold the tasks that must not be sent and release those that may, at most every 0.2 s. Raises Unavailable."""
        now = self._clock.monotonic()
        if now - self._refreshed_at < _REFRESH_EVERY_S:
            return
        self._refreshed_at = now
        self._breakers.check()  # here, because an open breaker must be probed even while no task waits
        async with self._database.connection() as connection:
            waiting = await task_store.unsent(connection, self._account_id)
        if waiting:
            # without a session nothing can be sent, so no other reason matters
            await self._update(waiting, await self._obstacles() if self._session.is_open() else [NO_SESSION])

    async def _obstacles(self) -> list[Obstacle]:
        """The obstacles of now, the strictest first: a task shows the first one that stops it."""
        async with self._database.connection() as connection:
            all_stops = await stops_of(
                connection,
                [self._account_id],
                halt_doubts=self._settings.halt_doubts,
                halt_doubt_age_s=self._settings.halt_doubt_age_s,
            )
        stops = all_stops[self._account_id]
        found = [] if stops.halt is None else [halted(stops.halt)]
        found += [HALTED_NEW] if stops.many_doubts else []
        return [*found, *(_broken(kind) for kind in Operation if self._breakers.stops(kind))]

    async def _update(self, waiting: Sequence[Task], obstacles: Sequence[Obstacle]) -> None:
        """Apply the obstacles to the waiting tasks."""
        # usually nothing changes: then the account's lock, for which clients wait too, is not taken
        if not any(next_step(task, obstacles) for task in waiting):
            return
        async with self._database.transaction() as tx:
            await self._settlement.lock(tx, self._account_id)
            # read again under the lock: clients may have withdrawn tasks since
            for task in await task_store.unsent(tx, self._account_id):
                verdict = next_step(task, obstacles)
                if verdict is not None:
                    await self._settlement.settle(tx, task.task_id, verdict, fence=task.fence)
        self._wakeups.changed()


def halted(halt: Halt) -> Obstacle:
    """What a halt stops."""
    return Obstacle(
        error=TaskError(code="HALTED", message=f"{halt.mode} is in force: {halt.reason}"),
        stopped=_ADDING,
        reductions="pass" if halt.mode == "reduce_only" else "stop",
    )


def _broken(kind: Operation) -> Obstacle:
    message = f"too many {kind} requests failed or had no answer; the next one waits until the order book can be read"
    return Obstacle(error=TaskError(code="BREAKER_OPEN", message=message), stopped=frozenset({kind}))


def next_step(task: Task, obstacles: Sequence[Obstacle]) -> Verdict | None:
    """Hold a task that an obstacle stops, release one that none stops; None when the task stays as it is.

    ``sent`` stays as it is, because a cancel that waits to be repeated may have reached the broker.
    """
    in_the_way = next((obstacle for obstacle in obstacles if obstacle.stops(task)), None)
    if in_the_way is not None and task.status in _WAITING:
        return Verdict(event=Event.HOLD, sent=task.sent, error=in_the_way.error)
    if in_the_way is None and task.status is TaskStatus.HELD:
        return Verdict(event=Event.RELEASE, sent=task.sent)
    return None
