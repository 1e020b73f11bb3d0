"""A TCP proxy with faults, between the service and the broker, its database or its Redis.

Its address stays the same when the server behind it is restarted elsewhere (``retarget``). Its faults (toxics, as
Toxiproxy calls them) can be replaced at any moment; they act on open connections from the next chunk on.
"""

from __future__ import annotations

import asyncio
import random
import socket
import struct
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Literal

HOST = "127.0.0.1"
CHUNK = 65_536
MAX_CONNECTIONS = 500
CLOSE_S = 5.0
HELD_S = 0.02
OPENING = 4_096
"""Of so many bytes a client says who it is."""

_RESET = struct.pack("ii", 1, 0)  # SO_LINGER on, zero seconds: close() sends RST

Kind = Literal["latency", "timeout", "reset_peer", "slow_close", "limit_data", "slicer", "bandwidth", "hold", "repeat"]
Direction = Literal["up", "down"]
"""``up``: from the service to the server behind."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Toxic:
    """One fault of the connections. Each kind uses its own numbers only.

    latency: each chunk waits ``delay_ms`` plus up to ``jitter_ms``. timeout: data is dropped. reset_peer: RST at the
    next chunk. slow_close: the end of one side reaches the other ``delay_ms`` later. limit_data: the connection ends
    after ``size`` more bytes. slicer: pieces of ``size`` bytes, ``delay_ms`` apart. bandwidth: ``size`` bytes a second.
    hold: nothing passes until the toxic is gone, and then all of it does. repeat: each chunk is sent twice.
    """

    kind: Kind
    directions: frozenset[Direction] = frozenset({"up", "down"})
    delay_ms: float = 0.0
    jitter_ms: float = 0.0
    size: int = 1024
    since: bytes = b""
    """It begins with the client's chunk that contains this."""

    client: bytes = b""
    """It is for connections whose client names itself so in its first bytes."""


@dataclass(slots=True, eq=False)
class _Connection:
    """Both ends of one connection, how many bytes passed under each ``limit_data``, and what the client said."""

    writers: tuple[asyncio.StreamWriter, asyncio.StreamWriter]
    passed: Counter[Toxic] = field(default_factory=Counter)
    opening: bytes = b""
    begun: set[Toxic] = field(default_factory=set)

    def listen(self, data: bytes, toxics: Sequence[Toxic]) -> None:
        """The client sends these bytes now."""
        if len(self.opening) < OPENING:
            self.opening += data
        self.begun.update(toxic for toxic in toxics if toxic.since and toxic.since in data)

    def is_under(self, toxic: Toxic, direction: Direction) -> bool:
        has_begun = not toxic.since or toxic in self.begun
        return has_begun and direction in toxic.directions and toxic.client in self.opening

    def reset(self) -> None:
        """Sends RST to both ends."""
        for writer in self.writers:
            sock = writer.get_extra_info("socket")
            if sock is not None and sock.fileno() >= 0:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            writer.transport.abort()


class FaultProxy:
    """Created by ``open_proxy``. ``port`` is where to connect; ``toxics`` may be replaced at any time."""

    def __init__(self, target_port: int, *, seed: int = 0) -> None:
        self.toxics: tuple[Toxic, ...] = ()
        self.port = 0
        self._target_port = target_port
        self._random = random.Random(seed)
        self._server: asyncio.Server | None = None
        self._connections: set[_Connection] = set()
        self._serving: set[asyncio.Task[object]] = set()

    async def start_listening(self) -> None:
        """Accepts connections (again), on the same port."""
        if self._server is None:
            self._server = await asyncio.start_server(self._serve, HOST, self.port, limit=CHUNK)
            self.port = int(self._server.sockets[0].getsockname()[1])

    def stop_listening(self) -> None:
        """Refuses new connections; open ones stay."""
        if self._server is not None:
            self._server.close()
            self._server = None

    def retarget(self, port: int) -> None:
        """The server has moved to ``port``: new connections go there, old ones are reset."""
        self._target_port = port
        self.cut()

    def cut(self) -> None:
        """Resets every open connection."""
        for connection in tuple(self._connections):
            connection.reset()

    async def close(self) -> None:
        """Stops listening and resets every connection."""
        self.toxics = ()
        self.stop_listening()
        self.cut()
        if self._serving:
            await asyncio.wait(self._serving, timeout=CLOSE_S)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._serving.add(task)
            task.add_done_callback(self._serving.discard)
        await self._connect(reader, writer)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._connections) >= MAX_CONNECTIONS:
            writer.transport.abort()
            return
        try:
            there, back = await asyncio.open_connection(HOST, self._target_port, limit=CHUNK)
        except OSError:
            writer.transport.abort()
            return
        connection = _Connection((writer, back))
        self._connections.add(connection)
        try:
            await asyncio.gather(
                self._pump(connection, reader, back, "up"), self._pump(connection, there, writer, "down")
            )
        finally:
            connection.reset()
            self._connections.discard(connection)

    async def _pump(
        self, connection: _Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, direction: Direction
    ) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(CHUNK):
                await self._pass_on(connection, data, writer, direction)
        for toxic in self._active(connection, direction):
            if toxic.kind == "slow_close":
                await asyncio.sleep(toxic.delay_ms / 1000)
        with suppress(ConnectionError, OSError):
            if writer.can_write_eof():
                writer.write_eof()

    async def _pass_on(
        self, connection: _Connection, data: bytes, writer: asyncio.StreamWriter, direction: Direction
    ) -> None:
        if direction == "up":
            connection.listen(data, self.toxics)
        pieces, pause_s = [data], 0.0
        for toxic in self._active(connection, direction):
            while toxic.kind == "hold" and toxic in self.toxics:  # noqa: ASYNC110 - who replaces toxics tells nobody
                await asyncio.sleep(HELD_S)
            await asyncio.sleep(self._wait_s(toxic, len(data)))
            if toxic.kind == "timeout":
                return
            if toxic.kind == "reset_peer" or (toxic.kind == "limit_data" and _left(connection, toxic, len(data)) <= 0):
                if toxic.kind == "limit_data":
                    await _write(writer, data[: len(data) + _left(connection, toxic, 0)])
                connection.reset()
                return
            if toxic.kind == "repeat":
                pieces = pieces * 2
            if toxic.kind == "slicer":
                pieces = [data[at : at + toxic.size] for at in range(0, len(data), toxic.size)]
                pause_s = toxic.delay_ms / 1000
        for piece in pieces:
            await _write(writer, piece)
            await asyncio.sleep(pause_s)

    def _wait_s(self, toxic: Toxic, length: int) -> float:
        if toxic.kind == "latency":
            return (toxic.delay_ms + self._random.random() * toxic.jitter_ms) / 1000
        return length / toxic.size if toxic.kind == "bandwidth" else 0.0

    def _active(self, connection: _Connection, direction: Direction) -> list[Toxic]:
        return [toxic for toxic in self.toxics if connection.is_under(toxic, direction)]


def _left(connection: _Connection, toxic: Toxic, length: int) -> int:
    """Counts ``length`` more bytes; returns how many may still pass (negative: so many are too many)."""
    connection.passed[toxic] += length
    return toxic.size - connection.passed[toxic]


async def _write(writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(data)
    await writer.drain()


@asynccontextmanager
async def open_proxy(target_port: int, *, seed: int = 0) -> AsyncIterator[FaultProxy]:
    """A proxy on a free port of 127.0.0.1 in front of ``target_port``; every connection is reset at the end."""
    proxy = FaultProxy(target_port, seed=seed)
    await proxy.start_listening()
    try:
        yield proxy
    finally:
        await proxy.close()
