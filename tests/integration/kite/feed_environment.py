"""A WebSocket server that a test scripts, and a ticker feed that runs against it."""

from __future__ import annotations

import asyncio
import http
import json
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from app.broker.market import Mode
from app.broker.port import Credentials
from app.kit.backoff import Backoff
from app.kit.clock import SystemClock
from app.kite.feed import FeedSettings, KiteFeed
from tests.integration.kite.scripted import credentials

STOP_S = 8.0
"""Less than a WebSocket library waits for the other side's close frame."""

PACKET = struct.pack(">II", 408065, 157315)
FRAME = struct.pack(">HH", 1, 8) + PACKET


class Listener:
    """Keeps the arguments of its calls; ``changed`` wakes a test that waits for more."""

    def __init__(self) -> None:
        self.packets: list[bytes] = []
        self.received_at: list[int] = []
        self.orders: list[Mapping[str, Any]] = []
        self.connected: list[bool] = []
        self.replays = 0
        self.disconnected: list[str] = []
        self._changed = asyncio.Event()

    def on_packets(self, packets: Sequence[bytes], *, received_at_ms: int) -> None:
        self.packets.extend(packets)
        self.received_at.append(received_at_ms)
        self._changed.set()

    def on_order_update(self, payload: Mapping[str, Any]) -> None:
        self.orders.append(payload)
        self._changed.set()

    def on_connected(self, *, first: bool) -> None:
        self.connected.append(first)
        self._changed.set()

    def on_replay(self) -> None:
        self.replays += 1
        self._changed.set()

    def on_disconnected(self, reason: str) -> None:
        self.disconnected.append(reason)
        self._changed.set()

    async def until(self, condition: Callable[[], bool], *, timeout: float = 20.0) -> None:
        async with asyncio.timeout(timeout):
            while not condition():
                self._changed.clear()
                try:
                    async with asyncio.timeout(0.01):
                        await self._changed.wait()
                except TimeoutError:
                    continue


@dataclass(slots=True)
class TickerServer:
    """What a scripted ticker saw: one entry of paths and messages per accepted socket."""

    url: str = ""
    paths: list[str] = field(default_factory=list)
    messages: list[list[dict[str, Any]]] = field(default_factory=list)
    connections: list[ServerConnection] = field(default_factory=list)

    def said(self, socket: int) -> list[dict[str, Any]]:
        return self.messages[socket] if len(self.messages) > socket else []


Play = Callable[[ServerConnection, int], Awaitable[None]]


async def heartbeats(connection: ServerConnection, number: int) -> None:
    while True:
        await connection.send(b"\x00")
        await asyncio.sleep(0.02)


@asynccontextmanager
async def ticker(
    play: Play = heartbeats, *, refuse: Callable[[int], int | None] = lambda n: None, tls: ssl.SSLContext | None = None
) -> AsyncIterator[TickerServer]:
    """A ticker whose socket number n is played by ``play``, or refused with the status that ``refuse`` names."""
    server = TickerServer()

    async def listen(connection: ServerConnection, said: list[dict[str, Any]]) -> None:
        while True:
            said.append(json.loads(await connection.recv()))

    async def handle(connection: ServerConnection) -> None:
        number = len(server.connections)
        server.connections.append(connection)
        server.messages.append([])
        reader = asyncio.ensure_future(listen(connection, server.messages[number]))
        try:
            with suppress(ConnectionClosed):  # the client has ended it, as many tests want
                await play(connection, number)
        finally:
            reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)

    def check(connection: ServerConnection, request: Request) -> Response | None:
        status = refuse(len(server.paths))
        server.paths.append(request.path)
        return None if status is None else connection.respond(http.HTTPStatus(status), "{}\n")

    async with serve(
        handle, "127.0.0.1", 0, process_request=check, ping_interval=None, close_timeout=0.1, ssl=tls
    ) as listening:
        scheme = "ws" if tls is None else "wss"
        server.url = f"{scheme}://localhost:{listening.sockets[0].getsockname()[1]}"
        yield server


@asynccontextmanager
async def running_feed(
    url: str,
    *,
    listener: Listener | None = None,
    source: Callable[[], Credentials] = credentials,
    wanted: Mapping[int, Mode] | None = None,
    **settings: Any,
) -> AsyncIterator[tuple[KiteFeed, Listener]]:
    listener = listener or Listener()
    quick = {"watchdog_s": 20.0, "backoff": Backoff(first_s=0.02, cap_s=0.1), "connect_timeout_s": 20.0, **settings}
    feed = KiteFeed(
        FeedSettings(ws_url=url, **quick), account_id="A1", credentials=source, listener=listener, clock=SystemClock()
    )
    feed.subscribe(wanted or {})
    task = asyncio.ensure_future(feed.run())
    try:
        yield feed, listener
    finally:
        task.cancel()
        done, _ = await asyncio.wait([task], timeout=STOP_S)
        assert done, "a cancelled feed closes its socket, whatever the other side does"
        assert task.cancelled(), task


def sending(*frames: bytes | str) -> Play:
    async def play(connection: ServerConnection, number: int) -> None:
        for frame in frames:
            await connection.send(frame)
        await heartbeats(connection, number)

    return play
