"""Ticks to Redis over one connection of its own, one batch in flight at a time.

The pipeline checks ``ready``, writes a batch in chunks and seals it. The batch is settled when as many replies as
commands have come, or when the time for them is over. Nothing here makes the caller wait: a Redis that is slow, hung or
gone makes ``ready`` false, so that ticks conflate in the pipeline and the feed is not affected.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from typing import Literal, TypeAlias

from loguru import logger

from app.db.redis_keys import RedisKeys
from app.kit.backoff import Backoff
from app.kit.cancellation import end_if_cancelled
from app.market.ticks.redis_commands import TickCommands
from app.market.ticks.redis_connection import RespConnection, parse_target

REPLY_TIMEOUT_S = 2.0
CONNECT_TIMEOUT_S = 2.0
_FATAL = ("READONLY", "NOAUTH", "WRONGPASS", "LOADING", "MASTERDOWN")

Settled: TypeAlias = Callable[[bool], None]
"""Called once for each batch: True when Redis answered every command, False when that is unknown."""


class TickPublisher:
    """``run`` keeps the connection; ``connected`` and ``last_error`` are for health."""

    def __init__(
        self,
        url: str,
        *,
        keys: RedisKeys,
        backoff: Backoff = Backoff(first_s=0.1, cap_s=5.0),  # noqa: B008 - a frozen value
        reply_timeout_s: float = REPLY_TIMEOUT_S,
        random_unit: Callable[[], float] = random.random,
    ) -> None:
        self._target = parse_target(url)
        self._commands = TickCommands(keys)
        self._backoff = backoff
        self._reply_timeout_s = reply_timeout_s
        self._random_unit = random_unit
        self._connection: RespConnection | None = None
        self._outstanding = 0
        self._settled: Settled | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._batch: Literal["none", "open", "broken"] = "none"
        self._listeners: list[Callable[[], None]] = []
        self.connected = False
        self.last_error: str | None = None
        self.reconnects = 0
        self.error_replies = 0

    def add_listener(self, listener: Callable[[], None]) -> None:
        """Call ``listener`` each time that ``ready`` has become true."""
        self._listeners.append(listener)

    @property
    def ready(self) -> bool:
        """Whether Redis is connected and the batch before has been settled."""
        return self.connected and self._batch == "none"

    def write(self, ticks: Sequence[tuple[int, bytes]]) -> None:
        """Send one chunk of the present batch, about 100 ticks: Redis works while the next chunk is built."""
        if self._batch == "none":
            self._batch = "open" if self.connected else "broken"
        if self._connection is None or self._batch == "broken":
            return
        self._outstanding += len(ticks) + 1
        self._connection.send(self._commands.build(ticks))

    def seal(self, settled: Settled) -> None:
        """End the batch; ``settled`` is called when it is answered, at the latest after the reply timeout."""
        if self._batch == "broken":
            self._end_batch()
            settled(False)
        elif self._outstanding <= 0:
            self._finish(settled)
        else:
            self._settled = settled
            self._deadline = asyncio.get_running_loop().call_later(self._reply_timeout_s, self._on_timeout)

    async def run(self) -> None:
        """Connect, stay connected, connect again; until cancelled."""
        attempt = 0
        try:
            while True:
                if await self._connect():
                    attempt = 0
                    await self._stay_connected()
                    self.reconnects += 1
                attempt += 1
                await asyncio.sleep(self._backoff.delay(attempt, random=self._random_unit()))
        finally:
            self._lose("the service stops")

    async def _connect(self) -> bool:
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await self._greet()
        except (OSError, TimeoutError, ConnectionError) as error:
            end_if_cancelled()
            self._lose(str(error) or type(error).__name__)
            return False
        self.connected = True
        self.last_error = None
        logger.info("tick publisher connected to Redis")
        self._notify()
        return True

    async def _greet(self) -> None:
        """AUTH, SELECT and PING; an error reply ends the attempt with its text."""
        loop = asyncio.get_running_loop()
        commands = self._target.greeting()
        answered: asyncio.Future[str] = loop.create_future()
        lines = 0

        def on_reply(count: int, errors: list[str]) -> None:
            nonlocal lines
            lines += count
            if errors and not answered.done():
                answered.set_exception(ConnectionError(errors[0]))
            elif lines >= len(commands) and not answered.done():
                answered.set_result("ok")

        connection = RespConnection(on_replies=lambda count, errors: self._route(on_reply, count, errors))
        self._connection = connection
        await loop.create_connection(lambda: connection, self._target.host, self._target.port, ssl=self._target.tls)
        connection.send(b"".join(commands))
        await asyncio.wait({answered, connection.closed}, return_when=asyncio.FIRST_COMPLETED)
        if not answered.done():
            raise ConnectionError(connection.closed.result())
        answered.result()

    def _route(self, greeting: Callable[[int, list[str]], None], count: int, errors: list[str]) -> None:
        if self.connected:
            self._on_replies(count, errors)
        else:
            greeting(count, errors)

    async def _stay_connected(self) -> None:
        connection = self._connection
        if connection is None:
            return
        reason = await connection.closed
        logger.warning("tick publisher lost its connection to Redis: {}", reason)
        self._lose(reason)

    def _on_replies(self, count: int, errors: list[str]) -> None:
        self._outstanding -= count
        if errors:
            self.error_replies += len(errors)
            self.last_error = errors[-1]
            if self._connection is not None and errors[-1].startswith(_FATAL):
                self._connection.drop(errors[-1])
                return
        if self._outstanding <= 0 and self._settled is not None:
            self._finish(self._settled)

    def _on_timeout(self) -> None:
        if self._connection is not None:
            self._connection.drop(f"no answer from Redis within {self._reply_timeout_s:g} s")

    def _finish(self, settled: Settled) -> None:
        self._end_batch()
        settled(True)
        self._notify()

    def _end_batch(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = None
        self._settled = None
        self._outstanding = 0
        self._batch = "none"

    def _lose(self, reason: str) -> None:
        """Forget the connection; a sealed batch in flight is settled as unknown."""
        self.connected = False
        self.last_error = reason
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.drop(reason)
        settled = self._settled
        if settled is not None:
            self._end_batch()
            settled(False)
        elif self._batch == "open":
            self._batch = "broken"  # its remaining chunks must not go to the next connection

    def _notify(self) -> None:
        for listener in self._listeners:
            listener()
