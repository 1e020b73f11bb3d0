"""One owner at a time, by a row with a term: which process sends an account's orders, and which has its feed.

A lease that is not renewed ends by the database's clock, and the next owner's term is one higher. The owner trusts its
lease for less time than it lasts, counted from before the renewal was sent, so that a process that was paused stops
before another one starts. A statement that two owners must never both run also names the term (``HELD_BY_TERM``).
An advisory lock would not do: a stopped process keeps it for as long as its connection lives.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from app.db.postgres import Database, Tx
from app.kit.clock import Clock
from app.kit.process import is_gone

Allowed: TypeAlias = Callable[[Tx], Awaitable[bool]]
"""Whether this process may take a lease that is free now, as the database knows it."""

HELD_BY_TERM = """EXISTS (SELECT 1 FROM lease l WHERE l.name = %(lease_name)s AND l.owner = %(lease_owner)s
  AND l.term = %(lease_term)s AND l.expires_at > clock_timestamp() AND l.generation >= %(lease_generation)s)"""
"""The condition that a guarded statement adds; its parameters are ``Lease.guard``."""

NEXT_GENERATION = "UPDATE lease SET generation = generation + 1 WHERE name = %(lease_name)s"
"""A guarded statement that must not be forgotten raises the generation: a database that was put back to a copy from
before it has a lower one than its owner remembers, and none of the owner's guarded statements does anything there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseTimes:
    """In seconds. ``trust_s`` must be well below ``ttl_s``: the difference is what clocks and pauses may take."""

    ttl_s: float = 10.0  # how long the row is valid after a renewal
    trust_s: float = 7.0  # how long its owner acts on it after a renewal
    renew_every_s: float = 2.0
    try_every_s: float = 0.4  # how often a process without the lease tries to take it

    @classmethod
    def lasting(cls, ttl_s: float) -> LeaseTimes:
        """Times in proportion to ``ttl_s``, which is how long a lease outlives the last renewal."""
        return cls(ttl_s=ttl_s, trust_s=ttl_s * 0.7, renew_every_s=ttl_s * 0.2, try_every_s=ttl_s * 0.04)


@dataclass(frozen=True, slots=True, kw_only=True)
class Leases:
    """Makes this process's sides of leases. ``owner`` names the process and is never used by another one."""

    database: Database
    owner: str
    times: LeaseTimes
    clock: Clock
    generations: dict[str, int] = field(default_factory=dict)
    """By lease, the highest generation that this process has seen."""

    def lease(self, name: str) -> Lease:
        """Not taken yet."""
        return Lease(
            self.database,
            name=name,
            owner=self.owner,
            times=self.times,
            clock=self.clock,
            generations=self.generations,
        )


async def held_leases(tx: Tx, names: Sequence[str]) -> set[str]:
    """Those of these leases that some process holds now."""
    cursor = await tx.execute(
        "SELECT name FROM lease WHERE name = ANY(%s) AND expires_at > clock_timestamp()", (list(names),)
    )
    return {row[0] for row in await cursor.fetchall()}


class LeaseLost(Exception):
    """Another process owns it now, or the database did not answer for too long."""


class Lease:
    """One process's side of one lease. Its calls raise Unavailable when the database does not answer.

    ``term`` is that of the last time the lease was taken here; 0 before the first. ``generation`` rises with each take,
    renewal and guarded statement that raises it.
    """

    def __init__(
        self,
        database: Database,
        *,
        name: str,
        owner: str,
        times: LeaseTimes,
        clock: Clock,
        generations: dict[str, int] | None = None,
    ) -> None:
        self._database = database
        self.name = name
        self.owner = owner
        self.times = times
        self.clock = clock
        self._highest = {} if generations is None else generations
        self.term = 0
        self.generation = 0
        self._trusted_until = 0.0
        self.is_given_up = False
        """Whether this process has ended its term itself; another one may own the lease already."""

    @property
    def held(self) -> bool:
        """Whether this process may act as the owner right now, by its own clock."""
        return self.clock.monotonic() < self._trusted_until

    @property
    def guard(self) -> dict[str, object]:
        """Parameters of ``HELD_BY_TERM``."""
        return {
            "lease_name": self.name,
            "lease_owner": self.owner,
            "lease_term": self.term,
            "lease_generation": self.generation,
        }

    def advanced(self, generation: int) -> None:
        """Note the generation that a statement of this owner has stored; answers may come in another order."""
        self.generation = max(generation, self.generation)
        self._highest[self.name] = max(generation, self._highest.get(self.name, 0))

    async def try_take(self, *, allowed: Allowed | None = None) -> bool:
        """Take the lease if it is free, or if the process that holds it is proven dead; a new term begins.

        False: another process holds it, or ``allowed``, which is asked about a free lease, says no.
        """
        async with self._database.connection() as connection:
            begun_at = self.clock.monotonic()  # after the wait for a connection, before the row is written
            cursor = await connection.execute(
                "SELECT owner, term, expires_at <= clock_timestamp() FROM lease WHERE name = %s", (self.name,)
            )
            holder = await cursor.fetchone()
            dead = holder is not None and holder[0] != self.owner and is_gone(holder[0])
            is_free = holder is None or dead or holder[2]
            if allowed is not None and not (is_free and await allowed(connection)):
                return False
            cursor = await connection.execute(
                """INSERT INTO lease (name, owner, term, generation, expires_at)
                   VALUES (%(name)s, %(owner)s, 1, 1, clock_timestamp() + make_interval(secs => %(ttl)s))
                   ON CONFLICT (name) DO UPDATE SET owner = excluded.owner, term = lease.term + 1,
                     generation = lease.generation + 1,
                     taken_at = clock_timestamp(), expires_at = clock_timestamp() + make_interval(secs => %(ttl)s)
                   WHERE lease.expires_at <= clock_timestamp() OR lease.term = %(dead_term)s
                   RETURNING term, generation""",
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
        self.is_given_up = False
        self.generation = 0  # a database that was put back begins with a lower one
        self.advanced(int(row[1]))
        self._trusted_until = begun_at + self.times.trust_s
        return True

    async def renew(self) -> None:
        """Extend the lease. Raises LeaseLost when the term is over."""
        async with self._database.connection() as connection:
            begun_at = self.clock.monotonic()
            cursor = await connection.execute(
                """UPDATE lease SET expires_at = clock_timestamp() + make_interval(secs => %s),
                     generation = generation + 1
                   WHERE name = %s AND owner = %s AND term = %s AND expires_at > clock_timestamp()
                     AND generation >= %s
                   RETURNING generation""",
                (self.times.ttl_s, self.name, self.owner, self.term, self.generation),
            )
            row = await cursor.fetchone()
        if row is None:
            self._trusted_until = 0.0
            raise LeaseLost(self.name)
        self.advanced(int(row[0]))
        self._trusted_until = begun_at + self.times.trust_s

    async def release(self) -> None:
        """Let the next owner begin immediately; nothing happens when the term is over already."""
        self._trusted_until = 0.0
        async with self._database.connection() as connection:
            await self.end(connection)

    async def end(self, tx: Tx) -> None:
        """The same in the caller's transaction, who calls ``ended`` after its commit."""
        await tx.execute(
            "UPDATE lease SET expires_at = clock_timestamp() WHERE name = %s AND owner = %s AND term = %s",
            (self.name, self.owner, self.term),
        )

    def ended(self) -> None:
        """Note that this process has ended its term: it does not act as the owner, and does not renew."""
        self._trusted_until = 0.0
        self.is_given_up = True
