"""Connections that are kept for the next request to the same endpoint: few, for a short time, checked again each time.

One is kept after a good answer that was read to its end. It lives at most a minute, so a name that leads elsewhere is
followed within that time; until then it leads to the address that was checked, which is checked by the rules again.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass

import httpcore

from app.kit.clock import Clock
from app.webhooks.checked_connection import AddressRefused, CheckedConnection, check_address
from app.webhooks.target import Target

LIFETIME_S = 60.0
"""From its beginning, however often it is used."""

MAX_KEPT = 64
MAX_OF_ONE = 4
SWEEP_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """One connection to one target, and when it was opened (monotonic seconds)."""

    target: Target
    pool: httpcore.AsyncConnectionPool
    network: CheckedConnection
    opened_s: float

    @property
    def is_idle(self) -> bool:
        """Whether it is open, and its last answer was read to the end."""
        return any(one.is_idle() for one in self.pool.connections)


_Origin = tuple[str, str, int, bool]


class KeptConnections:
    """``run`` closes those whose time is over, ``close`` all of them."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._kept: dict[_Origin, deque[Connection]] = {}

    def take(self, target: Target) -> Connection | None:
        """A connection that may be used now, the one that was used last; None: open one."""
        kept = self._kept.get(_origin(target))
        while kept:
            connection = kept.pop()
            if self._may_be_used(connection):
                connection.network.begin()
                return connection
            kept.appendleft(connection)  # ``run`` closes it
            return None
        return None

    async def give_back(self, connection: Connection, *, keep: bool) -> None:
        """Keep a connection whose answer was good, or close it."""
        kept = self._kept.setdefault(_origin(connection.target), deque())
        is_full = len(kept) >= MAX_OF_ONE or sum(map(len, self._kept.values())) >= MAX_KEPT
        if keep and not is_full and connection.is_idle and self._may_be_used(connection):
            kept.append(connection)
        else:
            await connection.pool.aclose()

    async def run(self) -> None:
        """For as long as the service runs."""
        while True:
            await asyncio.sleep(SWEEP_S)
            await self.close_expired()

    async def close_expired(self) -> None:
        """Close those whose time is over, or that may not be used any more."""
        expired = [one for kept in self._kept.values() for one in kept if not self._may_be_used(one)]
        self._kept = {
            origin: left
            for origin, kept in self._kept.items()
            if (left := deque(one for one in kept if self._may_be_used(one)))
        }
        for connection in expired:
            await connection.pool.aclose()

    async def close(self) -> None:
        """Close all of them, before the process ends."""
        left = [one for kept in self._kept.values() for one in kept]
        self._kept.clear()
        for connection in left:
            await connection.pool.aclose()

    def _may_be_used(self, connection: Connection) -> bool:
        address = connection.network.address
        if address is None or self._clock.monotonic() - connection.opened_s >= LIFETIME_S:
            return False
        try:
            check_address(connection.target, address)
        except AddressRefused:
            return False
        return True


def _origin(target: Target) -> _Origin:
    return target.scheme, target.host, target.port, target.loopback
