"""How is a WebSocket served? Authentication, one reader and one writer, bounds on everything, a close with its reason.

The endpoint reads, and one more task writes. The reader never writes: its answers go through the writer's queue.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from math import inf
from typing import Protocol

from fastapi import WebSocket, WebSocketDisconnect

from app.api.keys import Principal
from app.api.middleware import show_key
from app.api.socket_connection import SocketConnection
from app.errors import Unavailable
from app.events.limits import StreamLimits
from app.events.order_reader import OrderReader
from app.events.protocol import MESSAGE_MAX_BYTES, Auth, CloseReason, MessageRate, StreamClosed, parse_auth
from app.events.stats import SocketCounts
from app.kit.clock import Clock


@dataclass(frozen=True, slots=True, kw_only=True)
class SocketAccess:
    """Who may read: ``authenticate`` finds the caller of a key; ``allowed`` is False for unknown accounts too."""

    authenticate: Callable[[str], Principal | None]
    allowed: Callable[[Principal, str], bool]
    clock: Clock


class Permission:
    """A caller's right to go on reading, checked again every few seconds: keys are revoked while streams are open."""

    def __init__(self, access: SocketAccess, *, key: str | None, account_id: str | None, every_s: float) -> None:
        self._access = access
        self._key = key
        self._account_id = account_id
        self._every_s = every_s
        self._checked = access.clock.monotonic()

    @property
    def is_due(self) -> bool:
        """Whether it is to be checked again before anything else is sent."""
        return self._access.clock.monotonic() - self._checked >= self._every_s

    def check(self) -> None:
        """Raises StreamClosed once the key, or its right to the account, is gone; without an account only the key."""
        if not self.is_due:
            return
        principal = None if self._key is None else self._access.authenticate(self._key)
        if principal is None:
            raise StreamClosed(CloseReason.UNAUTHORIZED)
        if self._account_id is not None and not self._access.allowed(principal, self._account_id):
            raise StreamClosed(CloseReason.FORBIDDEN_ACCOUNT)
        self._checked = self._access.clock.monotonic()


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

    async def converse(
        self, reader: Reader, *, auth: Auth, on_text: Callable[[str], None], account_id: str | None = None
    ) -> None:
        """Send what ``reader`` has and pass the client's messages to ``on_text``, until one of the two ends it.

        The right to read ``account_id`` is checked again before something is sent. Raises StreamClosed and
        WebSocketDisconnect.
        """
        permission = Permission(
            self._access, key=auth.api_key, account_id=account_id, every_s=self._limits.recheck_key_s
        )
        if isinstance(reader, OrderReader) and isinstance(connection := self._connection(), SocketConnection):
            reader.write_with(partial(self._write_at_once, connection, permission))
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._write_all(reader, permission))
                await self._read_all(permission, on_text)
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from None

    async def close(self, reason: CloseReason) -> None:
        """Close with the reason. A client that does not read the close is disconnected by the server."""
        self._counts.dropped[reason] += 1
        with suppress(TimeoutError, WebSocketDisconnect, RuntimeError):  # the client may disconnect at the same moment
            async with asyncio.timeout(self._limits.write_timeout_s):
                await self._websocket.close(code=reason.code, reason=reason.text)

    async def _read_all(self, permission: Permission, on_text: Callable[[str], None]) -> None:
        while True:
            text = await self._next_message()
            if self._rate.exceeded(self._access.clock.monotonic()):
                raise StreamClosed(CloseReason.BAD_MESSAGE)
            permission.check()
            on_text(text)

    async def _write_all(self, reader: Reader, permission: Permission) -> None:
        while True:
            frames = await reader.next_batch()
            permission.check()
            for frame in frames:
                await self._send(frame)

    def _connection(self) -> object:
        """What serves this socket, where the server knows it."""
        place = self._websocket.scope.get("state", {}).get("connection")
        return None if place is None else place.connection

    def _write_at_once(self, connection: SocketConnection, permission: Permission, message: bytes) -> bool:
        if permission.is_due or not connection.write_message(message):
            return False
        self._counts.delivered += 1
        return True

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
