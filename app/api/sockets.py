"""How is a WebSocket served? Authentication, one reader and one writer, bounds on everything, a close with its reason.

The endpoint reads, and one more task writes. The reader never writes: its answers go through the writer's queue.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from math import inf
from typing import Protocol

from fastapi import WebSocket, WebSocketDisconnect

from app.api.keys import Principal
from app.api.middleware import show_key
from app.errors import Unavailable
from app.events.limits import StreamLimits
from app.events.protocol import MESSAGE_MAX_BYTES, Auth, CloseReason, MessageRate, StreamClosed, parse_auth
from app.events.stats import SocketCounts
from app.kit.clock import Clock


@dataclass(frozen=True, slots=True, kw_only=True)
class SocketAccess:
    """Who may read: ``authenticate`` finds the caller of a key; ``allowed`` is False for unknown accounts too."""

    authenticate: Callable[[str], Principal | None]
    allowed: Callable[[Principal, str], bool]
    clock: Clock


class Reader(Protocol):
    """A socket's place in a stream. ``next_batch`` raises StreamClosed when the stream wants the socket closed."""

    async def next_batch(self) -> list[str]: ...


class ClientSocket:
    """One client's WebSocket, with bounds on the size, rate and time of its messages."""

    def __init__(
        self, websocket: WebSocket, *, access: SocketAccess, limits: StreamLimits, counts: SocketCounts
    ) -> None:
        self._websocket = websocket
        self._access = access
        self._limits = limits
        self._counts = counts
        self._rate = MessageRate(limit=limits.messages_per_second)

    async def authenticate(self) -> tuple[Auth, Principal]:
        """The first message and its caller. Raises StreamClosed where it is late or wrong, and WebSocketDisconnect."""
        text = await self._receive(timeout=self._limits.auth_timeout_s, late=CloseReason.AUTH_TIMEOUT)
        auth = parse_auth(text)
        principal = self._principal(auth)
        show_key(self._websocket.scope)
        return auth, principal

    async def converse(self, reader: Reader, *, auth: Auth, on_text: Callable[[str], None]) -> None:
        """Send what ``reader`` has and pass the client's messages to ``on_text``, until one of the two ends it.

        Raises StreamClosed and WebSocketDisconnect.
        """
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._write_all(reader))
                await self._read_all(auth, on_text)
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from None

    async def close(self, reason: CloseReason) -> None:
        """Close with the reason. A client that does not read the close is disconnected by the server."""
        self._counts.dropped[reason] += 1
        with suppress(TimeoutError, WebSocketDisconnect, RuntimeError):  # the client may disconnect at the same moment
            async with asyncio.timeout(self._limits.write_timeout_s):
                await self._websocket.close(code=reason.code, reason=reason.text)

    async def _read_all(self, auth: Auth, on_text: Callable[[str], None]) -> None:
        checked = self._access.clock.monotonic()
        while True:
            text = await self._next_message()
            now = self._access.clock.monotonic()
            if self._rate.exceeded(now):
                raise StreamClosed(CloseReason.BAD_MESSAGE)
            if now - checked >= self._limits.recheck_key_s:
                self._principal(auth)
                checked = now
            on_text(text)

    async def _write_all(self, reader: Reader) -> None:
        while True:
            for frame in await reader.next_batch():
                await self._send(frame)

    async def _send(self, frame: str) -> None:
        try:
            async with asyncio.timeout(self._limits.write_timeout_s):
                await self._websocket.send({"type": "websocket.send", "text": frame})
        except TimeoutError as error:
            raise StreamClosed(CloseReason.SLOW_CONSUMER) from error
        self._counts.delivered += 1

    async def _next_message(self) -> str:
        """The next message; a pong or a ping of the protocol prolongs the wait for it. Raises StreamClosed."""
        silent_s = 0.0
        while True:
            try:
                wait_s = max(self._limits.idle_timeout_s - silent_s, 0.01)
                return await self._receive(timeout=wait_s, late=CloseReason.IDLE_TIMEOUT)
            except StreamClosed as closed:
                silent_s = self._silent_s()
                if closed.reason is not CloseReason.IDLE_TIMEOUT or silent_s >= self._limits.idle_timeout_s:
                    raise

    def _silent_s(self) -> float:
        """Seconds since the last sign of life that the connection saw; infinite where it sees none."""
        place = self._websocket.scope.get("state", {}).get("connection")
        return inf if place is None else time.monotonic() - place.heard_at

    async def _receive(self, *, timeout: float, late: CloseReason) -> str:
        try:
            async with asyncio.timeout(timeout):
                message = await self._websocket.receive()
        except TimeoutError as error:
            raise StreamClosed(late) from error
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message.get("code", 1005), message.get("reason"))
        text = message.get("text")
        if not isinstance(text, str) or len(text) > MESSAGE_MAX_BYTES:
            raise StreamClosed(CloseReason.BAD_MESSAGE)
        return text

    def _principal(self, auth: Auth) -> Principal:
        principal = self._access.authenticate(auth.api_key)
        if principal is None:
            raise StreamClosed(CloseReason.UNAUTHORIZED)
        return principal


@asynccontextmanager
async def accepted(
    websocket: WebSocket, *, access: SocketAccess, limits: StreamLimits, counts: SocketCounts
) -> AsyncIterator[ClientSocket]:
    """Accept the socket, and close it with the reason of the exception that ends the block."""
    socket = ClientSocket(websocket, access=access, limits=limits, counts=counts)
    try:
        await websocket.accept()
        yield socket
    except WebSocketDisconnect:
        pass  # the client has disconnected: no close can reach it
    except StreamClosed as closed:
        await socket.close(closed.reason)
    except Unavailable:
        await socket.close(CloseReason.UNAVAILABLE)
