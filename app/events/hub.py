"""The order stream: events of the log to every socket of their account, each exactly once and in order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from redis.asyncio import Redis

from app.db.postgres import Database, Tx
from app.events.limits import StreamLimits
from app.kit.ids import IdSource


class Snapshot(Protocol):
    async def __call__(self, tx: Tx, account_id: str) -> Sequence[Mapping[str, Any]]:
        """The account's orders of the day, JSON-ready, as this transaction sees them."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamStats:
    """For metrics and ``GET /advanced/ws/stats``. ``dropped`` counts closed sockets by reason; it only rises."""

    connections: Mapping[str, int]
    dropped: Mapping[str, int]
    delivered: int


class OrderStreamHub:
    """Per account: the sockets, and how far the log has been handed to them. ``run`` is its background loop."""

    def __init__(
        self,
        database: Database,
        *,
        redis: Redis,
        prefix: str,
        ids: IdSource,
        limits: StreamLimits,
        snapshot: Snapshot,
    ) -> None:
        raise NotImplementedError

    def wake(self, account_id: str) -> None:
        """Say that this process committed events of ``account_id``. Returns at once; needless calls cost nothing."""
        raise NotImplementedError

    async def run(self) -> None:
        """Hand out events until cancelled."""
        raise NotImplementedError

    async def close(self, *, timeout: float) -> int:
        """Refuse newcomers, close every socket with 1012 ``restart``; returns how many were still open at the end."""
        raise NotImplementedError

    def stats(self) -> StreamStats:
        raise NotImplementedError
