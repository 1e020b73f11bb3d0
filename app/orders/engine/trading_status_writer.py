"""The loop that says for the accounts of this process's senders whether an order placed now would reach the broker.

Every replica shows what is written here. While the database does not answer, nothing is written, and the replicas say
so by themselves; an owner that dies or hangs leaves an answer that becomes void.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from app.db.leases import Lease
from app.db.postgres import Database, Tx
from app.errors import ServiceError
from app.kit.answer_time import answering_within
from app.kit.clock import Clock
from app.orders.engine.trading_status import STALLED_AFTER_S, TradingDecision, TradingFacts, decide_trading_status
from app.orders.risk.halts_and_doubts_store import Stops, stops_of
from app.orders.state.engine_settings import EngineSettings
from app.orders.state.trading_reasons import Reason
from app.orders.state.trading_status_store import write_status

ROUND_S = 0.5
"""Between two looks at the facts."""

CONFIRMED_EVERY_S = 1.5
"""How often a status is written again that has not changed: an older one becomes void after ``UNCONFIRMED_S``."""

_GIVEN_UP_S = 2.0
"""What a round waits for the database."""


class SendingAccount(Protocol):
    """An account for which this process sends, as its engine knows it."""

    @property
    def lease(self) -> Lease: ...

    def trading_facts(self, stops: Stops, *, database_answers: bool) -> TradingFacts:
        """What is known at this moment."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class _Written:
    """The newest status of one lease term, and what of it is stored since when (monotonic seconds)."""

    term: int
    status: TradingDecision
    stored: tuple[Reason, ...] | None = None
    stored_at: float = 0.0


class TradingStatusWriter:
    """``sending`` returns by account those for which this process sends now. ``run`` ends when it is cancelled."""

    def __init__(
        self,
        database: Database,
        *,
        sending: Callable[[], Mapping[str, SendingAccount]],
        settings: EngineSettings,
        clock: Clock,
    ) -> None:
        self._database = database
        self._sending = sending
        self._settings = settings
        self._clock = clock
        self._written: dict[str, _Written] = {}
        self._answers = True  # the database answered the round before, and soon

    async def run(self) -> None:
        """Round after round; one that fails is repeated."""
        while True:
            began_at = self._clock.monotonic()
            try:
                with answering_within(_GIVEN_UP_S):
                    await self.write()
                self._answers = self._clock.monotonic() - began_at < STALLED_AFTER_S
            except ServiceError:  # a reason itself: it is written as soon as the database answers
                self._answers = False
            await asyncio.sleep(ROUND_S)

    async def write(self) -> None:
        """Decide about each of them, and store what has changed or must be confirmed. Raises Unavailable."""
        accounts = self._sending()
        self._written = {account_id: one for account_id, one in self._written.items() if account_id in accounts}
        if not accounts:
            return
        async with self._database.connection() as connection:
            stops = await stops_of(
                connection,
                sorted(accounts),
                halt_doubts=self._settings.halt_doubts,
                halt_doubt_age_s=self._settings.halt_doubt_age_s,
            )
            for account_id, account in accounts.items():
                await self._write_one(connection, account_id, account, stops[account_id])

    async def _write_one(self, tx: Tx, account_id: str, account: SendingAccount, stops: Stops) -> None:
        now, term = self._clock.monotonic(), account.lease.term
        facts = account.trading_facts(stops, database_answers=self._answers)
        before = self._written.get(account_id)
        if before is None or before.term != term:
            before = _Written(term=term, status=TradingDecision())
        status = decide_trading_status(facts, before=before.status, now=now)
        reasons = tuple(status.reasons)
        if reasons != before.stored or now - before.stored_at >= CONFIRMED_EVERY_S:
            await write_status(tx, account_id, reasons=reasons, detail=status.detail, lease=account.lease)
            self._written[account_id] = _Written(term=term, status=status, stored=reasons, stored_at=now)
        else:
            self._written[account_id] = _Written(
                term=term, status=status, stored=before.stored, stored_at=before.stored_at
            )
