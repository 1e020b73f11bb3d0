"""Says ``held`` of tasks that may not go now, and lets them go again when they may.

The claim statement is what really stops them (it asks for the lease, the kill switch and the session's gate); this
makes the reason visible, so that nobody waits for a ``pending`` task without knowing why.
"""

from __future__ import annotations

from dataclasses import dataclass

from app.broker.outcomes import Sent
from app.db.postgres import Database
from app.kit.clock import Clock
from app.orders.gate import SessionGate
from app.orders.lifecycle import Event
from app.orders.model import Operation, Task, TaskError, TaskStatus
from app.orders.settlement import Settlement
from app.orders.signals import Signals
from app.orders.store import tasks
from app.orders.store.controls import halt_in_force
from app.orders.verdicts import Verdict

NO_SESSION = TaskError(code="NO_SESSION", message="the account has no live session at the broker; log in")
_LOOK_EVERY_S = 0.2
_WAITING = (TaskStatus.PENDING, TaskStatus.RETRYING)


@dataclass(frozen=True, slots=True, kw_only=True)
class Obstacle:
    """Why tasks of an account may not go, and which of them it concerns."""

    error: TaskError
    cancels_pass: bool = False
    reductions_pass: bool = False

    def stops(self, task: Task) -> bool:
        if self.cancels_pass and task.operation is Operation.CANCEL:
            return False
        return not (self.reductions_pass and task.reduces)


class Holding:
    """``allows`` is asked before each claim; it looks into the database at most five times a second."""

    def __init__(
        self,
        account_id: str,
        *,
        database: Database,
        settlement: Settlement,
        gate: SessionGate,
        signals: Signals,
        clock: Clock,
    ) -> None:
        self._account_id = account_id
        self._database = database
        self._settlement = settlement
        self._gate = gate
        self._signals = signals
        self._clock = clock
        self._looked_at = float("-inf")

    async def allows(self) -> bool:
        """Whether anything may be sent at all. Raises Unavailable."""
        session = self._gate.is_open()
        now = self._clock.monotonic()
        if now - self._looked_at >= _LOOK_EVERY_S:
            self._looked_at = now
            await self._update(Obstacle(error=NO_SESSION) if not session else await self._halt())
        return session

    async def _halt(self) -> Obstacle | None:
        async with self._database.connection() as connection:
            halt = await halt_in_force(connection, self._account_id)
        if halt is None:
            return None
        message = f"{halt.mode} is in force: {halt.reason}"
        return Obstacle(
            error=TaskError(code="HALTED", message=message),
            cancels_pass=True,
            reductions_pass=halt.mode == "reduce_only",
        )

    async def _update(self, obstacle: Obstacle | None) -> None:
        async with self._database.connection() as connection:
            found = await tasks.with_status(connection, self._account_id, statuses=[*_WAITING, TaskStatus.HELD])
        if not any(_turn(task, obstacle) for task in found):
            return
        async with self._database.transaction() as tx:
            await self._settlement.lock(tx, self._account_id)
            for task in await tasks.with_status(tx, self._account_id, statuses=[*_WAITING, TaskStatus.HELD]):
                verdict = _turn(task, obstacle)
                if verdict is not None:
                    await self._settlement.settle(tx, task.task_id, verdict, fence=task.fence)
        self._signals.changed()


def _turn(task: Task, obstacle: Obstacle | None) -> Verdict | None:
    """Hold what is stopped, release what is not; None when the task is right as it is."""
    stopped = obstacle is not None and obstacle.stops(task)
    if stopped and task.status in _WAITING and obstacle is not None:
        return Verdict(event=Event.HOLD, sent=Sent.NO, error=obstacle.error)
    if not stopped and task.status is TaskStatus.HELD:
        return Verdict(event=Event.RELEASE, sent=Sent.NO)
    return None
