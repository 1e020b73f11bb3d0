"""A TCP proxy that can be cut, healed and made to hang: how a dependency goes away in tests."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit, urlunsplit


class TcpProxy:
    """``url`` is the target's with the proxy's address."""

    def __init__(self, target_url: str, *, tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls
        self._target = urlsplit(target_url)
        self._server: asyncio.Server | None = None
        self._port = 0
        self._writers: set[asyncio.StreamWriter] = set()
        self._pumps: set[asyncio.Task[None]] = set()
        self._flowing = asyncio.Event()
        self._flowing.set()

    @classmethod
    @asynccontextmanager
    async def to(cls, target_url: str, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[TcpProxy]:
        """``tls``: what the proxy presents to its clients; behind it everything is plain."""
        proxy = cls(target_url, tls=tls)
        await proxy.heal()
        try:
            yield proxy
        finally:
            await proxy.cut()

    @property
    def url(self) -> str:
        user, _, _ = self._target.netloc.rpartition("@")
        where = f"{user}@127.0.0.1:{self._port}" if user else f"127.0.0.1:{self._port}"
        return urlunsplit(self._target._replace(netloc=where))

    async def heal(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._port, ssl=self._tls)
        self._port = self._server.sockets[0].getsockname()[1]

    def drop_connections(self) -> None:
        """Reset every connection; new ones are accepted."""
        for writer in self._writers:
            writer.transport.abort()

    async def cut(self) -> None:
        if self._server is not None:
            self._server.close()
        self.drop_connections()
        for pump in self._pumps:
            pump.cancel()
        await asyncio.gather(*self._pumps, return_exceptions=True)

    def hang(self) -> None:
        """Connections stay open, nothing passes."""
        self._flowing.clear()

    def resume(self) -> None:
        self._flowing.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(self._target.hostname, self._target.port)
        self._writers |= {writer, back}
        pumps = [asyncio.create_task(self._pump(reader, back)), asyncio.create_task(self._pump(there, writer))]
        self._pumps |= set(pumps)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(65536):
                await self._flowing.wait()
                writer.write(data)
        writer.transport.abort()
