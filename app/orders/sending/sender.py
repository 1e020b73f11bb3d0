"""The loop that sends one account's tasks: claim in the database, one request, store what became of it.

The order of these three is the safety, see ``claims``, ``transmission`` and ``outcome_writer``; here is when the next
one may go: the session, the lease, the requests in flight, and the broker's rate.
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
from app.orders.sending.holds import Holds
from app.orders.sending.outcome_writer import OutcomeWriter
from app.orders.sending.transmission import Transmission
from app.orders.state.model import Task
from app.orders.state.parts import AccountParts
from app.orders.state.wakeups import wait_for

_KINDS = {
    Operation.CANCEL: RequestKind.CANCEL,
    Operation.MODIFY: RequestKind.MODIFY,
    Operation.PLACE: RequestKind.PLACE,
}
_FAILURE_PAUSE_S = 0.5
_LOG_EVERY_S = 5.0
_SLOT_WAIT_S = 0.25
"""More than the distance of two orders. A longer wait is no reason to keep a cancel, which has room of its own, behind
an order that has none: the next round asks again what should go first."""


class Sender:
    """The one sender of an account. ``run`` lives until cancelled; ``drain`` lets the sends in flight finish."""

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
        self._term = parts.term
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
        self._draining = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._waiting: tuple[Operation, float] | None = None
        self._log_again_at = 0.0

    async def run(self) -> None:
        async with asyncio.TaskGroup() as sends:
            while True:
                try:
                    await self._send_what_is_ready(sends)
                    await self._holds.look()
                    await wait_for(self._wakeups.sender, self._rest_s)
                except ServiceError as error:  # the database is away: nothing was claimed
                    logger.warning("sender of {} pauses: {}", self._account_id, error)
                    await asyncio.sleep(_FAILURE_PAUSE_S)

    @property
    def _rest_s(self) -> float:
        """An open breaker is looked after even when no task waits for it."""
        poll_s = self._settings.poll_s
        return self._wakeups.rest_s(poll_s) if self._breakers.all_closed else poll_s

    async def drain(self, *, timeout_s: float) -> bool:
        """Claim nothing more and wait for the sends in flight; False when some did not end in time."""
        self._draining.set()
        try:
            async with asyncio.timeout(timeout_s):
                await self._idle.wait()
        except TimeoutError:
            return False
        return True

    async def _send_what_is_ready(self, sends: asyncio.TaskGroup) -> None:
        waiting, self._waiting = self._waiting, None
        while not self._draining.is_set() and self._session.is_open() and self._term.lease.held:
            operation = await self._claims.peek(self._capacity())
            if operation is None:
                return
            kind, since = waiting or (operation, self._clock.monotonic())
            since = since if kind is operation else self._clock.monotonic()
            if not await self._has_slot(operation):
                self._waiting = (operation, since)
                return
            self._counters.broker_wait.observe(self._clock.monotonic() - since)
            waiting = None
            if self._draining.is_set():
                return
            claim_began_at = self._clock.monotonic()
            task = await self._claims.claim(operation, capacity=self._capacity())
            if task is None:
                return
            self._in_flight[task.operation] += 1
            self._idle.clear()
            sends.create_task(self._send(task, claim_began_at=claim_began_at), name=f"send-{task.task_id}")
            await asyncio.sleep(0)  # it goes before the next one is looked for

    def _capacity(self) -> list[Operation]:
        """What one more request may be started of. Cancels have room of their own, so that four orders that hang do
        not keep a cancel waiting."""
        orders = self._in_flight[Operation.PLACE] + self._in_flight[Operation.MODIFY]
        capacity = [Operation.CANCEL] if self._in_flight[Operation.CANCEL] < self._settings.cancels_in_flight else []
        if orders < self._settings.in_flight:
            capacity += [Operation.MODIFY, Operation.PLACE]
        return capacity

    async def _has_slot(self, operation: Operation) -> bool:
        """The broker's rate limit comes before the claim: a wasted slot costs nothing, a stale claim does."""
        try:
            await self._governor.acquire(_KINDS[operation], deadline=self._clock.monotonic() + _SLOT_WAIT_S)
        except RateLimited as error:
            self._log_wait(error)
            return False
        return True

    def _log_wait(self, error: RateLimited) -> None:
        """Once in a while, not at every look."""
        now = self._clock.monotonic()
        if now >= self._log_again_at:
            logger.warning("sender of {} waits: {}", self._account_id, error)
            self._log_again_at = now + _LOG_EVERY_S

    async def _send(self, task: Task, *, claim_began_at: float) -> None:
        try:
            outcome = await self._transmission.send(task, claim_began_at=claim_began_at)
            await self._outcomes.store(task, outcome)
        finally:
            self._in_flight[task.operation] -= 1
            if not self._in_flight.total():
                self._idle.set()
            self._wakeups.sender.set()
