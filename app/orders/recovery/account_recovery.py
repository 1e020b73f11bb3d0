"""The owner's part of a recovery: what each read of the order book adds to it, until the book has shown everything.

An order with our tag and without a task is the sure sign of a loss, so every read looks for one. While the account
recovers, every such order gets a task again, what the copy calls unsent is in doubt, and nothing but cancels is sent.
The recovery is over when at least five clean reads span the doubt window, counted from the last moment at which an
older owner can have sent: an order that was placed then has shown by now.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TypeAlias

from loguru import logger

from app.broker.orders import BrokerOrder
from app.broker.port import Governor
from app.db.postgres import Tx
from app.kit.clock import trade_date_of
from app.orders.recovery import adoption, recovery_store, unfinished
from app.orders.recovery.loss_signs import Sign
from app.orders.recovery.recoveries import begin_recovery
from app.orders.recovery.recovery_store import Recovery
from app.orders.risk.halt_store import halt_in_force
from app.orders.risk.halt_writer import write_halt
from app.orders.sending.sent_today_store import sent_today
from app.orders.state import order_store, recovery_state_store, task_store
from app.orders.state.alarms import Alarm
from app.orders.state.audit import Actor
from app.orders.state.engine_settings import CLEAN_READS_NEEDED
from app.orders.state.order_parts import AccountParts
from app.orders.state.tags import TAG_LENGTH, tags_of
from app.orders.state.trading_days import LOOK_BACK

READS_PER_WINDOW = 8
"""How often the book is read while an account recovers: more than are needed, because some reads are not clean."""

_BY = Actor(principal="recovery")

Orphans: TypeAlias = dict[str, list[BrokerOrder]]
"""Rows of the book by the tag under which they are, without its attempt's digit."""


class AccountRecovery:
    """One account during one lease term. The caller holds the account's lock where a transaction is given."""

    def __init__(self, parts: AccountParts, *, governor: Governor) -> None:
        self._parts = parts
        self._account_id = parts.account_id
        self._term = parts.term
        self._settings = parts.settings
        self._settlement = parts.settlement
        self._deployment = parts.tagger.deployment
        self._governor = governor

    @property
    def read_every_s(self) -> float:
        """Seconds between two reads of the book while the account recovers."""
        return self._settings.in_doubt_window_s / READS_PER_WINDOW

    async def has_begun(self, tx: Tx) -> bool:
        """Note whether the account recovers; True when this process did not know it yet."""
        state = await (await recovery_state_store.recovery_state(tx, self._account_id)).fetch()
        began = state == "recovering" and not self._term.is_recovering
        if began:
            self._note_begin()
        return began

    async def adopt(self, tx: Tx, rows: Sequence[BrokerOrder], *, now: datetime) -> bool:
        """Make a task of every order under our tags that has none; return whether anything changed.

        An account with such an order recovers from now on, if it did not before. An order of which no task can be made
        is a sign once, and further orders of a task that was made here are none: their recovery is over.
        """
        orphans, grown = await self._orphans(tx, rows)
        if not self._term.is_recovering and await self._is_sign(tx, orphans):
            await begin_recovery(
                tx,
                self._account_id,
                sign=str(Sign.ORDER_WITHOUT_TASK),
                quiet_s=self._settings.account_lease_s,
                settlement=self._settlement,
                alarm_id=self._parts.ids.uuid(),
            )
            self._note_begin()
        for base, found in (orphans | grown).items():
            await self._adopt_one(tx, base, found, now=now)
        altered = bool(orphans or grown)
        if self._term.is_recovering:
            altered |= await unfinished.doubt_unsent(tx, self._account_id, now=now, settlement=self._settlement)
        return altered

    async def count(self, tx: Tx, *, complete: bool, began_at: datetime) -> bool:
        """Count a read of the book that began at ``began_at``; return whether the recovery is over by it."""
        recovery = await recovery_store.find(tx, self._account_id)
        if recovery is None or recovery.is_over or not complete or began_at <= recovery.quiet_from:
            return False
        await recovery_store.count_clean_read(tx, self._account_id)
        window = timedelta(seconds=self._settings.in_doubt_window_s)
        if not is_proven(recovery, began_at=began_at, window=window):
            return False
        ids = await recovery_store.ids_without_tag(tx, recovery)
        since = trade_date_of(recovery.began_at) - LOOK_BACK
        without_tag = await order_store.by_ids(tx, self._account_id, ids, since=since)
        await unfinished.end_unsent(
            tx, self._account_id, without_tag=list(without_tag.values()), settlement=self._settlement
        )
        await self._restrict(tx, recovery)
        await recovery_store.end(tx, self._account_id)
        return True

    async def ended(self, tx: Tx, *, now: datetime) -> None:
        """After the commit: orders may be sent again, within what the day's orders leave of the broker's limits."""
        sent = await sent_today(tx, self._account_id, trade_date=trade_date_of(now))
        self._governor.restore_places_today(sent.places)
        self._term.is_recovering = False
        logger.bind(account_id=self._account_id, action="recover").warning("recovery is over, orders may be sent")

    def _note_begin(self) -> None:
        self._term.is_recovering = True
        self._term.is_continued = False
        self._term.book_was_read = False

    async def _restrict(self, tx: Tx, recovery: Recovery) -> None:
        """The copy has forgotten halts too, so the account waits for an operator."""
        if self._settings.after_recovery == "trade" or await halt_in_force(tx, self._account_id) is not None:
            return
        reason = (
            f"the account has recovered from a loss of the database ({recovery.sign}); resume it when it is as it was"
        )
        await write_halt(
            tx,
            scope=self._account_id,
            mode="reduce_only",
            reason=reason,
            by=_BY,
            entry_id=self._parts.ids.uuid(),
            details={"recovery": recovery.sign},
        )

    async def _is_sign(self, tx: Tx, orphans: Orphans) -> bool:
        """Whether orders were forgotten, by those that have no task: one of which no task can be made stays so, and the
        alarm that it has says that its recovery has begun before."""
        ids = {row.order_id for rows in orphans.values() for row in rows}
        if not ids:
            return False
        reported = await recovery_store.reported_orphans(tx, self._account_id, sorted(ids))
        return not ids <= reported

    async def _orphans(self, tx: Tx, rows: Sequence[BrokerOrder]) -> tuple[Orphans, Orphans]:
        """The rows under our tags whose task is missing, and those whose task has further slices to learn of."""
        found: Orphans = {}
        for row in rows:
            for tag in tags_of(row):
                if len(tag) == TAG_LENGTH and tag.startswith(self._deployment):
                    found.setdefault(tag[:-1], []).append(row)
        if not found:
            return {}, {}
        known = await task_store.by_tag_bases(tx, self._account_id, sorted(found))
        elsewhere = await task_store.of_other_accounts(tx, self._account_id, sorted(found))
        grown = {
            base: found[base]
            for base, task in known.items()
            if task.purpose == "recovered" and {row.order_id for row in found[base]} - set(task.confirmed_ids)
        }
        return {base: shown for base, shown in found.items() if base not in known and base not in elsewhere}, grown

    async def _adopt_one(self, tx: Tx, base: str, rows: Sequence[BrokerOrder], *, now: datetime) -> None:
        adopted = adoption.adopt(base, rows, trade_date=trade_date_of(now))
        if adopted is None:  # the alarm of an orphan stays all that can be done
            for row in rows:
                await self._report(tx, row.order_id, base)
            return
        task = (await task_store.by_tag_bases(tx, self._account_id, [base])).get(base)
        if task is None:
            task_id = self._parts.ids.uuid()
            await recovery_store.insert_adopted(tx, adopted, task_id=task_id, account_id=self._account_id)
        else:
            task_id = task.task_id
            await recovery_store.widen_adopted(tx, adopted, task_id=task_id)
        for order_id in adopted.order_ids:
            await self._report(tx, order_id, base)
            await order_store.adopt(tx, self._account_id, order_id, trade_date=adopted.trade_date, task_id=task_id)
        fields = {"account_id": self._account_id, "task_id": task_id, "order_ids": ",".join(adopted.order_ids)}
        logger.bind(**fields, action="recover").warning("an order of the book has a task again")

    async def _report(self, tx: Tx, order_id: str, base: str) -> None:
        """The alarm says which orders the database had forgotten."""
        await self._settlement.raise_alarm(
            tx,
            Alarm.ORPHAN,
            account_id=self._account_id,
            alarm_id=self._parts.ids.uuid(),
            subject=order_id,
            data={"order_id": order_id, "tag": base},
        )


def is_proven(recovery: Recovery, *, began_at: datetime, window: timedelta) -> bool:
    """Whether a clean read that began at ``began_at`` completes the proof; ``recovery`` counts those before it."""
    return recovery.clean_reads + 1 >= CLEAN_READS_NEEDED and began_at - recovery.quiet_from >= window
