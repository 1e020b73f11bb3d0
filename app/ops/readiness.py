"""May traffic be sent to this process? Its own matters alone count: an account that cannot trade takes no replica out.

A replica that is taken out cannot be used to log in, to halt, or to see what is wrong. So a database that is away for
all replicas takes none of them out at first; only one that stays away from this replica does, because another one may
still reach it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from loguru import logger
from psycopg import Error as DatabaseError

from app.errors import Unavailable
from app.kit.clock import Clock
from app.kit.probe import Probe

DEAD_AFTER_S = 30.0
"""A pool whose every use has failed for this long is dead."""


class Pool(Protocol):
    """A pool of database connections of this process."""

    @property
    def failing_since(self) -> float | None:
        """Monotonic seconds of the first of the failures since its last success; None while it works."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Readiness:
    """``reasons`` says why no traffic may be sent here, and is empty when it may."""

    reasons: tuple[str, ...]

    @property
    def ready(self) -> bool:
        return not self.reasons


class ReadinessCheck:
    """``wanted`` is the revision of the schema that this code needs; ``revision`` reads the one of the database."""

    def __init__(self, *, wanted: str, revision: Probe[str | None], pools: Sequence[Pool], clock: Clock) -> None:
        self._wanted = wanted
        self._revision = revision
        self._pools = pools
        self._clock = clock
        self._found: str | None = wanted  # the service does not start on another schema
        self._draining = False

    def begin_draining(self) -> None:
        """The process begins to stop: from now on it is not ready."""
        self._draining = True

    @property
    def draining(self) -> bool:
        """Whether the process has begun to stop."""
        return self._draining

    async def check(self) -> Readiness:
        """Not ready while stopping, on a schema of another version, or when a pool of this process is dead."""
        if self._draining:
            return Readiness(reasons=("the service is stopping",))
        try:
            self._found = await self._revision.run()
        except (Unavailable, DatabaseError, TimeoutError) as error:
            logger.debug("schema not read, the revision of the last read counts: {!r}", error)
        if self._found != self._wanted:
            return Readiness(reasons=("the database schema is not at this version: python -m app migrate",))
        if any(self._is_dead(pool) for pool in self._pools):
            return Readiness(reasons=(f"the database cannot be reached from here for {DEAD_AFTER_S:g} s",))
        return Readiness(reasons=())

    def _is_dead(self, pool: Pool) -> bool:
        return pool.failing_since is not None and self._clock.monotonic() - pool.failing_since > DEAD_AFTER_S
