"""A receiver of webhooks on loopback: speaks HTTP/1.1 on plain sockets, so that it can misbehave in every way."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

Behaviour = Callable[[asyncio.StreamWriter], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """One request; header names are in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def message(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found


def answer(status: int, *, headers: str = "", body: bytes = b"") -> Behaviour:
    """A whole answer; ``headers`` are complete lines."""

    async def write(writer: asyncio.StreamWriter) -> None:
        head = f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\nConnection: close\r\n{headers}\r\n"
        writer.write(head.encode() + body)

    return write


async def hang(writer: asyncio.StreamWriter) -> None:
    """Never an answer, for as long as a test lasts."""
    await asyncio.sleep(60)


async def drip(writer: asyncio.StreamWriter) -> None:
    """A byte of the body now and then: no single read takes long, the whole never ends."""
    await _drip(writer, after=b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")


async def drip_headers(writer: asyncio.StreamWriter) -> None:
    """The same, before the body."""
    await _drip(writer, after=b"HTTP/1.1 200 OK\r\nX: ")


async def _drip(writer: asyncio.StreamWriter, *, after: bytes) -> None:
    writer.write(after)
    while True:
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.05)


async def flood(writer: asyncio.StreamWriter) -> None:
    """Ten megabytes."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10000000\r\n\r\n")
    for _ in range(10_000):
        writer.write(b"y" * 1000)
        await writer.drain()


@dataclass(kw_only=True)
class Receiver:
    """``behaviour`` answers each request, unless ``by_path`` has one for its path; ``requests`` are all, in order.

    ``broken`` counts connections that failed.
    """

    port: int = 0
    behaviour: Behaviour = field(default_factory=lambda: answer(200, body=b"ok"))
    by_path: dict[str, Behaviour] = field(default_factory=dict)
    requests: list[Received] = field(default_factory=list)
    broken: int = 0

    def url(self, path: str = "/hook") -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def at(self, path: str) -> list[Received]:
        """The POST requests for a path."""
        return [one for one in self.requests if one.path == path and one.method == "POST"]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = dict(line.split(": ", 1) for line in head[1:] if line)
            headers = {name.lower(): value for name, value in headers.items()}
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            method, path, _ = head[0].split(" ")
            self.requests.append(Received(method=method, path=path, headers=headers, body=body))
            await self.by_path.get(path, self.behaviour)(writer)
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            self.broken += 1
        finally:
            writer.close()


@asynccontextmanager
async def running_receiver(*, tls: ssl.SSLContext | None = None) -> AsyncIterator[Receiver]:
    receiver = Receiver()
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        await receiver.serve(reader, writer)

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    receiver.port = server.sockets[0].getsockname()[1]
    try:
        yield receiver
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
