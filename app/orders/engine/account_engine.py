"""The engine of one account: waits for the account's lease, works while it holds it, and waits again.

While it is the owner, three loops run (sender, reconciler, batch runner); when the lease is lost they end at once, and
whoever takes it next finds everything in the database.
"""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Protocol

from app.broker.port import Broker, CredentialSource, Governor
from app.db.leases import Leases, Ownership
from app.kit.clock import trade_date_of
from app.orders.engine.account_loops import AccountLoops, build_account_loops
from app.orders.sending.claim_store import sent_today
from app.orders.sending.hand_over_pause import pause_before_sending
from app.orders.state.counters import ReadCounters
from app.orders.state.lease_term import LeaseTerm
from app.orders.state.parts import AccountParts, OrderParts
from app.orders.state.session_state import SessionState
from app.orders.state.task_store import database_now
from app.orders.state.wakeups import Wakeups


class TradingAccount(Protocol):
    """One account at its broker, as far as sending orders needs it."""

    @property
    def broker(self) -> Broker: ...

    @property
    def governor(self) -> Governor:
        """The rates that the broker allows."""
        ...

    @property
    def credentials(self) -> CredentialSource:
        """The token that is in force at each request."""
        ...


class AccountEngine:
    """One account: ``run`` waits for the lease, works while it holds it, and waits again; it lives until cancelled."""

    def __init__(self, account: TradingAccount, *, parts: OrderParts, wakeups: Wakeups, leases: Leases) -> None:
        self.broker = account.broker
        self.wakeups = wakeups
        self.read_counters = ReadCounters()
        self._governor = account.governor
        self._parts = parts
        self._session = SessionState(account.credentials, clock=parts.clock)
        self._lease = leases.lease(f"sender:{account.broker.account_id}")
        self._ownership = Ownership(self._lease, self._work)
        self.loops: AccountLoops | None = None
        """Of the newest lease term; None before the first."""

    @property
    def is_owner(self) -> bool:
        return self._lease.held

    async def run(self) -> None:
        await self._ownership.run()

    async def drain(self, *, timeout_s: float) -> bool:
        """Send nothing more, wait for the answers under way, and let the next owner begin."""
        finished = True if self.loops is None else await self.loops.sender.drain(timeout_s=timeout_s)
        await self._ownership.leave()
        return finished

    async def _work(self) -> None:
        """Until the lease is lost or this task is cancelled."""
        account_id = self.broker.account_id
        async with self._parts.database.connection() as connection:
            began_at = await database_now(connection)
            sent = await sent_today(connection, account_id, trade_date=trade_date_of(began_at))
        self._governor.restore_places_today(sent.places)
        self._governor.restore_minute(sent.ages_s)
        await asyncio.sleep(pause_before_sending(sent, now=began_at))
        loops = self.loops = build_account_loops(self._term_parts(began_at), governor=self._governor)
        self.wakeups.sender.set()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(loops.sender.run(), name=f"sender-{account_id}")
            tasks.create_task(loops.reconciler.run(), name=f"reconciler-{account_id}")
            tasks.create_task(loops.batches.run(), name=f"batches-{account_id}")

    def _term_parts(self, began_at: datetime) -> AccountParts:
        first_ever = self._lease.term == 1  # no owner before can have sent anything
        return AccountParts(
            database=self._parts.database,
            settlement=self._parts.settlement,
            settings=self._parts.settings,
            clock=self._parts.clock,
            ids=self._parts.ids,
            tagger=self._parts.tagger,
            tasks=self._parts.tasks,
            broker=self.broker,
            term=LeaseTerm(lease=self._lease, began_at=began_at, book_was_read=first_ever),
            session=self._session,
            wakeups=self.wakeups,
            read_counters=self.read_counters,
        )
