"""The tick stream: the newest tick of an instrument to every socket that reads it.

A tick that a slow reader has not taken yet is replaced by the next one of the same instrument. So what waits for a
reader is bounded by the number of its instruments, and one reader never slows another.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Protocol

from redis.asyncio import Redis

from app.broker.market import Mode
from app.db.redis_keys import RedisKeys
from app.events.limits import StreamLimits
from app.events.protocol import CloseReason, StreamClosed, TickCommand, json_frame
from app.events.redis_bus import RedisListener
from app.events.stats import SocketCounts, StreamStats
from app.events.tick_modes import reduce_tick

REPLIES_KEPT = 64  # answers that wait for one reader; more than that and it is not reading


class TickReader:
    """One socket's place: ``modes`` by instrument token, and what waits to be sent."""

    def __init__(self) -> None:
        self.modes: dict[int, Mode] = {}
        self._ticks: dict[int, bytes] = {}
        self._replies: deque[str] = deque()
        self._ready = asyncio.Event()
        self._closing: CloseReason | None = None

    def put(self, instrument_token: int, payload: bytes) -> None:
        """Queue a tick as JSON; one of the same instrument that still waits is replaced."""
        self._ticks[instrument_token] = payload
        self._ready.set()

    def forget(self, instrument_token: int) -> None:
        """Read this instrument no longer; a tick that waits is dropped."""
        self.modes.pop(instrument_token, None)
        self._ticks.pop(instrument_token, None)

    def reply(self, frame: str) -> None:
        """Queue an answer to the client. A client that does not take them is closed."""
        if len(self._replies) >= REPLIES_KEPT:
            self.close(CloseReason.SLOW_CONSUMER)
        else:
            self._replies.append(frame)
            self._ready.set()

    def close(self, reason: CloseReason) -> None:
        """Make the next ``next_batch`` raise StreamClosed; the first reason counts."""
        self._closing = self._closing or reason
        self._ready.set()

    async def next_batch(self) -> list[str]:
        """Answers first, then the newest tick of each instrument that has one. Raises StreamClosed."""
        await self._ready.wait()
        if self._closing is not None:
            raise StreamClosed(self._closing)
        self._ready.clear()
        ticks, self._ticks = self._ticks, {}
        frames = list(self._replies)
        self._replies.clear()
        frames += [self._in_mode(token, payload) for token, payload in ticks.items()]
        return frames

    def _in_mode(self, instrument_token: int, payload: bytes) -> str:
        mode = self.modes[instrument_token]
        return (payload if mode is Mode.FULL else reduce_tick(payload, mode=mode)).decode()


class TickSource(Protocol):
    """What is known in this process about the ticks of an instrument."""

    def is_subscribed(self, instrument_token: int) -> bool:
        """Whether the instrument is subscribed at the broker, for any owner."""
        ...

    def is_streamed_here(self, instrument_token: int) -> bool:
        """Whether its ticks come through ``on_tick``; if not, they are received through Redis."""
        ...

    def last_json(self, instrument_token: int) -> bytes | None:
        """Its newest tick in memory, as JSON."""
        ...


class TickStreamHub:
    """The sockets that read ticks. ``on_tick`` is a listener of the tick pipeline; ``run`` is the background loop."""

    def __init__(self, redis: Redis, *, keys: RedisKeys, limits: StreamLimits, source: TickSource) -> None:
        self._keys = keys
        self._source = source
        self._readers: set[TickReader] = set()
        self._by_token: dict[int, set[TickReader]] = {}
        self._listener = RedisListener(
            redis, purpose="listening for ticks", wanted=self._channels, on_message=self._on_message
        )
        self._closing = False
        self.limits = limits
        self.counts = SocketCounts()

    def on_tick(self, instrument_token: int, payload: bytes) -> None:
        """One tick as JSON. It costs one dictionary access when no socket reads the instrument."""
        for reader in self._by_token.get(instrument_token, ()):
            reader.put(instrument_token, payload)

    async def run(self) -> None:
        """Send heartbeats, and receive from Redis what other processes stream; until cancelled."""
        async with asyncio.TaskGroup() as loops:
            for loop in (self._beat, self._look_for_moved_feeds, self._listener.run):
                loops.create_task(loop())

    @asynccontextmanager
    async def join(self) -> AsyncIterator[TickReader]:
        """A socket's place, for the time of the block. Raises StreamClosed while the process is stopping."""
        if self._closing:
            raise StreamClosed(CloseReason.RESTART)
        reader = TickReader()
        reader.reply(json_frame("authenticated"))
        self._readers.add(reader)
        self.counts.enter()
        try:
            yield reader
        finally:
            self._readers.discard(reader)
            self._release(reader, list(reader.modes))
            self.counts.leave()

    def execute(self, command: TickCommand, *, reader: TickReader) -> None:
        """Subscribe or unsubscribe the reader; it is answered with what was done and what was not."""
        tokens = list(dict.fromkeys(command.tokens))
        if command.action == "unsubscribe":
            self._release(reader, tokens)
            reader.reply(json_frame("unsubscribed", tokens=tokens))
        else:
            self._subscribe(reader, tokens, mode=command.mode)
        self._listener.refresh()

    async def close(self, *, timeout: float) -> int:
        """Refuse new sockets and close every open one with 1012 ``restart``.

        Returns how many are still open after ``timeout`` seconds.
        """
        self._closing = True
        for reader in self._readers:
            reader.close(CloseReason.RESTART)
        return await self.counts.drained(timeout=timeout)

    def stats(self) -> StreamStats:
        """The sockets of this process."""
        return StreamStats(
            connections={"ticks": len(self._readers)},
            dropped=self.counts.by_reason(),
            delivered=self.counts.delivered,
        )

    def _subscribe(self, reader: TickReader, tokens: Sequence[int], *, mode: Mode) -> None:
        known = [token for token in tokens if self._source.is_subscribed(token)]
        if unknown := [token for token in tokens if token not in set(known)]:
            detail = "not subscribed at the broker; POST /subscriptions first"
            reader.reply(json_frame("error", code="NOT_SUBSCRIBED", detail=detail, tokens=unknown))
        if len(reader.modes.keys() | set(known)) > self.limits.tokens_per_socket:
            detail = f"a socket reads at most {self.limits.tokens_per_socket} instruments; nothing was added"
            reader.reply(json_frame("error", code="TOO_MANY_TOKENS", detail=detail, tokens=known))
            return
        if not known:
            return
        reader.reply(json_frame("subscribed", tokens=known, mode=mode))
        for token in known:
            reader.modes[token] = mode
            self._by_token.setdefault(token, set()).add(reader)
            last = self._source.last_json(token)
            if last is not None:
                reader.put(token, last)

    def _release(self, reader: TickReader, tokens: Sequence[int]) -> None:
        for token in tokens:
            reader.forget(token)
            readers = self._by_token.get(token)
            if readers is not None:
                readers.discard(reader)
                if not readers:
                    del self._by_token[token]
        self._listener.refresh()

    def _channels(self) -> list[str]:
        return [self._keys.ticks(token) for token in self._by_token if not self._source.is_streamed_here(token)]

    def _on_message(self, channel: str, data: bytes) -> None:
        token = self._keys.token_of(channel)
        if not self._source.is_streamed_here(token):
            self.on_tick(token, data)

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(self.limits.heartbeat_s)
            frame = json_frame("heartbeat")
            for reader in self._readers:
                reader.reply(frame)

    async def _look_for_moved_feeds(self) -> None:
        """A feed that moved to another process, or here, changes which instruments are heard through Redis."""
        while True:
            await asyncio.sleep(self.limits.poll_s)
            self._listener.refresh()
