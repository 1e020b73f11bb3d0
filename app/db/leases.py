"""One owner at a time, by a row with a term: who may send an account's orders, who holds its feed.

A lease that is not renewed ends by the database's clock, and the next owner's term is one higher. The holder trusts
its lease for less time than it lasts, counted from before the renewal was sent, so that a process that was paused
stops before another one starts. What must never be done by two owners also names the term in its own statement.
An advisory lock would not do: a stopped process keeps it for as long as its connection lives.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Literal

from loguru import logger

from app.db.postgres import POOL_WAIT_S, Database, Tx
from app.errors import ServiceError, Unavailable
from app.kit.cancellation import end_if_cancelled
from app.kit.clock import Clock
from app.kit.process import is_gone

HELD_BY_TERM = """EXISTS (SELECT 1 FROM lease l WHERE l.name = %(lease_name)s AND l.owner = %(lease_owner)s
  AND l.term = %(lease_term)s AND l.expires_at > clock_timestamp())"""
"""The condition that a guarded statement adds; its parameters are ``Lease.guard``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseTimes:
    """Seconds. ``trust_s`` must be well below ``ttl_s``: the gap is what clocks and pauses may take."""

    ttl_s: float = 10.0
    trust_s: float = 7.0
    renew_every_s: float = 2.0
    try_every_s: float = 0.4

    @classmethod
    def lasting(cls, ttl_s: float) -> LeaseTimes:
        """Times in proportion to how long a lease outlives the last word of its holder."""
        return cls(ttl_s=ttl_s, trust_s=ttl_s * 0.7, renew_every_s=ttl_s * 0.2, try_every_s=ttl_s * 0.04)


class LeaseLost(Exception):
    """Somebody else owns it now, or nobody could be asked for too long."""


class Lease:
    """One process's side of one lease. Raises Unavailable when the database is away."""

    def __init__(self, database: Database, *, name: str, owner: str, times: LeaseTimes, clock: Clock) -> None:
        self._database = database
        self.name = name
        self.owner = owner
        self.times = times
        self._clock = clock
        self.term = 0
        self._trusted_until = 0.0

    @property
    def held(self) -> bool:
        """Whether this process may act as the owner right now, by its own clock."""
        return self._clock.monotonic() < self._trusted_until

    @property
    def guard(self) -> dict[str, object]:
        """Parameters of ``HELD_BY_TERM``."""
        return {"lease_name": self.name, "lease_owner": self.owner, "lease_term": self.term}

    async def try_take(self) -> bool:
        """Take the lease if nobody holds it, or if its holder is proven dead; a new term begins."""
        async with self._answering() as connection:
            asked_at = self._clock.monotonic()  # not before: a connection may have been waited for, the row was not
            cursor = await connection.execute("SELECT owner, term FROM lease WHERE name = %s", (self.name,))
            holder = await cursor.fetchone()
            dead = holder is not None and holder[0] != self.owner and is_gone(holder[0])
            cursor = await connection.execute(
                """INSERT INTO lease (name, owner, term, expires_at)
                   VALUES (%(name)s, %(owner)s, 1, clock_timestamp() + make_interval(secs => %(ttl)s))
                   ON CONFLICT (name) DO UPDATE SET owner = excluded.owner, term = lease.term + 1,
                     taken_at = clock_timestamp(), expires_at = clock_timestamp() + make_interval(secs => %(ttl)s)
                   WHERE lease.expires_at <= clock_timestamp() OR lease.term = %(dead_term)s
                   RETURNING term""",
                {
                    "name": self.name,
                    "owner": self.owner,
                    "ttl": self.times.ttl_s,
                    "dead_term": holder[1] if holder is not None and dead else None,
                },
            )
            row = await cursor.fetchone()
        if row is None:
            return False
        self.term = int(row[0])
        self._trusted_until = asked_at + self.times.trust_s
        return True

    async def renew(self) -> None:
        """Raises LeaseLost when the term is over."""
        async with self._answering() as connection:
            asked_at = self._clock.monotonic()
            cursor = await connection.execute(
                """UPDATE lease SET expires_at = clock_timestamp() + make_interval(secs => %s)
                   WHERE name = %s AND owner = %s AND term = %s AND expires_at > clock_timestamp()""",
                (self.times.ttl_s, self.name, self.owner, self.term),
            )
        if cursor.rowcount != 1:
            self._trusted_until = 0.0
            raise LeaseLost(self.name)
        self._trusted_until = asked_at + self.times.trust_s

    async def release(self) -> None:
        """Let the next owner begin at once; nothing happens when the term is over already."""
        self._trusted_until = 0.0
        async with self._answering() as connection:
            await connection.execute(
                "UPDATE lease SET expires_at = clock_timestamp() WHERE name = %s AND owner = %s AND term = %s",
                (self.name, self.owner, self.term),
            )

    @asynccontextmanager
    async def _answering(self) -> AsyncIterator[Tx]:
        """A connection for as long as the lease would be trusted: one whose line swallows everything must not keep
        its holder from ever noticing that the lease is over. Raises Unavailable then."""
        try:
            async with asyncio.timeout(POOL_WAIT_S + self.times.trust_s), self._database.connection() as connection:
                yield connection
        except TimeoutError as error:
            raise Unavailable("the database does not answer", code="DATABASE_UNAVAILABLE") from error


WhenUnsure = Literal["stop", "go_on"]


class Ownership:
    """Runs work only while a lease is held: waits for the lease, works, waits again. Lives until cancelled.

    Work that ends with a ServiceError (the database was lost while it began) gives the lease back and begins anew.
    ``when_unsure`` is for the time in which the database cannot be asked: work that must never be done twice stops;
    work that does no harm twice (a feed) goes on until somebody else is known to hold the lease.
    ``leave`` hands the lease over and takes it no more.
    """

    def __init__(self, lease: Lease, work: Callable[[], Awaitable[None]], *, when_unsure: WhenUnsure = "stop") -> None:
        self.lease = lease
        self._work = work
        self._when_unsure = when_unsure
        self._leaving = asyncio.Event()
        self.working = False

    async def run(self) -> None:
        while True:
            await self._take()
            logger.info("{} is ours, term {}", self.lease.name, self.lease.term)
            self.working, broken = True, False
            try:
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(self._keep(), name=f"lease-{self.lease.name}")
                    # in the group's body: Python before 3.13 forgets to take back the cancellation of a parent that
                    # only waits for the group's end, and this task would count as cancelled ever after
                    await self._work()
            except* LeaseLost:
                logger.warning("{} is no longer ours (term {})", self.lease.name, self.lease.term)
            except* ServiceError as errors:
                broken = True
                logger.warning("{} is given back (term {}): {}", self.lease.name, self.lease.term, errors.exceptions[0])
            finally:
                self.working = False
            end_if_cancelled()  # the error may have come from being stopped
            if broken:
                await self._release()

    async def leave(self) -> None:
        """Let the next owner begin at once. The work itself is stopped by whoever runs it."""
        self._leaving.set()
        if self.lease.held:
            await self._release()

    async def _release(self) -> None:
        try:
            await self.lease.release()
        except ServiceError as error:
            logger.warning("{} not handed over: {}", self.lease.name, error)

    async def _take(self) -> None:
        while True:
            if not self._leaving.is_set():
                try:
                    if await self.lease.try_take():
                        return
                except ServiceError as error:
                    logger.warning("{} cannot be asked for: {}", self.lease.name, error)
            await asyncio.sleep(self.lease.times.try_every_s)

    async def _keep(self) -> None:
        """Renew until it fails. Raises LeaseLost."""
        while True:
            await asyncio.sleep(self.lease.times.renew_every_s)
            try:
                if not self._leaving.is_set():
                    await self._renew()
            except ServiceError as error:
                logger.warning("{} not renewed: {}", self.lease.name, error)
                if not self.lease.held and self._when_unsure == "stop":
                    raise LeaseLost(self.lease.name) from error

    async def _renew(self) -> None:
        try:
            await self.lease.renew()
        except LeaseLost:
            if self._when_unsure == "stop" or not await self.lease.try_take():
                raise
            logger.info("{} is ours again, term {}", self.lease.name, self.lease.term)
