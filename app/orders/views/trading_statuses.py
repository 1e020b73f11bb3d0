"""Whether an order of each account would reach the broker now, as this replica knows it from the accounts' owners.

A loop reads the statuses of all accounts with one query, so that health, metrics and the log have them without waiting.
An answer that its owner has not confirmed lately is void; while the database does not answer, this replica says so by
itself, because an order that it is given could not even be stored.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from loguru import logger

from app.db.postgres import Database
from app.errors import ServiceError
from app.kit.answer_time import answering_within
from app.kit.clock import Clock
from app.kit.hysteresis import is_shown
from app.orders.risk.halt_store import list_halts
from app.orders.risk.halts import Halt, halt_sentence
from app.orders.sending.egress_store import candidates
from app.orders.state.egress import Candidate
from app.orders.state.trading_reasons import UNCONFIRMED_S, ConfirmedStatus, Reason, TradingStatus
from app.orders.state.trading_status_store import read_statuses

READ_EVERY_S = 0.5
SILENT_S = 2.0
"""A database that has not answered for this long has stalled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LastRead:
    """The newest read of the statuses that was answered. Times are monotonic seconds."""

    rows: Mapping[str, ConfirmedStatus] = field(default_factory=dict)
    refusals: Mapping[str, Halt] = field(default_factory=dict)  # halts for want of an address, by account
    candidates: Sequence[Candidate] = ()
    at_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Stall:
    """The newest time that the database did not answer this replica."""

    began_at: datetime
    seen_at_s: float  # monotonic seconds


def shown_status(account_id: str, *, last: LastRead, stall: Stall | None, now_s: float) -> TradingStatus:
    """What this replica says about one account at ``now_s`` (monotonic seconds)."""
    if stall is not None and is_shown(stall.seen_at_s, now=now_s):
        text = "the database does not answer this replica: no order can be stored"
        return _blocked(account_id, Reason.DATABASE_STALLED, text, since=stall.began_at)
    row = last.rows.get(account_id)
    if row is not None and row.age_s + now_s - last.at_s <= UNCONFIRMED_S:
        return row.status
    detail: dict[str, str] = {Reason.NO_SENDER: "no process is known to send the account's orders"}
    refusal = last.refusals.get(account_id)
    if refusal is not None:  # the reason why no process does
        detail |= {Reason.ADDRESS_REFUSED: refusal.reason, Reason.HALTED: halt_sentence(refusal)}
    since = None if row is None else row.written_at if row.status.can_trade else row.status.since
    reasons = tuple(Reason(one) for one in detail)
    return TradingStatus(account_id=account_id, reasons=reasons, detail=detail, since=since)


def _blocked(account_id: str, reason: Reason, text: str, *, since: datetime | None) -> TradingStatus:
    return TradingStatus(account_id=account_id, reasons=(reason,), detail={reason: text}, since=since)


class TradingStatuses:
    """The statuses about ``accounts``. ``run`` keeps them until it is cancelled."""

    def __init__(self, database: Database, *, accounts: Iterable[str], clock: Clock, replica_live_s: float) -> None:
        self._database = database
        self._accounts = tuple(accounts)
        self._clock = clock
        self._replica_live_s = replica_live_s
        self._began_s = clock.monotonic()
        self._last = LastRead(at_s=self._began_s)
        self._stall: Stall | None = None
        self._logged: dict[str, tuple[Reason, ...]] = {}

    async def run(self) -> None:
        """Read again and again; a read that fails is a stall."""
        while True:
            try:
                with answering_within(SILENT_S):
                    await self.read()
            except ServiceError:
                self.note_stall()  # the change of the statuses is logged
            self._log_changes()
            await asyncio.sleep(READ_EVERY_S)

    async def read(self) -> None:
        """Read what the owners have written. Raises Unavailable."""
        async with self._database.connection() as connection:
            rows = await read_statuses(connection)
            halts = await list_halts(connection)
            found = await candidates(connection, self._accounts, live_s=self._replica_live_s)
        refusals = {halt.scope: halt for halt in halts if halt.is_for_want_of_an_address}
        self._last = LastRead(rows=rows, refusals=refusals, candidates=found, at_s=self._clock.monotonic())

    def note_stall(self) -> None:
        """The database does not answer this replica at this moment."""
        now_s = self._clock.monotonic()
        if self._stall is not None and is_shown(self._stall.seen_at_s, now=now_s):
            self._stall = replace(self._stall, seen_at_s=now_s)
        else:
            self._stall = Stall(began_at=self._clock.now(), seen_at_s=now_s)

    def known(self) -> Sequence[TradingStatus]:
        """The status about each account, in the order of the roster."""
        now_s = self._clock.monotonic()
        if now_s - self._last.at_s > SILENT_S:
            self.note_stall()
        return [self._known(account_id, now_s=now_s) for account_id in self._accounts]

    def _known(self, account_id: str, *, now_s: float) -> TradingStatus:
        status = shown_status(account_id, last=self._last, stall=self._stall, now_s=now_s)
        return replace(status, candidates=[one for one in self._last.candidates if one.account_id == account_id])

    def _log_changes(self) -> None:
        """One line when a reason begins or ends. That the first owner is still starting is no news."""
        starting = self._clock.monotonic() - self._began_s < UNCONFIRMED_S
        for status in self.known():
            reasons, before = tuple(status.reasons), self._logged.get(status.account_id, ())
            if reasons == before or (starting and reasons == (Reason.NO_SENDER,)):
                continue
            self._logged[status.account_id] = reasons
            detail = "; ".join(status.detail.values())
            log = logger.bind(account_id=status.account_id, action="trade", reasons=",".join(reasons), reason=detail)
            if reasons:
                log.warning("account cannot trade")
            else:
                log.info("account can trade again")
