"""Feed and subscription events on ``{prefix}events``: hints for whoever listens, never the truth.

What cannot be published within the client's bound is dropped and counted: PostgreSQL has the events that matter.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from typing import Any

import msgspec
from loguru import logger
from redis.asyncio import Redis
from redis.exceptions import RedisError

from app.db.redis_keys import RedisKeys
from app.kit.cancellation import end_if_cancelled
from app.kit.clock import IST, Clock

BACKLOG = 1000
"""Events that wait for Redis; beyond that the oldest are dropped."""


class Announcer:
    """``announce`` is a plain function; ``flush`` does the publishing."""

    def __init__(self, redis: Redis, *, keys: RedisKeys, clock: Clock) -> None:
        self._redis = redis
        self._channel = keys.market_events
        self._clock = clock
        self._backlog: deque[bytes] = deque(maxlen=BACKLOG)
        self._wake = asyncio.Event()
        self.dropped = 0

    def announce(self, kind: str, *, account_id: str, data: Mapping[str, Any]) -> None:
        """``{v, type, timestamp, account_id, data}``; ``timestamp`` is ISO-8601 in IST."""
        timestamp = self._clock.now().astimezone(IST).isoformat(timespec="milliseconds")
        event = {"v": 1, "type": kind, "timestamp": timestamp, "account_id": account_id, "data": dict(data)}
        self._backlog.append(msgspec.json.encode(event))
        self._wake.set()

    async def wait(self, *, timeout: float) -> None:
        """Return when there is something to flush, at the latest after ``timeout``."""
        try:
            async with asyncio.timeout(timeout):
                await self._wake.wait()
        except TimeoutError:
            return

    async def flush(self) -> None:
        """Publish what waits. Never raises for Redis."""
        self._wake.clear()
        while self._backlog:
            event = self._backlog.popleft()
            try:
                await self._redis.publish(self._channel, event)
            except (RedisError, OSError) as error:
                end_if_cancelled()
                self.dropped += 1 + len(self._backlog)
                self._backlog.clear()
                logger.warning("market events: Redis did not take them: {}", error)
