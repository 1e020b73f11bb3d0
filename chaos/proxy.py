"""A TCP proxy that can spoil what passes: between the service and the broker, its database, its Redis.

Its address stays while the server behind it comes and goes (``retarget``). What is spoiled is a list of toxics that
may change at any moment; they act on open connections from the next chunk on.
"""

from __future__ import annotations

import asyncio
import random
import socket
import struct
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Literal

HOST = "127.0.0.1"
CHUNK = 65_536
MAX_CONNECTIONS = 500
CLOSE_S = 5.0
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER on, zero seconds: close() sends RST

Kind = Literal["latency", "timeout", "reset_peer", "slow_close", "limit_data", "slicer", "bandwidth"]
Direction = Literal["up", "down"]
"""``up``: from the service to the server behind."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Toxic:
    """What is wrong with the line. Only the numbers of its kind count.

    latency: each chunk waits ``delay_ms`` plus up to ``jitter_ms``. timeout: what comes is swallowed. reset_peer: RST
    at the next chunk. slow_close: the end of one side reaches the other ``delay_ms`` later. limit_data: the connection
    ends after ``size`` more bytes. slicer: pieces of ``size`` bytes, ``delay_ms`` apart. bandwidth: ``size`` bytes a
    second.
    """

    kind: Kind
    directions: frozenset[Direction] = frozenset({"up", "down"})
    delay_ms: float = 0.0
    jitter_ms: float = 0.0
    size: int = 1024


@dataclass(slots=True, eq=False)
class _Line:
    """One connection: both ends, and how many bytes passed under each limit."""

    writers: tuple[asyncio.StreamWriter, asyncio.StreamWriter]
    passed: Counter[Toxic] = field(default_factory=Counter)

    def reset(self) -> None:
        for writer in self.writers:
            sock = writer.get_extra_info("socket")
            if sock is not None and sock.fileno() >= 0:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            writer.transport.abort()


class FaultProxy:
    """Made by ``open_proxy``. ``port`` is where to connect; ``toxics`` may be replaced at any time."""

    def __init__(self, target_port: int, *, seed: int = 0) -> None:
        self.toxics: tuple[Toxic, ...] = ()
        self.port = 0
        self._target_port = target_port
        self._random = random.Random(seed)
        self._server: asyncio.Server | None = None
        self._lines: set[_Line] = set()
        self._serving: set[asyncio.Task[object]] = set()

    async def open_door(self) -> None:
        """Listen (again) on the same port."""
        if self._server is None:
            self._server = await asyncio.start_server(self._serve, HOST, self.port, limit=CHUNK)
            self.port = int(self._server.sockets[0].getsockname()[1])

    def close_door(self) -> None:
        """Refuse new connections; open ones stay."""
        if self._server is not None:
            self._server.close()
            self._server = None

    def retarget(self, port: int) -> None:
        """The server behind has moved: new connections go there, old ones are reset."""
        self._target_port = port
        self.cut()

    def cut(self) -> None:
        """Reset every open connection."""
        for line in tuple(self._lines):
            line.reset()

    async def close(self) -> None:
        """No connection is left; waits for what serves them."""
        self.toxics = ()
        self.close_door()
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
        if len(self._lines) >= MAX_CONNECTIONS:
            writer.transport.abort()
            return
        try:
            there, back = await asyncio.open_connection(HOST, self._target_port, limit=CHUNK)
        except OSError:
            writer.transport.abort()
            return
        line = _Line((writer, back))
        self._lines.add(line)
        try:
            await asyncio.gather(self._pump(line, reader, back, "up"), self._pump(line, there, writer, "down"))
        finally:
            line.reset()
            self._lines.discard(line)

    async def _pump(
        self, line: _Line, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, direction: Direction
    ) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(CHUNK):
                await self._pass_on(line, data, writer, direction)
        for toxic in self._active(direction):
            if toxic.kind == "slow_close":
                await asyncio.sleep(toxic.delay_ms / 1000)
        with suppress(ConnectionError, OSError):
            if writer.can_write_eof():
                writer.write_eof()

    async def _pass_on(self, line: _Line, data: bytes, writer: asyncio.StreamWriter, direction: Direction) -> None:
        pieces, pause_s = [data], 0.0
        for toxic in self._active(direction):
            await asyncio.sleep(self._wait_s(toxic, len(data)))
            if toxic.kind == "timeout":
                return
            if toxic.kind == "reset_peer" or (toxic.kind == "limit_data" and _left(line, toxic, len(data)) <= 0):
                if toxic.kind == "limit_data":
                    await _write(writer, data[: len(data) + _left(line, toxic, 0)])
                line.reset()
                return
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

    def _active(self, direction: Direction) -> list[Toxic]:
        return [toxic for toxic in self.toxics if direction in toxic.directions]


def _left(line: _Line, toxic: Toxic, length: int) -> int:
    """Count ``length`` more bytes; how many may still pass (negative: so many too many)."""
    line.passed[toxic] += length
    return toxic.size - line.passed[toxic]


async def _write(writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(data)
    await writer.drain()


@asynccontextmanager
async def open_proxy(target_port: int, *, seed: int = 0) -> AsyncIterator[FaultProxy]:
    """A proxy on a free port of 127.0.0.1 in front of ``target_port``; at the end every connection is reset."""
    proxy = FaultProxy(target_port, seed=seed)
    await proxy.open_door()
    try:
        yield proxy
    finally:
        await proxy.close()
