"""Compares the database with what is remembered of it outside: every second, and when a lease term begins.

Living processes remember what they saw and what they stored themselves; Redis and a file remember it for processes that
start. A record is read before the database is, so that the database can only be ahead of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime
from enum import StrEnum

from loguru import logger

from app.db.database_identity import read_generations, read_identity
from app.errors import ServiceError
from app.orders.recovery import recovery_store
from app.orders.recovery.database_record import RecordStore, RecordUnavailable
from app.orders.recovery.loss_signs import DatabaseRecord, Sign, newest, sign_of
from app.orders.recovery.recoveries import begin_recovery
from app.orders.state.order_parts import OrderParts
from app.orders.state.task_store import database_now

CHECK_EVERY_S = 1.0
WRITE_EVERY_S = 0.5
FIRST_TRIES = 5
"""How often the stores are asked before a process decides without them; each try has a bound of its own."""

TRY_AGAIN_S = 0.5
"""Between two tries."""


class Continuity(StrEnum):
    """What one comparison proves."""

    CONTINUED = "continued"  # the database has everything that was remembered
    UNPROVEN = "unproven"  # nothing is remembered of this database
    LOST = "lost"  # it has forgotten something; the recovery of every account has begun


class LossCheck:
    """The comparisons of one process. ``accounts``: whose recovery begins; ``generations``: this process's own, by
    lease; ``on_loss`` wakes what waits for an account; ``books_read``: whether the broker's books have shown, for every
    account that this process sends for, that nothing was forgotten."""

    def __init__(
        self,
        parts: OrderParts,
        *,
        accounts: Sequence[str],
        stores: Sequence[RecordStore],
        generations: dict[str, int],
        on_loss: Callable[[str], None],
        books_read: Callable[[], bool],
    ) -> None:
        self._parts = parts
        self._accounts = accounts
        self._stores = stores
        self._unread = list(stores)  # those that could not be asked yet what they remember
        self._generations = generations
        self._on_loss = on_loss
        self._books_read = books_read
        self._seen: DatabaseRecord | None = None  # what this process saw last
        self._is_proven = False  # what was stored before this process began is still there
        self._looked_at: datetime | None = None  # when it was compared last, by the database's clock
        self._written_at = float("-inf")
        self._one_at_a_time = asyncio.Lock()  # an older answer must not be compared with a newer record

    async def run(self) -> None:
        """Compare every ``CHECK_EVERY_S``. Lives until cancelled."""
        while True:
            try:
                await self.check()
            except ServiceError as error:
                logger.bind(action="compare_database", reason=error.message).debug("database not compared")
            await asyncio.sleep(CHECK_EVERY_S)

    async def check(self) -> Continuity:
        """Compare once; after a loss the recovery of every account has begun when this returns. Raises Unavailable."""
        async with self._one_at_a_time:
            is_first = self._seen is None
            remembered = [*self._own_record(), *await self._read_stores(tries=FIRST_TRIES if is_first else 1)]
            async with self._parts.database.connection() as connection:
                identity = await read_identity(connection)
                if identity is None:  # a standby: nothing can be stored here, so nothing is sent either
                    return Continuity.UNPROVEN
                now = DatabaseRecord(identity=identity, generations=await read_generations(connection))
                looked_at = await database_now(connection)
                # an empty database is a new deployment's only if every place that would remember another was asked
                is_unknown = is_first and not remembered and bool(self._unread or not self._stores)
                is_empty = is_unknown and await recovery_store.is_empty(connection)
            signs = [sign for record in remembered if (sign := sign_of(record, now)) is not None]
            signs += [Sign.EMPTY] if is_empty else []
            if signs:
                await self._begin(signs[0])
            self._is_proven = self._is_proven or bool(signs) or (is_first and bool(remembered)) or self._books_read()
            self._looked_at = looked_at
            await self._remember(now, lost=bool(signs))
        if signs:
            return Continuity.LOST
        return Continuity.CONTINUED if self._is_proven else Continuity.UNPROVEN

    def _own_record(self) -> list[DatabaseRecord]:
        """What this process has seen and stored itself; copied before the database is read."""
        if self._seen is None:
            return []
        own = DatabaseRecord(identity=self._seen.identity, generations=dict(self._generations))
        return [newest(own, self._seen)]

    async def _read_stores(self, *, tries: int) -> list[DatabaseRecord]:
        """What the stores remember from before this process; each is read once, as soon as it answers.

        At a start a busy machine may be slow to connect, and without an answer a new deployment's database would count
        as an emptied one: so it is tried more often, until a store has a record.
        """
        found = await self._read_unread()
        for _ in range(tries - 1):
            if found or not self._unread:
                break
            await asyncio.sleep(TRY_AGAIN_S)
            found = await self._read_unread()
        return found

    async def _read_unread(self) -> list[DatabaseRecord]:
        found: list[DatabaseRecord] = []
        for store in list(self._unread):
            try:
                record = await store.read()
            except RecordUnavailable as error:
                logger.bind(action="compare_database", reason=error).debug("what is remembered could not be read")
                continue
            self._unread.remove(store)
            found += [] if record is None else [record]
        return found

    async def _begin(self, sign: Sign) -> None:
        for account_id in self._accounts:
            log = logger.bind(account_id=account_id, action="recover", reason=str(sign))
            log.error("the database has lost something, the account recovers")
            async with self._parts.database.transaction() as tx:
                await self._parts.settlement.lock(tx, account_id)
                recovery = await recovery_store.find(tx, account_id)
                # this process alone was away: another one has noticed the same loss, and more may be known by now
                if recovery is not None and self._looked_at is not None and recovery.began_at > self._looked_at:
                    continue
                await begin_recovery(
                    tx,
                    account_id,
                    sign=str(sign),
                    quiet_s=self._parts.settings.account_lease_s,
                    settlement=self._parts.settlement,
                    alarm_id=self._parts.ids.uuid(),
                )
            self._on_loss(account_id)

    async def _remember(self, now: DatabaseRecord, *, lost: bool) -> None:
        """From here on this is what a database must go on from. What is not proven is not remembered for others."""
        self._seen = now
        if lost:
            self._generations.clear()
            self._generations.update(now.generations)
        moment = self._parts.clock.monotonic()
        if not self._is_proven or (not lost and moment - self._written_at < WRITE_EVERY_S):
            return
        self._written_at = moment
        for store in self._stores:
            if store in self._unread:
                continue
            try:
                await store.write(now)
            except RecordUnavailable as error:
                logger.bind(action="compare_database", reason=error).debug("record of the database not written")
