"""Redis between replicas: hints out, messages in. An outage of Redis delays hints and loses nothing else.

Both loops outlive an outage: they log when it begins and when it ends, and try again each second.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Collection

from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.exceptions import RedisError

from app.events.outage import Outage
from app.kit.cancellation import end_if_cancelled

BACKLOG = 10_000  # hints that wait for Redis; older ones are dropped, PostgreSQL has them
BATCH = 200  # hints per round trip
RETRY_S = 1.0
REFRESH_S = 0.25  # how soon a changed set of channels is noticed while nothing arrives


class HintRelay:
    """Publishes in order, many per round trip. ``offer`` never waits; ``lost`` counts what Redis did not get."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._waiting: deque[tuple[str, str]] = deque(maxlen=BACKLOG)
        self._ready = asyncio.Event()
        self._outage = Outage("Redis", affected="publishing order events")
        self.lost = 0

    def offer(self, channel: str, message: str) -> None:
        """Queue one message; when the queue is full the oldest one is dropped."""
        if len(self._waiting) == BACKLOG:
            self.lost += 1
        self._waiting.append((channel, message))
        self._ready.set()

    async def run(self) -> None:
        """Publish what is queued; until cancelled."""
        while True:
            await self._ready.wait()
            batch = [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]
            try:
                await self._publish(batch)
                self._outage.end()
            except (RedisError, OSError) as error:
                end_if_cancelled()
                self.lost += len(batch)
                self._outage.begin(error)
                await asyncio.sleep(RETRY_S)
            if not self._waiting:
                self._ready.clear()

    async def _publish(self, batch: list[tuple[str, str]]) -> None:
        async with self._redis.pipeline(transaction=False) as pipeline:
            for channel, message in batch:
                pipeline.publish(channel, message)
            await pipeline.execute()


class RedisListener:
    """Hands each message of the wanted channels to ``on_message(channel, data)``, which must not wait.

    ``wanted`` is called again after ``refresh`` and after every reconnect; ``purpose`` names the listener in log lines.
    """

    def __init__(
        self,
        redis: Redis,
        *,
        purpose: str,
        wanted: Callable[[], Collection[str]],
        on_message: Callable[[str, bytes], None],
    ) -> None:
        self._redis = redis
        self._wanted = wanted
        self._on_message = on_message
        self._stale = True
        self._outage = Outage("Redis", affected=purpose)

    def refresh(self) -> None:
        """The wanted channels may have changed."""
        self._stale = True

    async def run(self) -> None:
        """Listen; until cancelled."""
        while True:
            try:
                async with self._redis.pubsub(ignore_subscribe_messages=True) as pubsub:
                    await self._listen(pubsub)
            except (RedisError, OSError) as error:
                end_if_cancelled()
                self._outage.begin(error)
                await asyncio.sleep(RETRY_S)

    async def _listen(self, pubsub: PubSub) -> None:
        have: set[str] = set()
        self._stale = True
        while True:
            if self._stale:
                self._stale = False
                have = await _follow(pubsub, have=have, want=set(self._wanted()))
            if not have:
                await asyncio.sleep(REFRESH_S)
                continue
            message = await pubsub.get_message(timeout=REFRESH_S)
            self._outage.end()
            if message is not None:
                self._on_message(message["channel"].decode(), message["data"])


async def _follow(pubsub: PubSub, *, have: set[str], want: set[str]) -> set[str]:
    if added := want - have:
        await pubsub.subscribe(*added)
    if gone := have - want:
        await pubsub.unsubscribe(*gone)
    return want
