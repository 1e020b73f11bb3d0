"""Ticks to Redis over one connection of its own, one batch in flight at a time.

The pipeline checks ``ready``, writes a batch in chunks and seals it. The batch is settled when as many replies as
commands have come, or when the time for them is over. Nothing here makes the caller wait: a Redis that is slow, hung or
gone makes ``ready`` false, so that ticks conflate in the pipeline and the feed is not affected. A Redis that answers
with errors (no memory, no right to the channel) does take no ticks either: they do not count as published, and
``refusal`` says so while it lasts.
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
from app.kit.hysteresis import is_shown
from app.market.ticks.redis_commands import TickCommands, unconfirmed_ticks
from app.market.ticks.redis_connection import OnReplies, RespConnection, parse_target

REPLY_TIMEOUT_S = 2.0
CONNECT_TIMEOUT_S = 2.0
_FATAL = ("READONLY", "NOAUTH", "WRONGPASS", "LOADING", "MASTERDOWN")

Settled: TypeAlias = Callable[[int | None], None]
"""Called once for each batch: how many of its ticks Redis has confirmed; None: it has not answered them all."""


class Refusal:
    """Whether Redis answers ticks with errors. It begins with the first one and ends some seconds after the last.

    Only a batch without an error ends it: silence proves nothing. Beginning and end are logged once.
    """

    def __init__(self) -> None:
        self.code: str | None = None  # the first word of the newest error, such as OOM; None while Redis takes ticks
        self._seen_at: float | None = None

    def on_error(self, text: str, *, now: float) -> None:
        """Redis has answered a command with this error; ``now`` in monotonic seconds."""
        if self.code is None:
            logger.error("Redis refuses ticks, they do not count as published: {}", text)
        self.code, self._seen_at = text.partition(" ")[0], now

    def on_success(self, *, now: float) -> None:
        """Redis has answered a batch without an error."""
        if self.code is not None and not is_shown(self._seen_at, now=now):
            logger.info("Redis takes ticks again")
            self.code = None


class TickPublisher:
    """``run`` keeps the connection; ``last_error`` is why the last one failed or ended."""

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
        self._chunks: list[int] = []  # the ticks in each chunk of the present batch
        self._answered = 0  # replies to it so far
        self._refused: list[int] = []  # positions of those that are errors
        self._settled: Settled | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._batch: Literal["none", "open", "broken"] = "none"
        self._listeners: list[Callable[[], None]] = []
        self.connected = False
        self.last_error: str | None = None
        self.reconnects = 0
        self.refusal = Refusal()

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
        self._chunks.append(len(ticks))
        self._connection.send(self._commands.build(ticks))

    def seal(self, settled: Settled) -> None:
        """End the batch; ``settled`` is called when it is answered, at the latest after the reply timeout."""
        if self._batch == "broken":
            self._end_batch()
            settled(None)
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

        def on_reply(count: int, errors: list[tuple[int, str]]) -> None:
            nonlocal lines
            lines += count
            if errors and not answered.done():
                answered.set_exception(ConnectionError(errors[0][1]))
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

    def _route(self, greeting: OnReplies, count: int, errors: list[tuple[int, str]]) -> None:
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

    def _on_replies(self, count: int, errors: list[tuple[int, str]]) -> None:
        self._outstanding -= count
        if errors:
            self._refused += [self._answered + at for at, _ in errors]
            text = errors[-1][1]
            self.refusal.on_error(text, now=asyncio.get_running_loop().time())
            if self._connection is not None and text.startswith(_FATAL):
                self._connection.drop(text)
                return
        self._answered += count
        if self._outstanding <= 0 and self._settled is not None:
            self._finish(self._settled)

    def _on_timeout(self) -> None:
        if self._connection is not None:
            self._connection.drop(f"no answer from Redis within {self._reply_timeout_s:g} s")

    def _finish(self, settled: Settled) -> None:
        unconfirmed = unconfirmed_ticks(self._chunks, self._refused)
        confirmed = sum(self._chunks) - unconfirmed
        if not self._refused and confirmed:
            self.refusal.on_success(now=asyncio.get_running_loop().time())
        self._end_batch()
        settled(confirmed)
        self._notify()

    def _end_batch(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = None
        self._settled = None
        self._outstanding = self._answered = 0
        self._chunks, self._refused = [], []
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
            settled(None)
        elif self._batch == "open":
            self._batch = "broken"  # its remaining chunks must not go to the next connection

    def _notify(self) -> None:
        for listener in self._listeners:
            listener()
