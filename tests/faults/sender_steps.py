"""The sender's steps one at a time, in an environment whose own loops have stopped: a test acts between two steps."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta

from app.broker.orders import Operation
from app.broker.outcomes import SendOutcome
from app.db.leases import Leases, LeaseTimes
from app.errors import BrokerError
from app.orders.engine.account_loops import AccountLoops, build_account_loops
from app.orders.sending.claim_parameters import NextTask
from app.orders.state.counters import ReadCounters
from app.orders.state.lease_term import LeaseTerm
from app.orders.state.model import Task
from app.orders.state.order_parts import AccountParts, OrderParts
from app.orders.state.session_state import SessionState
from app.orders.state.task_store import database_now
from tests.order_environment import ACCOUNT, OrderEnvironment
from tests.order_waits import owns, read_again

LONG = LeaseTimes.lasting(120)


@dataclass(frozen=True, slots=True, kw_only=True)
class SenderSteps:
    """What the sender does in one go, in three. Nothing limits the requests in flight."""

    loops: AccountLoops

    async def claim(self, operation: Operation = Operation.PLACE, *, following: NextTask | None = None) -> Task | None:
        """The next task of this priority or a more urgent one."""
        return await self.loops.claims.claim(operation, capacity=tuple(Operation), following=following)

    async def send(self, task: Task, *, claimed_s_ago: float = 0.0) -> None:
        """Send it, and store what became of it."""
        began_at = time.monotonic() - claimed_s_ago
        await self.store(task, await self.loops.transmission.send(task, claim_began_at=began_at))

    async def send_only(self, task: Task) -> None:
        """Send it, and store nothing, as when the database is away."""
        await self.loops.transmission.send(task, claim_began_at=time.monotonic())

    async def sweep_without_a_book(self) -> None:
        """A round of the reconciler whose read of the order book fails."""
        with suppress(BrokerError):
            await self.loops.reconciler.sweep()

    async def store(self, task: Task, outcome: SendOutcome) -> None:
        """As if the broker had said so."""
        await self.loops.outcomes.store(task, outcome)


async def sender_steps(environment: OrderEnvironment, *, times: LeaseTimes = LONG) -> SenderSteps:
    """Stop the loops of the environment, and take the account over in a lease term that has read the book."""
    await owns(environment)
    await read_again(environment, 1)
    await environment.crash()
    async with environment.database.connection() as connection:
        await connection.execute("UPDATE lease SET expires_at = clock_timestamp()")
        began_at = await database_now(connection)
    leases: Leases = replace(environment.inputs.leases, times=times)
    lease = leases.lease(f"sender:{ACCOUNT}")
    assert await lease.try_take()
    readable = began_at + timedelta(days=1)  # also by the time that a test acts
    term = LeaseTerm(lease=lease, began_at=began_at, book_was_read=True, book_read_at=readable)
    return SenderSteps(
        loops=build_account_loops(account_parts(environment, term), governor=environment.account.governor)
    )


def account_parts(environment: OrderEnvironment, term: LeaseTerm) -> AccountParts:
    shared: OrderParts = environment.parts
    return AccountParts(
        database=shared.database,
        settlement=shared.settlement,
        settings=shared.settings,
        clock=shared.clock,
        ids=shared.ids,
        tagger=shared.tagger,
        tasks=shared.tasks,
        broker=environment.account.broker,
        term=term,
        session=SessionState(
            environment.account.credentials,
            profile=environment.account.broker.portfolio.profile,
            clock=shared.clock,
            prove_every_s=shared.settings.session_proof_s,
        ),
        wakeups=environment.orders.wakeups.by_account[ACCOUNT],
        read_counters=ReadCounters(),
        prices=environment.inputs.prices,
    )
