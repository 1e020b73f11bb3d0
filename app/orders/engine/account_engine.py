"""The engine of one account: waits for the account's lease, runs its loops while it holds the lease, and waits again.

The process that holds the lease owns the account: only its loops (sender, reconciler, batch runner, exits) send for it.
When the lease is lost they end immediately. The next owner finds everything that it needs in the database.
"""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Protocol

from app.broker.orders import Operation
from app.broker.port import Broker, CredentialSource, Governor
from app.db.leases import Lease, LeaseLost, Leases
from app.db.ownership import MOST_CHARACTERS, Ownership
from app.db.postgres import Tx
from app.kit.clock import trade_date_of
from app.orders.engine.account_loops import AccountLoops, build_account_loops
from app.orders.engine.trading_status import STALLED_AFTER_S, UNANSWERED_AFTER_S, TradingFacts
from app.orders.recovery.loss_check import Continuity, LossCheck
from app.orders.risk.halts_and_doubts_store import Stops
from app.orders.sending import egress_store
from app.orders.sending.hand_over_pause import pause_before_sending
from app.orders.sending.sent_today_store import sent_today
from app.orders.state.alarms import Alarm
from app.orders.state.counters import ReadCounters
from app.orders.state.egress import Egress
from app.orders.state.last_prices import LastPrices
from app.orders.state.lease_term import LeaseTerm
from app.orders.state.order_parts import AccountParts, OrderParts
from app.orders.state.session_state import SessionState
from app.orders.state.task_store import database_now
from app.orders.state.wakeups import Wakeups

HAND_OVER_S = 2.0
"""What requests under way may take once the account was given up; then their claims lapse and become doubts."""

_RECOVERING = "the database was lost: the order book is read until it has shown every order that was sent"


class TradingAccount(Protocol):
    """What the engine needs of an account."""

    @property
    def broker(self) -> Broker:
        """The account's gateways at the broker."""
        ...

    @property
    def governor(self) -> Governor:
        """The rate limits of the account."""
        ...

    @property
    def credentials(self) -> CredentialSource:
        """Returns the token that is valid at the time of a request."""
        ...


class AccountEngine:
    """The engine of one account in this process. ``run`` ends when it is cancelled."""

    def __init__(
        self,
        account: TradingAccount,
        *,
        parts: OrderParts,
        wakeups: Wakeups,
        leases: Leases,
        prices: LastPrices,
        loss_check: LossCheck,
    ) -> None:
        self.broker = account.broker
        self.wakeups = wakeups
        self.read_counters = ReadCounters()
        self._governor = account.governor
        self._parts = parts
        self._prices = prices
        self._loss_check = loss_check
        self._term: LeaseTerm | None = None  # the newest one
        self._session = SessionState(
            account.credentials,
            profile=account.broker.portfolio.profile,
            clock=parts.clock,
            prove_every_s=parts.settings.session_proof_s,
        )
        self._lease = leases.lease(f"sender:{account.broker.account_id}")
        self._egress = Egress.of(parts.settings, replica=leases.owner)
        self._ownership = Ownership(self._lease, self._work, on_failure=self._report_failure, allowed=self._may_own)
        self.loops: AccountLoops | None = None
        """Of the newest lease term; None before the first."""

    @property
    def is_owner(self) -> bool:
        """Whether this process owns the account now, by its own clock."""
        return self._lease.held

    @property
    def sends(self) -> bool:
        """Whether the loops of the present lease term run here."""
        return (
            self.is_owner and self._ownership.working and self.loops is not None and self.loops.term == self.lease.term
        )

    @property
    def book_was_read(self) -> bool:
        """Whether a read of the present term has shown every order that is known, and none that was forgotten."""
        return self._term is not None and self._term.book_was_read

    @property
    def lease(self) -> Lease:
        """Under which this process sends for the account."""
        return self._lease

    def trading_facts(self, stops: Stops, *, database_answers: bool) -> TradingFacts:
        """What this process, which sends for the account, knows of whether an order would reach the broker now.

        ``stops`` and ``database_answers`` are what the caller has found in the database, and how it answered.
        """
        loops = self.loops
        return TradingFacts(
            database_answers=database_answers and (loops is None or loops.sender.unanswered_s < STALLED_AFTER_S),
            recovering=_RECOVERING if self._term is not None and self._term.is_recovering else None,
            has_session=self._session.is_open(),
            address_refused=stops.address_refused,
            halt=stops.halt,
            too_much_in_doubt=stops.many_doubts,
            book_unreadable=self.read_counters.book_unreadable or self._failure,
            placements_fail=loops is not None and loops.breakers.stops(Operation.PLACE),
            placements_unanswered=loops is not None and loops.sender.full_s >= UNANSWERED_AFTER_S,
            day_is_used_up=self._governor.places_left_today() < 1,
        )

    async def run(self) -> None:
        """Wait for the lease, run the loops for one term, and wait for the next one."""
        await self._ownership.run()

    async def _may_own(self, tx: Tx) -> bool:
        return await egress_store.may_own(tx, self.broker.account_id, self._egress)

    async def hand_over(self) -> None:
        """Give the account up, so that a replica that may send takes it. Raises Unavailable."""
        if self._term is not None and self._lease.held:
            await self._lease.release()
            self._term.give_up()

    async def drain(self, *, timeout_s: float) -> bool:
        """Send no more tasks, wait for the requests in flight, and release the lease for the next owner.

        Returns False when some requests did not end within ``timeout_s`` seconds; the lease is released anyway, and
        the next owner treats them as doubts once their claims lapse.
        """
        finished = True if self.loops is None else await self.loops.sender.drain(timeout_s=timeout_s)
        await self._ownership.leave()
        return finished

    @property
    def _failure(self) -> str | None:
        """What ended the account's loops last, while it may do so again; None: they are sound."""
        failure = self._ownership.failure
        return None if failure is None else f"the account's loops began anew after an error: {failure}"

    async def _report_failure(self, what: str) -> None:
        """Count it, and raise an alarm once a day for each such error. Raises Unavailable."""
        settlement, account_id = self._parts.settlement, self.broker.account_id
        settlement.counters.account_failures[account_id] += 1
        async with self._parts.database.transaction() as tx:
            day = trade_date_of(await database_now(tx)).isoformat()
            await settlement.raise_alarm(
                tx,
                Alarm.ACCOUNT_FAILED,
                account_id=account_id,
                alarm_id=self._parts.ids.uuid(),
                subject=f"{day} {what}"[:MOST_CHARACTERS],
                data={"error": what},
            )

    async def _work(self) -> None:
        """Run the loops of one term, until the lease is lost or this task is cancelled."""
        account_id = self.broker.account_id
        # before anything is sent: a database that was put back ended the term before, too
        continuity = await self._loss_check.check()
        async with self._parts.database.connection() as connection:
            began_at = await database_now(connection)
            sent = await sent_today(connection, account_id, trade_date=trade_date_of(began_at))
        # the broker counts over a day, a minute and a second, whichever process sends
        self._governor.restore_places_today(sent.places)
        self._governor.restore_minute(sent.ages_s)
        await asyncio.sleep(pause_before_sending(sent, now=began_at))
        loops = self.loops = build_account_loops(self._term_parts(began_at, continuity), governor=self._governor)
        self.wakeups.sender.set()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(loops.sender.run(), name=f"sender-{account_id}")
            tasks.create_task(loops.reconciler.run(), name=f"reconciler-{account_id}")
            tasks.create_task(self._end_when_given_up(loops), name=f"given-up-{account_id}")
            tasks.create_task(loops.exits.run(), name=f"exits-{account_id}")
            # in the group's body, for the reason that ``Ownership.run`` gives
            await loops.batches.run()

    async def _end_when_given_up(self, loops: AccountLoops) -> None:
        """Once this process has given the term up: let the requests under way end, and end the loops by LeaseLost."""
        term = loops.sender.term
        await term.given_up.wait()
        await loops.sender.drain(timeout_s=HAND_OVER_S)
        raise LeaseLost(term.lease.name)

    def _term_parts(self, began_at: datetime, continuity: Continuity) -> AccountParts:
        term = LeaseTerm(lease=self._lease, began_at=began_at, is_continued=continuity is Continuity.CONTINUED)
        self._term = term
        return AccountParts(
            database=self._parts.database,
            settlement=self._parts.settlement,
            settings=self._parts.settings,
            clock=self._parts.clock,
            ids=self._parts.ids,
            tagger=self._parts.tagger,
            tasks=self._parts.tasks,
            broker=self.broker,
            term=term,
            session=self._session,
            wakeups=self.wakeups,
            read_counters=self.read_counters,
            prices=self._prices,
        )
