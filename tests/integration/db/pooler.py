"""A connection pooler before PostgreSQL, of the two kinds that there are.

Every client logs in at the server through the pooler, under a process number of the pooler's own. Afterwards, in
transaction mode, a client's messages go to whichever server connection is free, until its transaction is over.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal, TypeAlias
from urllib.parse import urlsplit, urlunsplit

Streams: TypeAlias = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Mode: TypeAlias = Literal["session", "transaction"]

_ENCRYPTION_REQUESTS = {80877103, 80877104}
_OPTIONS_REFUSED = b"SFATAL\0VFATAL\0C08P01\0Munsupported startup parameter: options\0\0"


class _Pooler:
    def __init__(self, host: str, port: int, mode: Mode, *, size: int, takes: int) -> None:
        self._server = host, port
        self._mode = mode
        self._takes = takes
        self._sessions = asyncio.Semaphore(size)
        self._free: list[Streams] = []
        self._changed = asyncio.Condition()
        self.writers: set[asyncio.StreamWriter] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.add(writer)
        try:
            startup = await _read_startup(reader, writer)
            if b"\0options\0" in startup:
                writer.write(_message(b"E", _OPTIONS_REFUSED))
                return
            async with self._sessions:
                if not reader.at_eof():  # it may have given up
                    await self._session((reader, writer), startup)
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()

    async def _session(self, client: Streams, startup: bytes) -> None:
        server = await asyncio.open_connection(*self._server)
        self.writers.add(server[1])
        server[1].write(startup)
        await _log_in(client, server)
        if self._mode == "session":
            await asyncio.gather(_copy(client[0], server[1]), _copy(server[0], client[1]))
            return
        await self._give_back(server)
        while True:
            kind, body = await _read_message(client[0])
            if kind == b"X":
                return
            async with self._changed:
                await self._changed.wait_for(lambda: self._free)
                server = self._free.pop(self._takes)
            server[1].write(_message(kind, body))
            forward = asyncio.create_task(_forward(client[0], server[1]))
            try:
                await _answers(server[0], client[1])
            finally:
                forward.cancel()
                await asyncio.gather(forward, return_exceptions=True)
            await self._give_back(server)

    async def _give_back(self, server: Streams) -> None:
        async with self._changed:
            self._free.append(server)
            self._changed.notify()


@asynccontextmanager
async def pooler(url: str, mode: Mode, *, size: int = 100, takes: int = -1) -> AsyncIterator[str]:
    """Its address; ``size`` bounds the sessions, and startup options are refused as PgBouncer does by default.

    ``takes``: which free server connection is given to a transaction, the one used last (-1) or first (0).
    """
    parts = urlsplit(url)
    served = _Pooler(str(parts.hostname), parts.port or 5432, mode, size=size, takes=takes)
    listening = await asyncio.start_server(served.serve, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    user = parts.netloc.rpartition("@")[0]
    try:
        yield urlunsplit(parts._replace(netloc=f"{user}@127.0.0.1:{port}"))
    finally:
        listening.close()
        for writer in served.writers:
            writer.transport.abort()
        await listening.wait_closed()


async def _read_startup(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    while True:
        size = await reader.readexactly(4)
        body = await reader.readexactly(struct.unpack("!I", size)[0] - 4)
        if struct.unpack("!I", body[:4])[0] not in _ENCRYPTION_REQUESTS:
            return size + body
        writer.write(b"N")


async def _log_in(client: Streams, server: Streams) -> None:
    """Up to the first ReadyForQuery; the number of the server process becomes another one."""
    asked = asyncio.create_task(_forward(client[0], server[1]))
    try:
        while True:
            kind, body = await _read_message(server[0])
            if kind == b"K":
                body = struct.pack("!I", 7) + body[4:]
            client[1].write(_message(kind, body))
            if kind == b"Z":
                return
    finally:
        asked.cancel()
        await asyncio.gather(asked, return_exceptions=True)


async def _answers(server: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
    """Until the server is outside of a transaction."""
    while True:
        kind, body = await _read_message(server)
        client.write(_message(kind, body))
        if kind == b"Z" and body == b"I":
            return


async def _forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        kind, body = await _read_message(reader)
        writer.write(_message(kind, body))


async def _read_message(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    head = await reader.readexactly(5)
    return head[:1], await reader.readexactly(struct.unpack("!I", head[1:])[0] - 4)


def _message(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("!I", len(body) + 4) + body


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
    writer.close()
