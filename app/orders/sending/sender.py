"""The loop that sends one account's tasks: claim the task, send one request, store the outcome.

No order is sent twice because these steps keep this order: the claim is committed before a byte leaves (``claims``),
the request is never repeated (``transmission``), and the outcome is stored under the claim's fence
(``outcome_writer``). The loop decides when the next task may be sent: by the session, the lease, the requests in
flight, and the broker's rate limit.
"""

from __future__ import annotations

import asyncio
from collections import Counter

from loguru import logger

from app.broker.orders import Operation
from app.broker.port import Governor, RequestKind
from app.errors import RateLimited, ServiceError
from app.orders.sending.account_breakers import AccountBreakers
from app.orders.sending.claims import Claims
from app.orders.sending.held_tasks import Holds
from app.orders.sending.outcome_writer import OutcomeWriter
from app.orders.sending.transmission import Transmission
from app.orders.state.model import Task
from app.orders.state.order_parts import AccountParts
from app.orders.state.wakeups import wait_for

_REQUEST_KINDS = {
    Operation.CANCEL: RequestKind.CANCEL,
    Operation.MODIFY: RequestKind.MODIFY,
    Operation.PLACE: RequestKind.PLACE,
}
_FAILURE_PAUSE_S = 0.5
"""Between two rounds while the database is away."""
_LOG_EVERY_S = 5.0
"""Between two log lines about a wait for the rate limit."""
_SLOT_WAIT_S = 0.25
"""The longest wait for the rate limit in one round: more than the distance of two orders. After a longer wait the next
round looks again for the most urgent task: a cancel has a limit of its own and need not wait behind an order."""


class Sender:
    """The only sender of an account. ``run`` ends when it is cancelled; ``drain`` lets requests in flight finish."""

    def __init__(
        self,
        parts: AccountParts,
        *,
        governor: Governor,
        breakers: AccountBreakers,
        holds: Holds,
        claims: Claims,
        transmission: Transmission,
        outcomes: OutcomeWriter,
    ) -> None:
        self._account_id = parts.account_id
        self.term = parts.term
        """Under which it sends."""
        self._session = parts.session
        self._counters = parts.settlement.counters
        self._wakeups = parts.wakeups
        self._settings = parts.settings
        self._clock = parts.clock
        self._governor = governor
        self._breakers = breakers
        self._holds = holds
        self._claims = claims
        self._transmission = transmission
        self._outcomes = outcomes
        self._in_flight: Counter[Operation] = Counter()
        self._full_since: float | None = None  # no further placement could be started; None: one could
        self._draining = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._waiting: tuple[Operation, float] | None = None  # what waits for the rate limit, and since when
        self._log_again_at = 0.0
        self._asked_at: float | None = None  # what the database has not answered, or failed to; None while resting

    async def run(self) -> None:
        """Round after round: send the ready tasks, refresh the holds, wait for a wake-up."""
        async with asyncio.TaskGroup() as sends:
            while True:
                try:
                    self._asked_at = self._asked_at or self._clock.monotonic()
                    await self._send_ready_tasks(sends)
                    await self._holds.refresh()
                    self._asked_at = None
                    await wait_for(self._wakeups.sender, self._rest_s)
                except (
                    ServiceError
                ) as error:  # the database is away: what it claimed, if anything, is settled by overdue.py
                    logger.bind(account_id=self._account_id, reason=error).warning(
                        "sender pauses, the database did not answer"
                    )
                    await asyncio.sleep(_FAILURE_PAUSE_S)

    @property
    def unanswered_s(self) -> float:
        """For how many seconds the database has not answered what this loop has asked; 0 while it asks nothing."""
        return 0.0 if self._asked_at is None else self._clock.monotonic() - self._asked_at

    @property
    def full_s(self) -> float:
        """For how many seconds no placement could be started, because all that may be under way have no answer."""
        return 0.0 if self._full_since is None else self._clock.monotonic() - self._full_since

    @property
    def _rest_s(self) -> float:
        """Seconds to the next round without a wake-up; few while a breaker is open, because a round also probes it."""
        poll_s = self._settings.poll_s
        return self._wakeups.rest_s(poll_s) if self._breakers.all_closed else poll_s

    async def drain(self, *, timeout_s: float) -> bool:
        """Claim no more tasks and wait for the requests in flight; returns False when some did not end in time."""
        self._draining.set()
        try:
            async with asyncio.timeout(timeout_s):
                await self._idle.wait()
        except TimeoutError:
            return False
        return True

    async def _send_ready_tasks(self, sends: asyncio.TaskGroup) -> None:
        """Claim and send one task after another, until none may be sent, the rate limit is used up, or a drain begins.

        Each request is a task of ``sends``, so that one without an answer does not keep the others waiting.
        """
        waiting, self._waiting = self._waiting, None
        while not self._draining.is_set() and self._session.is_open() and self.term.lease.held:
            following = await self._claims.peek(self._capacity())
            self._asked_at = self._clock.monotonic()  # answered; what comes next is another question
            if following is None:
                return
            if not await self._claims.price_passes(following, sends):
                continue
            operation = following.operation
            # in the metric a task that the last round left behind has waited since then
            kind, since = waiting or (operation, self._clock.monotonic())
            since = since if kind is operation else self._clock.monotonic()
            # before the claim: an unused slot of the rate limit costs nothing, but a claim grows stale while it waits
            if not await self._has_slot(operation):
                self._waiting = (operation, since)
                return
            self._counters.broker_wait.observe(self._clock.monotonic() - since)
            waiting = None
            # a drain may have begun during the wait; the next owner may already be starting
            if self._draining.is_set():
                return
            # before the claim, so that a pause of this process during the commit counts too
            claim_began_at = self._clock.monotonic()
            task = await self._claims.claim(operation, capacity=self._capacity(), following=following)
            if task is None:  # since the peek it was withdrawn, held or halted, or it expired, or its price moved
                return
            self._count_in_flight(task.operation, 1)
            self._idle.clear()
            sends.create_task(self._send(task, claim_began_at=claim_began_at), name=f"send-{task.task_id}")
            await asyncio.sleep(0)  # the request starts before the next task is looked for

    def _capacity(self) -> list[Operation]:
        """The operations of which one more request may be started. Cancels are counted apart, so that orders without an
        answer do not keep a cancel waiting."""
        orders = self._in_flight[Operation.PLACE] + self._in_flight[Operation.MODIFY]
        capacity = [Operation.CANCEL] if self._in_flight[Operation.CANCEL] < self._settings.cancels_in_flight else []
        if orders < self._settings.in_flight:
            capacity += [Operation.MODIFY, Operation.PLACE]
        return capacity

    def _count_in_flight(self, operation: Operation, change: int) -> None:
        self._in_flight[operation] += change
        if Operation.PLACE in self._capacity():
            self._full_since = None
        elif self._full_since is None:
            self._full_since = self._clock.monotonic()

    async def _has_slot(self, operation: Operation) -> bool:
        """Wait for the broker's rate limit; returns False when it allows no such request within ``_SLOT_WAIT_S``."""
        try:
            await self._governor.acquire(_REQUEST_KINDS[operation], deadline=self._clock.monotonic() + _SLOT_WAIT_S)
        except RateLimited as error:
            self._log_wait(operation, error)
            return False
        return True

    def _log_wait(self, operation: Operation, error: RateLimited) -> None:
        """At most every ``_LOG_EVERY_S``: a wait comes back in each round."""
        now = self._clock.monotonic()
        if now >= self._log_again_at:
            logger.bind(account_id=self._account_id, action=operation, reason=error).warning("rate limit is used up")
            self._log_again_at = now + _LOG_EVERY_S

    async def _send(self, task: Task, *, claim_began_at: float) -> None:
        """Send one claimed task and store the outcome; then its place in flight is free."""
        try:
            outcome = await self._transmission.send(task, claim_began_at=claim_began_at)
            await self._outcomes.store(task, outcome)
        finally:
            self._count_in_flight(task.operation, -1)
            if not self._in_flight.total():
                self._idle.set()
            self._wakeups.sender.set()
