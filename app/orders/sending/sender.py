"""Sends one account's tasks: claim in the database, one request, store what became of it.

The order of things is the safety: the claim is committed before a byte leaves, so whoever comes later knows that it
may have left; the answer is stored under the claim's fence, so whoever lost the claim changes nothing. Requests are
never repeated here: a task that may go again is claimed again, with a new fence and a new tag.
"""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict
from collections.abc import Sequence
from uuid import UUID

from loguru import logger

from app.broker.outcomes import InDoubt, NotSent, SendOutcome, SessionRejected, Throttled
from app.broker.port import Governor, OrderGateway, RequestKind
from app.db.postgres import Database
from app.errors import RateLimited, ServiceError, Unavailable
from app.kit.clock import Clock
from app.kit.ids import IdSource
from app.orders.sending import claim_store
from app.orders.sending.account_breakers import AccountBreakers
from app.orders.sending.claim_terms import ClaimTerms, claim_terms
from app.orders.sending.holds import Holds
from app.orders.sending.lockout import halt_if_locked_out
from app.orders.sending.outcome_rules import THROTTLE_COOL_DOWN_S, verdict_of
from app.orders.state import task_store
from app.orders.state.counters import OrderCounters
from app.orders.state.engine_settings import EngineSettings
from app.orders.state.lease_term import LeaseTerm
from app.orders.state.model import Operation, Task
from app.orders.state.session_state import SessionState
from app.orders.state.settlement import Settlement
from app.orders.state.wakeups import Wakeups, wait_for

_KINDS = {
    Operation.CANCEL: RequestKind.CANCEL,
    Operation.MODIFY: RequestKind.MODIFY,
    Operation.PLACE: RequestKind.PLACE,
}
_SETTLE_DELAYS_S = (0.05, 0.2, 0.5, 1.0, 2.0)
_FAILURE_PAUSE_S = 0.5
_SENDS_REMEMBERED = 10_000
_LOG_EVERY_S = 5.0
_SLOT_WAIT_S = 0.25
"""More than the distance of two orders. A longer wait is no reason to keep a cancel, which has room of its own, behind
an order that has none: the next round asks again what should go first."""


class Sender:
    """The one sender of an account. ``run`` lives until cancelled; ``drain`` lets the sends in flight finish."""

    def __init__(
        self,
        account_id: str,
        *,
        term: LeaseTerm,
        database: Database,
        gateway: OrderGateway,
        governor: Governor,
        settlement: Settlement,
        session: SessionState,
        holds: Holds,
        breakers: AccountBreakers,
        counters: OrderCounters,
        wakeups: Wakeups,
        settings: EngineSettings,
        clock: Clock,
        ids: IdSource,
    ) -> None:
        self._account_id = account_id
        self._term = term
        self._database = database
        self._gateway = gateway
        self._governor = governor
        self._settlement = settlement
        self._session = session
        self._holds = holds
        self._breakers = breakers
        self._counters = counters
        self._wakeups = wakeups
        self._settings = settings
        self._clock = clock
        self._ids = ids
        self._in_flight: Counter[Operation] = Counter()
        self._sent: OrderedDict[UUID, int] = OrderedDict()  # by task the last fence under which bytes may have left
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
            operation = await self._peek()
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
            task = await self._claim(operation)
            if task is None:
                return
            self._in_flight[task.operation] += 1
            self._idle.clear()
            sends.create_task(self._send(task, claim_began_at=claim_began_at), name=f"send-{task.task_id}")
            await asyncio.sleep(0)  # it goes before the next one is looked for

    def _may_go(self) -> list[Operation]:
        """Cancels have room of their own, and no breaker: four orders that hang must not keep a cancel waiting."""
        orders = self._in_flight[Operation.PLACE] + self._in_flight[Operation.MODIFY]
        room = [Operation.CANCEL] if self._in_flight[Operation.CANCEL] < self._settings.cancels_in_flight else []
        if orders < self._settings.in_flight:
            room += [kind for kind in (Operation.MODIFY, Operation.PLACE) if not self._breakers.stops(kind)]
        return room

    async def _peek(self) -> Operation | None:
        async with self._database.connection() as connection:
            return await claim_store.peek(connection, self._account_id, self._terms(self._may_go()))

    def _terms(self, operations: Sequence[Operation]) -> ClaimTerms:
        places_pass = Operation.PLACE in self._may_go()
        return claim_terms(self._term, operations, places_pass=places_pass, settings=self._settings)

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

    async def _claim(self, operation: Operation) -> Task | None:
        allowed = [kind for kind in self._may_go() if kind.priority <= operation.priority]
        async with self._database.connection() as connection:  # one statement is a transaction of its own
            return await claim_store.claim_next(
                connection, self._account_id, self._terms(allowed), claim_s=self._settings.claim_lease_s
            )

    async def _send(self, task: Task, *, claim_began_at: float) -> None:
        try:
            await self._governor.depart()
            if self._clock.monotonic() - claim_began_at > self._settings.longest_pause_s or not self._term.lease.held:
                outcome: SendOutcome = NotSent(reason="this process was paused between the claim and the send")
            elif self._was_sent(task):
                outcome = InDoubt(reason="the database has forgotten that this was sent")
            else:
                outcome = await self._call_once(task)
            await self._store(task, outcome)
        finally:
            self._in_flight[task.operation] -= 1
            if not self._in_flight.total():
                self._idle.set()
            self._wakeups.sender.set()

    def _was_sent(self, task: Task) -> bool:
        """A fence only rises, unless a standby was promoted that lacked our last commits, faster than our term ended:
        then the book of a new term is not asked, and only we know. Repeating a cancel does no harm."""
        return task.operation is not Operation.CANCEL and self._sent.get(task.task_id, 0) >= task.fence

    async def _call_once(self, task: Task) -> SendOutcome:
        """Send it, and remember that unless it is proven that nothing left."""
        self._sent[task.task_id] = task.fence
        if len(self._sent) > _SENDS_REMEMBERED:
            self._sent.popitem(last=False)
        outcome = await self._call(task)
        if isinstance(outcome, NotSent):
            self._sent.pop(task.task_id, None)
        self._breakers.record(task.operation, outcome)
        if isinstance(outcome, Throttled):
            self._governor.cool_down(THROTTLE_COOL_DOWN_S)
        return outcome

    async def _call(self, task: Task) -> SendOutcome:
        try:
            async with asyncio.timeout(self._settings.send_timeout_s):
                match task.operation:
                    case Operation.PLACE:
                        return await self._gateway.place(task.order, tag=task.tag)
                    case Operation.MODIFY:
                        return await self._gateway.modify(
                            str(task.target_order_id), variety=task.variety, changes=task.changes
                        )
                    case Operation.CANCEL:
                        return await self._gateway.cancel(
                            str(task.target_order_id),
                            variety=task.variety,
                            parent_order_id=task.parent_order_id,
                        )
        except TimeoutError:
            return InDoubt(reason=f"no answer within {self._settings.send_timeout_s:g} s")

    async def _store(self, task: Task, outcome: SendOutcome) -> None:
        """Keep trying while the claim lasts; after that the task is in doubt by itself and the book decides."""
        for delay in (*_SETTLE_DELAYS_S, None):
            try:
                await self._store_once(task, outcome)
            except Unavailable as error:
                if delay is None:
                    logger.error("task {}: its outcome could not be stored: {}", task.task_id, error)
                    return
                await asyncio.sleep(delay)
            else:
                self._wakeups.changed()
                self._wakeups.look()
                return

    async def _store_once(self, task: Task, outcome: SendOutcome) -> None:
        if isinstance(outcome, SessionRejected):
            self._session.reject()
        async with self._database.transaction() as tx:
            async with tx.pipeline():  # one round trip
                await task_store.write_outcome(tx, task, outcome)
                await self._settlement.lock(tx, self._account_id)
            verdict = verdict_of(task, outcome, now=self._clock.now())
            await self._settlement.settle(tx, task.task_id, verdict, fence=task.fence)
            await halt_if_locked_out(tx, task, outcome, settlement=self._settlement, ids=self._ids)
