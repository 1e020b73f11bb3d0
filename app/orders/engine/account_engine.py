"""The engine of one account: waits for the account's lease, works while it holds it, and waits again.

While it is the owner, three loops run (sender, reconciler, batch runner); when the lease is lost they end at once, and
whoever takes it next finds everything in the database.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from app.broker.port import Broker, CredentialSource, Governor
from app.db.leases import Lease, LeaseTimes, Ownership
from app.db.postgres import Database
from app.kit.clock import Clock, trade_date_of
from app.kit.ids import IdSource
from app.orders.batches.runner import BatchRunner
from app.orders.reconciliation.reconciler import Reconciler
from app.orders.sending.account_breakers import AccountBreakers
from app.orders.sending.claim_store import sent_today
from app.orders.sending.hand_over_pause import pause_before_sending
from app.orders.sending.holds import Holds
from app.orders.sending.sender import Sender
from app.orders.state.counters import OrderCounters, ReadCounters
from app.orders.state.engine_settings import EngineSettings
from app.orders.state.lease_term import LeaseTerm
from app.orders.state.new_tasks import TaskFactory
from app.orders.state.session_state import SessionState
from app.orders.state.settlement import Settlement
from app.orders.state.tags import Tagger
from app.orders.state.task_store import database_now
from app.orders.state.wakeups import Wakeups


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineParts:
    """What all accounts share. ``owner`` names this process and is never used by another one."""

    database: Database
    settlement: Settlement
    counters: OrderCounters
    settings: EngineSettings
    clock: Clock
    ids: IdSource
    tagger: Tagger
    tasks: TaskFactory
    owner: str
    lease_times: LeaseTimes


class AccountEngine:
    """One account: ``run`` waits for the lease, works while it holds it, and waits again; it lives until cancelled."""

    def __init__(
        self,
        broker: Broker,
        *,
        governor: Governor,
        credentials: CredentialSource,
        wakeups: Wakeups,
        parts: EngineParts,
    ) -> None:
        self.broker = broker
        self.wakeups = wakeups
        self.read_counters = ReadCounters()
        self._governor = governor
        self._parts = parts
        self._session = SessionState(credentials, clock=parts.clock)
        self._lease = Lease(
            parts.database,
            name=f"sender:{broker.account_id}",
            owner=parts.owner,
            times=parts.lease_times,
            clock=parts.clock,
        )
        self._ownership = Ownership(self._lease, self._work)
        self._sender: Sender | None = None
        self.breakers: AccountBreakers | None = None

    @property
    def is_owner(self) -> bool:
        return self._lease.held

    async def run(self) -> None:
        await self._ownership.run()

    async def drain(self, *, timeout_s: float) -> bool:
        """Send nothing more, wait for the answers under way, and let the next owner begin."""
        finished = True if self._sender is None else await self._sender.drain(timeout_s=timeout_s)
        await self._ownership.leave()
        return finished

    async def _work(self) -> None:
        """Until the lease is lost or this task is cancelled."""
        async with self._parts.database.connection() as connection:
            began_at = await database_now(connection)
            sent = await sent_today(connection, self.broker.account_id, trade_date=trade_date_of(began_at))
        self._governor.restore_places_today(sent.places)
        self._governor.restore_minute(sent.ages_s)
        await asyncio.sleep(pause_before_sending(sent, now=began_at))
        first_ever = self._lease.term == 1  # nobody can have sent anything before
        term = LeaseTerm(lease=self._lease, began_at=began_at, book_was_read=first_ever)
        self._sender = self._build_sender(term)
        self.wakeups.sender.set()
        async with asyncio.TaskGroup() as loops:
            loops.create_task(self._sender.run(), name=f"sender-{self.broker.account_id}")
            loops.create_task(self._build_reconciler(term).run(), name=f"reconciler-{self.broker.account_id}")
            loops.create_task(self._build_batches(term).run(), name=f"batches-{self.broker.account_id}")

    def _build_sender(self, term: LeaseTerm) -> Sender:
        parts, account_id = self._parts, self.broker.account_id
        breakers = AccountBreakers(
            account_id, limits=parts.settings.breaker, reads=self.read_counters, wakeups=self.wakeups, clock=parts.clock
        )
        self.breakers = breakers
        holds = Holds(
            account_id,
            database=parts.database,
            settlement=parts.settlement,
            session=self._session,
            breakers=breakers,
            wakeups=self.wakeups,
            settings=parts.settings,
            clock=parts.clock,
        )
        return Sender(
            account_id,
            term=term,
            database=parts.database,
            gateway=self.broker.orders,
            governor=self._governor,
            settlement=parts.settlement,
            session=self._session,
            holds=holds,
            breakers=breakers,
            counters=parts.counters,
            wakeups=self.wakeups,
            settings=parts.settings,
            clock=parts.clock,
            ids=parts.ids,
        )

    def _build_reconciler(self, term: LeaseTerm) -> Reconciler:
        parts = self._parts
        return Reconciler(
            self.broker.account_id,
            term=term,
            database=parts.database,
            gateway=self.broker.orders,
            broker_offset_s=self.broker.clock_offset_s,
            settlement=parts.settlement,
            wakeups=self.wakeups,
            settings=parts.settings,
            clock=parts.clock,
            ids=parts.ids,
            tasks=parts.tasks,
            deployment=parts.tagger.deployment,
            session=self._session,
            read_counters=self.read_counters,
        )

    def _build_batches(self, term: LeaseTerm) -> BatchRunner:
        parts = self._parts
        return BatchRunner(
            self.broker.account_id,
            term=term,
            database=parts.database,
            portfolio=self.broker.portfolio,
            settlement=parts.settlement,
            wakeups=self.wakeups,
            settings=parts.settings,
            clock=parts.clock,
            tasks=parts.tasks,
        )
