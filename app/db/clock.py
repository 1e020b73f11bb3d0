"""The database's clock in this process: the one clock for everything that is compared with a row.

Rows are stamped by the database. A replica whose own clock is a minute off would call fresh orders stale and roll back
batches whose deadline is far away, so no replica compares a row with its own clock. Between two readings time goes on
by a counter that neither a step of the wall clock nor a suspended machine stops.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta

from loguru import logger

from app.db.postgres import Database, Tx
from app.errors import ServiceError
from app.kit.clock import Clock

READ_EVERY_S = 2.0
DRIFT = 0.001
"""Seconds by which a reading becomes less exact with each second of its age: far more than any quartz drifts."""

APART_S = 2.0
"""From this difference on an operator should know that this machine's clock is wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One answer of the database: its time was ``moment``, within ``error_s``, when the counter was at ``at_s``."""

    moment: datetime
    at_s: float
    error_s: float

    def now(self, at_s: float) -> datetime:
        """The database's time when the counter is at ``at_s``."""
        return self.moment + timedelta(seconds=at_s - self.at_s)

    def error(self, at_s: float) -> float:
        """By how many seconds that may be wrong."""
        return self.error_s + DRIFT * (at_s - self.at_s)


def better(kept: Reading | None, new: Reading) -> Reading:
    """The reading to go on with: the more exact one, or the new one where the two contradict each other.

    They do when the server's clock was set, or another server has taken over.
    """
    if kept is None:
        return new
    apart_s = abs((new.moment - kept.now(new.at_s)).total_seconds())
    contradicted = apart_s > new.error_s + kept.error(new.at_s)
    return new if contradicted or new.error_s <= kept.error(new.at_s) else kept


class DatabaseClock:
    """A ``Clock`` whose ``now`` is the database's. Before the first reading it is the machine's."""

    def __init__(self, machine: Clock) -> None:
        self._machine = machine
        self._reading: Reading | None = None
        self._warned = False

    def now(self) -> datetime:
        """Aware, UTC, by the database's clock."""
        if self._reading is None:
            return self._machine.now()
        return self._reading.now(self._machine.monotonic())

    def monotonic(self) -> float:
        return self._machine.monotonic()

    async def read(self, tx: Tx) -> None:
        """Read the database's time. A slow answer is kept only where nothing better is known."""
        begun_at = self.monotonic()
        cursor = await tx.execute("SELECT clock_timestamp()")
        row = await cursor.fetchone()
        answered_at = self.monotonic()
        if row is None:
            raise LookupError("the database gave no time")
        half = (answered_at - begun_at) / 2
        self._reading = better(self._reading, Reading(moment=row[0], at_s=begun_at + half, error_s=half))
        self._warn_once()

    async def run(self, database: Database) -> None:
        """Read it every ``READ_EVERY_S``. Lives until cancelled."""
        while True:
            try:
                async with database.connection() as connection:
                    await self.read(connection)
            except ServiceError as error:  # the counter goes on without it
                logger.debug("database clock not read: {}", error)
            await asyncio.sleep(READ_EVERY_S)

    def _warn_once(self) -> None:
        ahead_s = (self._machine.now() - self.now()).total_seconds()
        if abs(ahead_s) > APART_S and not self._warned:
            logger.bind(ahead_s=round(ahead_s, 1)).warning("this machine's clock differs from the database's")
        self._warned = abs(ahead_s) > APART_S
