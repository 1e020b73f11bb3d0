"""The tick stream: newest value per instrument to every socket that asked for it."""

from __future__ import annotations

from collections.abc import Callable

from redis.asyncio import Redis

from app.events.hub import StreamStats
from app.events.limits import StreamLimits


class TickStreamHub:
    """Register ``on_tick`` with the tick pipeline; run ``run`` for instruments whose feed is in another process."""

    def __init__(
        self,
        redis: Redis,
        *,
        prefix: str,
        limits: StreamLimits,
        subscribed: Callable[[int], bool],
        last_value: Callable[[int], bytes | None],
        served_here: Callable[[int], bool],
    ) -> None:
        raise NotImplementedError

    def on_tick(self, instrument_token: int, payload: bytes) -> None:
        """The pipeline's listener: a dictionary look-up when nobody reads this instrument."""
        raise NotImplementedError

    async def run(self) -> None:
        """Heartbeats, and Redis for what is not served here, until cancelled."""
        raise NotImplementedError

    async def close(self, *, timeout: float) -> int:
        """Refuse newcomers, close every socket with 1012 ``restart``; returns how many were still open at the end."""
        raise NotImplementedError

    def stats(self) -> StreamStats:
        raise NotImplementedError
