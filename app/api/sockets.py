"""What both WebSocket doors share: the first message, one writer a socket, bounds on everything, an honest close.

A socket costs its endpoint, which reads, and one more task, which writes. The reader never writes: what it has to
answer goes through the same queue as everything else.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Protocol

from fastapi import WebSocket, WebSocketDisconnect

from app.api.keys import Principal
from app.errors import Unavailable
from app.events.limits import StreamLimits
from app.events.protocol import MESSAGE_MAX_BYTES, Auth, CloseReason, MessageRate, StreamClosed, parse_auth
from app.events.stats import SocketCounts
from app.kit.clock import Clock


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """Who may read: ``authenticate`` gives the holder of a key; ``allowed`` is False for unknown accounts too."""

    authenticate: Callable[[str], Principal | None]
    allowed: Callable[[Principal, str], bool]
    clock: Clock


class Reader(Protocol):
    """A socket's place in a stream. ``next_batch`` raises StreamClosed when the stream wants the socket closed."""

    async def next_batch(self) -> list[str]: ...


class ClientSocket:
    """A WebSocket with bounds on size, rate and time, and what is known of its client."""

    def __init__(self, websocket: WebSocket, *, gate: Gate, limits: StreamLimits, counts: SocketCounts) -> None:
        self._websocket = websocket
        self._gate = gate
        self._limits = limits
        self._counts = counts
        self._rate = MessageRate(limit=limits.messages_per_second)

    async def authenticate(self) -> tuple[Auth, Principal]:
        """Read the first message. Raises StreamClosed and WebSocketDisconnect."""
        if self._counts.waiting >= self._limits.unauthenticated:
            raise StreamClosed(CloseReason.UNAVAILABLE)
        self._counts.waiting += 1
        try:
            text = await self._receive(timeout=self._limits.auth_timeout_s, late=CloseReason.AUTH_TIMEOUT)
        finally:
            self._counts.waiting -= 1
        auth = parse_auth(text)
        return auth, self._principal(auth)

    async def converse(self, reader: Reader, *, auth: Auth, on_text: Callable[[str], None]) -> None:
        """Write what ``reader`` has and hand what the client says to ``on_text``, until one of them ends it."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._write_all(reader))
                await self._read_all(auth, on_text)
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from None

    async def close(self, reason: CloseReason) -> None:
        """Say why and close. A client that does not even take that is cut off by the server."""
        self._counts.dropped[reason] += 1
        with suppress(TimeoutError, WebSocketDisconnect, RuntimeError):  # it may have gone at the same moment
            async with asyncio.timeout(self._limits.write_timeout_s):
                await self._websocket.close(code=reason.code, reason=reason.text)

    async def _read_all(self, auth: Auth, on_text: Callable[[str], None]) -> None:
        checked = self._gate.clock.monotonic()
        while True:
            text = await self._receive(timeout=self._limits.idle_timeout_s, late=CloseReason.IDLE_TIMEOUT)
            now = self._gate.clock.monotonic()
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
        principal = self._gate.authenticate(auth.api_key)
        if principal is None:
            raise StreamClosed(CloseReason.UNAUTHORIZED)
        return principal


@asynccontextmanager
async def accepted(
    websocket: WebSocket, *, gate: Gate, limits: StreamLimits, counts: SocketCounts
) -> AsyncIterator[ClientSocket]:
    """Accept, and close with the right words whatever happens inside."""
    socket = ClientSocket(websocket, gate=gate, limits=limits, counts=counts)
    try:
        await websocket.accept()
        yield socket
    except WebSocketDisconnect:
        pass  # the client went; there is nobody to tell
    except StreamClosed as closed:
        await socket.close(closed.reason)
    except Unavailable:
        await socket.close(CloseReason.UNAVAILABLE)
