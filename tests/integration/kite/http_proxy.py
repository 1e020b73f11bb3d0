"""A forward proxy: tunnels for CONNECT, and plain requests with a whole URL in their first line."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from tests.integration.kite.scripted import serving


@dataclass(slots=True)
class HttpProxy:
    """``heads`` are those of all requests to the proxy; ``refusal``: the status with which it refuses each."""

    url: str = ""
    heads: list[str] = field(default_factory=list)
    refusal: int | None = None


@asynccontextmanager
async def http_proxy(*, refusal: int | None = None) -> AsyncIterator[HttpProxy]:
    proxy = HttpProxy(refusal=refusal)

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        proxy.heads.append(head)
        if proxy.refusal is not None:
            writer.write(f"HTTP/1.1 {proxy.refusal} No\r\nContent-Length: 0\r\n\r\n".encode())
            await writer.drain()
            return
        method, target, _ = head.split("\r\n")[0].split(" ")
        where = urlsplit(f"//{target}" if method == "CONNECT" else target)
        there, back = await asyncio.open_connection(where.hostname, where.port)
        if method == "CONNECT":
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        else:
            path = f"{where.path}?{where.query}" if where.query else where.path
            back.write(head.replace(target, path, 1).encode())
        try:
            await asyncio.gather(_copy(reader, back), _copy(there, writer))
        finally:
            back.transport.abort()

    async with serving(converse) as proxy.url:
        yield proxy


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()
