"""A broker that does exactly what a test says, byte by byte: a raw TCP server that plays one script per request."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from pydantic import SecretStr

from app.broker.port import Credentials

Script: TypeAlias = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass(slots=True)
class ScriptedBroker:
    """``requests`` holds head and body of every request that was read whole; ``connections`` counts all of them."""

    url: str = ""
    requests: list[bytes] = field(default_factory=list)
    got_request: asyncio.Event = field(default_factory=asyncio.Event)
    connections: int = 0


@asynccontextmanager
async def scripted_broker(script: Script, *, reads: str = "request") -> AsyncIterator[ScriptedBroker]:
    """Serve ``script``; with ``reads="nothing"`` it runs before a byte of the request is read."""
    broker = ScriptedBroker()

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        broker.connections += 1
        if reads == "nothing":
            await script(reader, writer)
            return
        while request := await read_request(reader):
            broker.requests.append(request)
            broker.got_request.set()
            await script(reader, writer)
            if writer.is_closing():
                break

    async with serving(converse) as broker.url:
        yield broker
    await asyncio.sleep(0)


@asynccontextmanager
async def serving(converse: Script) -> AsyncIterator[str]:
    """Runs ``converse`` on each connection to the URL that is given, and ends all of them with the block.

    A connection that the client cuts off ends its conversation, and nothing else.
    """
    open_now: set[asyncio.StreamWriter] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        open_now.add(writer)
        try:
            await converse(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            return
        finally:
            open_now.discard(writer)
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for writer in list(open_now):
            writer.transport.abort()
        await server.wait_closed()


async def read_request(reader: asyncio.StreamReader) -> bytes:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return b""
    length = next(
        (int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")), 0
    )
    return head + await reader.readexactly(length)


def answer(status: int, body: bytes | Any, *, headers: str = "", content_type: str = "application/json") -> Script:
    """A whole HTTP answer; anything but bytes is written as JSON."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = f"HTTP/1.1 {status} X\r\nContent-Type: {content_type}\r\nContent-Length: {len(data)}\r\n{headers}\r\n"
        writer.write(head.encode() + data)
        await writer.drain()

    return script


def raw(data: bytes) -> Script:
    """These bytes and then the end of the connection."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await writer.drain()
        writer.close()

    return script


async def close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.close()


async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """RST instead of FIN."""
    sock: socket.socket = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()  # until the client gives up


def success(data: Any) -> Script:
    return answer(200, {"status": "success", "data": data})


def failure(status: int, error_type: str, message: str) -> Script:
    return answer(status, {"status": "error", "error_type": error_type, "message": message})


TOKEN = "token"


def credentials(token: str | None = TOKEN) -> Credentials:
    access_token = None if token is None else SecretStr(token)
    return Credentials(api_key="key", api_secret=SecretStr("secret"), access_token=access_token)


@contextmanager
def closed_port() -> Iterator[int]:
    """A port on which no program listens, and that no other program gets meanwhile."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]
