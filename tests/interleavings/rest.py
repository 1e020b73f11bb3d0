"""Brings an account to rest without pauses: what the loops of a new owner do when nothing comes between.

The answers that were on their way are stored, then sender, reconciler and batch runner go on one after another until
nothing changes any more. Where something is still open after that, a minute passes, and they go on.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from app.broker.orders import Operation
from app.orders.engine.account_loops import AccountLoops
from tests.interleavings.environment import Environment, Replica
from tests.interleavings.operations import Sent

MOST_ROUNDS = 15
MINUTES = 3
"""Let pass one after another: a cancel is repeated after one, a doubt ends after two."""

_SHIFTED = {
    "order_task": (
        "updated_at", "finished_at", "last_sent_at", "claimed_until", "not_before", "next_check_at", "send_by",
        "exit_by"
    ),
    "broker_order": ("first_seen_at", "updated_at"),
    "batch": ("updated_at", "completed_at", "deadline_at"),
}  # fmt: skip
"""Not the moments of acceptance and of attempts: nothing waits for their age, and the checks read them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far an account has come."""

    changes: int  # rises with every task that is stored, sent or finished and with every event
    is_open: bool  # a task or a batch is open, or an order lives that is not wanted
    batches: bool  # it has batches


@dataclass(slots=True, kw_only=True)
class Rest:
    """The new owner of the account."""

    environment: Environment
    replica: Replica
    loops: AccountLoops

    @classmethod
    async def begin(cls, environment: Environment, replica: Replica) -> Rest:
        """Whoever is the owner by now has lost the lease."""
        await environment.control.execute(
            "UPDATE lease SET expires_at = clock_timestamp() WHERE name = %s", (replica.lease().name,)
        )
        return cls(environment=environment, replica=replica, loops=replica.loops(await replica.take_lease()))

    async def reach(self, unanswered: Sequence[Sent]) -> None:
        """Until nothing is open, or time changes nothing any more."""
        for sent in unanswered:
            await self.loops.outcomes.store(sent.task, sent.outcome)
        for _ in range(MINUTES):
            if await self._go_on():
                return
            await self._let_a_minute_pass()
        await self._go_on()

    async def _go_on(self) -> bool:
        """Round after round, until nothing changes; returns whether nothing is open any more."""
        before = Progress(changes=-1, is_open=True, batches=True)
        for _ in range(MOST_ROUNDS):
            await self.loops.reconciler.sweep()
            if before.batches:
                await self.loops.batches.advance()
                await self.loops.exits.advance()
            sent_one = False
            while sent := await self._send_next():
                await self.loops.outcomes.store(sent.task, sent.outcome)
                sent_one = True
            now = await self._progress()
            if not sent_one and (not now.is_open or now.changes == before.changes):
                return not now.is_open
            before = now
        return False

    async def _send_next(self) -> Sent | None:
        began_at = time.monotonic()
        task = await self.loops.claims.claim(Operation.PLACE, capacity=tuple(Operation))
        if task is None:
            return None
        return Sent(task=task, outcome=await self.loops.transmission.send(task, claim_began_at=began_at))

    async def _progress(self) -> Progress:
        cursor = await self.environment.control.execute(
            """SELECT coalesce((SELECT seq FROM account_seq WHERE account_id = %(account_id)s), 0)
                 + count(*) + coalesce(sum(fence), 0) + count(finished_at),
                 coalesce(bool_or(finished_at IS NULL), false)
                 OR EXISTS (SELECT 1 FROM batch WHERE account_id = %(account_id)s AND completed_at IS NULL)
                 OR EXISTS (SELECT 1 FROM order_task u JOIN broker_order b USING (task_id)
                            WHERE u.account_id = %(account_id)s AND u.unwanted_since IS NOT NULL
                              AND b.state NOT IN ('completed', 'cancelled', 'rejected')),
                 coalesce(bool_or(batch_id IS NOT NULL), false)
               FROM order_task WHERE account_id = %(account_id)s""",
            {"account_id": self.replica.account_id},
        )
        row = await cursor.fetchone()
        assert row is not None
        return Progress(changes=int(row[0]), is_open=row[1], batches=row[2])

    async def _let_a_minute_pass(self) -> None:
        """Everything that is stored of the account is a minute older, and doubts were looked for as often as then."""
        for table, columns in _SHIFTED.items():
            older = ", ".join(f"{column} = {column} - interval '1 minute'" for column in columns)
            looked = ", clean_reads = CASE WHEN status = 'in_doubt' THEN clean_reads + 4 ELSE clean_reads END"
            await self.environment.control.execute(
                f"UPDATE {table} SET {older}{looked if table == 'order_task' else ''} WHERE account_id = %s",  # noqa: S608
                (self.replica.account_id,),
            )
