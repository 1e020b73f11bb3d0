"""Feeds that fall silent or recover, and subscriptions that change: into the account's event log, and onto Redis.

The log in PostgreSQL has every event, in the transaction that changes the state. Redis only carries hints for whatever
listens on its channel: what cannot be published within the client's bound is dropped and counted.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Protocol

import msgspec
from loguru import logger
from redis.asyncio import Redis
from redis.exceptions import RedisError

from app.db.postgres import Tx
from app.db.redis_keys import RedisKeys
from app.kit.cancellation import end_if_cancelled
from app.kit.clock import IST, Clock

BACKLOG = 1000
"""Events that wait for Redis; beyond that the oldest are dropped."""


class MarketEventType(StrEnum):
    """What happened to an account's market data."""

    SUBSCRIPTION_CHANGED = "subscription_changed"
    FEED_STALE = "feed_stale"
    FEED_RECOVERED = "feed_recovered"


class EventRecorder(Protocol):
    """The event log, as this package needs it."""

    async def __call__(self, tx: Tx, account_id: str, kind: str, data: Mapping[str, Any]) -> None:
        """Append one event to the account's log in the caller's transaction."""
        ...


class MarketEvents:
    """``record`` writes to the log, ``announce`` puts into the backlog for Redis, ``flush`` publishes the backlog."""

    def __init__(self, redis: Redis, *, keys: RedisKeys, clock: Clock, recorder: EventRecorder) -> None:
        self._redis = redis
        self._channel = keys.market_events
        self._clock = clock
        self._recorder = recorder
        self._backlog: deque[bytes] = deque(maxlen=BACKLOG)
        self._wake = asyncio.Event()
        self.dropped = 0

    async def record(self, tx: Tx, kind: MarketEventType, *, account_id: str, data: Mapping[str, Any]) -> None:
        """Append to the account's log; the event exists when the caller's transaction commits."""
        await self._recorder(tx, account_id, kind.value, data)

    def announce(self, kind: MarketEventType, *, account_id: str, data: Mapping[str, Any]) -> None:
        """Queue ``{v, type, timestamp, account_id, data}`` for Redis; ``timestamp`` is ISO-8601 in IST."""
        timestamp = self._clock.now().astimezone(IST).isoformat(timespec="milliseconds")
        event = {"v": 1, "type": kind.value, "timestamp": timestamp, "account_id": account_id, "data": dict(data)}
        self._backlog.append(msgspec.json.encode(event))
        self._wake.set()

    async def wait(self, *, timeout: float) -> None:
        """Return when there is something to flush, at the latest after ``timeout`` seconds."""
        try:
            async with asyncio.timeout(timeout):
                await self._wake.wait()
        except TimeoutError:
            return

    async def flush(self) -> None:
        """Publish what waits. Never raises for Redis: what it does not take is dropped, and ``dropped`` counts it."""
        self._wake.clear()
        while self._backlog:
            event = self._backlog.popleft()
            try:
                await self._redis.publish(self._channel, event)
            except (RedisError, OSError) as error:
                end_if_cancelled()
                self.dropped += 1 + len(self._backlog)
                self._backlog.clear()
                logger.warning("market events dropped, Redis does not take them: {}", error)
