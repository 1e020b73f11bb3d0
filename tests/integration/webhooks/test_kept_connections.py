"""Connections to endpoints that answer well are kept: few, for a minute, and checked again."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpcore
import pytest

from app.kit.clock import SystemClock
from app.webhooks.kept_connections import LIFETIME_S, MAX_OF_ONE, KeptConnections
from app.webhooks.model import Answer
from app.webhooks.name_lookup import NameLookup, resolve
from app.webhooks.posting import Posting


class Clock(SystemClock):
    """The machine's clock, ahead by what a test says."""

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.ahead_s


@dataclass(kw_only=True)
class Server:
    """Answers many requests on one connection. ``connections`` has the number of requests of each, in order."""

    port: int = 0
    status: int = 200
    body: bytes = b"ok"
    connections: list[int] = field(default_factory=list)
    closed: int = 0
    open: list[asyncio.StreamWriter] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        place = len(self.connections)
        self.connections.append(0)
        self.open.append(writer)
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
                length = next((line for line in head.split("\r\n") if line.startswith("content-length: ")), ": 0")
                await reader.readexactly(int(length.split(": ")[1]))
                self.connections[place] += 1
                writer.write(f"HTTP/1.1 {self.status} X\r\nContent-Length: {len(self.body)}\r\n\r\n".encode())
                writer.write(self.body)
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            self.closed += 1
        finally:
            writer.close()


@asynccontextmanager
async def running_server() -> AsyncIterator[Server]:
    found = Server()
    server = await asyncio.start_server(found.serve, "127.0.0.1", 0)
    found.port = server.sockets[0].getsockname()[1]
    try:
        yield found
    finally:
        server.close()
        for writer in found.open:
            writer.close()
        await asyncio.sleep(0)


def posting(clock: SystemClock, kept: KeptConnections, *, names: Any = resolve) -> Posting:
    return Posting(
        names=NameLookup(names),
        dialer=httpcore.AnyIOBackend(),
        tls=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
        clock=clock,
        kept=kept,
        allow_loopback=True,
    )


async def send(one: Posting, url: str, **options: Any) -> Answer:
    return await one.send(url, headers={"webhook-id": "msg_1"}, body=b"{}", **options)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def kept(clock: Clock) -> AsyncIterator[KeptConnections]:
    kept = KeptConnections(clock)
    yield kept
    await kept.close()


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async with running_server() as found:
        yield found


async def test_a_connection_is_used_again_and_only_for_a_minute(
    server: Server, clock: Clock, kept: KeptConnections
) -> None:
    """From its beginning, however often it is used; then another one is opened."""
    one = posting(clock, kept)
    for _ in range(3):
        assert (await send(one, server.url)).error is None
    assert server.connections == [3]
    clock.ahead_s = LIFETIME_S - 1
    await send(one, server.url)
    assert server.connections == [4]
    clock.ahead_s = LIFETIME_S
    answer = await send(one, server.url)
    assert (answer.address, answer.body, server.connections) == ("127.0.0.1", "ok", [4, 1])


async def test_each_answer_has_its_own_bound(server: Server, clock: Clock, kept: KeptConnections) -> None:
    """The bytes of earlier answers do not count against the next one."""
    server.body = b"y" * 3000
    one = posting(clock, kept)
    for _ in range(20):
        assert (await send(one, server.url)).body == "y" * 1024
    assert server.connections == [20]


async def test_a_connection_to_an_endpoint_that_fails_is_closed(
    server: Server, clock: Clock, kept: KeptConnections
) -> None:
    """As is one of an advisory HEAD request, and one of which the answer was not read to its end."""
    one = posting(clock, kept)
    server.status = 500
    await send(one, server.url)
    server.status, server.body = 200, b"y" * 10_000
    await send(one, server.url)
    server.body = b""
    await send(one, server.url, method="HEAD")
    await send(one, server.url)
    assert server.connections == [1, 1, 1, 1]


async def test_a_connection_that_the_receiver_has_closed_costs_no_delivery(
    server: Server, clock: Clock, kept: KeptConnections
) -> None:
    """The request goes once more on a new one, within the same time."""
    one = posting(clock, kept)
    await send(one, server.url)
    server.open[0].close()
    answer = await send(one, server.url)
    assert (answer.error, server.connections) == (None, [1, 1])


async def test_a_kept_connection_has_its_address_checked_again(
    server: Server, clock: Clock, kept: KeptConnections
) -> None:
    """One whose address is not allowed is closed, although it works."""
    one = posting(clock, kept)
    await send(one, server.url)
    connection = kept.take(one.target(server.url))
    assert connection is not None
    await kept.give_back(connection, keep=True)
    connection.network.address = "10.0.0.1"
    await send(one, server.url)
    assert server.connections == [1, 1]


async def test_a_name_is_followed_at_the_end_of_the_minute(server: Server, clock: Clock, kept: KeptConnections) -> None:
    """It is asked once for each connection."""
    asked = []

    def names(host: str) -> Sequence[str]:
        asked.append(host)
        return ["127.0.0.1"]

    one = posting(clock, kept, names=names)
    for ahead_s in (0.0, 1.0, LIFETIME_S):
        clock.ahead_s = ahead_s
        await send(one, server.url.replace("127.0.0.1", "localhost"))
    assert asked == ["localhost"] * 2


async def test_few_connections_are_kept_and_all_of_them_are_closed_in_time(
    server: Server, clock: Clock, kept: KeptConnections
) -> None:
    """Of one endpoint no more than it gets requests at once; the rest, and old ones, are closed."""
    one = posting(clock, kept)
    await asyncio.gather(*(send(one, server.url) for _ in range(MAX_OF_ONE + 3)))
    before = len(server.connections)
    await asyncio.gather(*(send(one, server.url) for _ in range(MAX_OF_ONE)))
    assert len(server.connections) == before
    clock.ahead_s = LIFETIME_S
    await kept.close_expired()

    async def all_closed() -> None:
        while server.closed < before:
            await asyncio.sleep(0.01)

    async with asyncio.timeout(20):
        await all_closed()
    await send(one, server.url)
    await kept.close()
    async with asyncio.timeout(20):
        while server.closed < before + 1:
            await asyncio.sleep(0.01)
