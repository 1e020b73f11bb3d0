"""The ticker feed against a WebSocket server that a test scripts: liveness, reconnects, subscriptions, bad frames."""

from __future__ import annotations

import asyncio
import http
import json
import logging
import ssl
import struct
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from loguru import logger
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.utils import accept_key

from app.broker.market import Mode
from app.broker.port import Credentials
from app.errors import BadInput
from app.kit.backoff import Backoff
from app.kit.clock import SystemClock
from app.kite.feed import FeedSettings, KiteFeed
from tests.integration.kite.scripted import close, credentials, free_port, hang, raw, scripted_broker

PACKET = struct.pack(">II", 408065, 157315)
FRAME = struct.pack(">HH", 1, 8) + PACKET


class Listener:
    """Remembers what it was told; ``changed`` wakes a test that waits for more."""

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

    async def until(self, condition: Callable[[], bool], *, timeout: float = 3.0) -> None:
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
            await play(connection, number)
        except ConnectionClosed:
            pass
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
    quick = {"watchdog_s": 0.3, "backoff": Backoff(first_s=0.02, cap_s=0.1), "connect_timeout_s": 0.5, **settings}
    feed = KiteFeed(
        FeedSettings(ws_url=url, **quick), account_id="A1", credentials=source, listener=listener, clock=SystemClock()
    )
    feed.subscribe(wanted or {})
    task = asyncio.ensure_future(feed.run())
    try:
        yield feed, listener
    finally:
        task.cancel()
        started = time.monotonic()
        await asyncio.gather(task, return_exceptions=True)
        assert time.monotonic() - started < 1.0, "a cancelled feed closes its socket within a second"
        assert task.cancelled(), task


@pytest.fixture
def logged() -> Any:
    """Everything that loguru writes during the test, as one growing list."""
    lines: list[str] = []
    sink = logger.add(lambda message: lines.append(str(message)), level="TRACE")
    yield lines
    logger.remove(sink)


def sending(*frames: bytes | str) -> Play:
    async def play(connection: ServerConnection, number: int) -> None:
        for frame in frames:
            await connection.send(frame)
        await heartbeats(connection, number)

    return play


class TestFrames:
    async def test_packets_reach_the_listener_with_their_time(self) -> None:
        """Raw packets in order, our own clock in milliseconds beside them."""
        async with ticker(sending(FRAME)) as server, running_feed(server.url) as (feed, listener):
            await listener.until(lambda: bool(listener.packets))
            assert listener.packets == [PACKET]
            assert abs(listener.received_at[0] / 1000 - time.time()) < 5
            assert (feed.state.packets, feed.state.malformed) == (1, 0)
            assert feed.state.last_tick_at == pytest.approx(time.time(), abs=5)

    async def test_heartbeats_are_life_and_nothing_else(self) -> None:
        """They keep the socket, and are neither packets nor malformed."""
        async with ticker() as server, running_feed(server.url, watchdog_s=0.1) as (feed, listener):
            await asyncio.sleep(0.3)
            assert (len(server.connections), listener.packets, feed.state.malformed) == (1, [], 0)
            assert feed.state.frames > 3
            assert feed.state.last_tick_at == 0.0

    async def test_pings_are_answered_and_count_as_life(self) -> None:
        """Any inbound frame is proof of a living peer."""

        async def ping(connection: ServerConnection, number: int) -> None:
            while True:
                await (await connection.ping())
                await asyncio.sleep(0.02)

        async with ticker(ping) as server, running_feed(server.url, watchdog_s=0.1) as (feed, _):
            await asyncio.sleep(0.3)
            assert (len(server.connections), feed.state.connected) == (1, True)

    async def test_malformed_frames_are_counted_and_dropped(self) -> None:
        """The socket stays, and the good frame after them is delivered."""
        bad = (b"", b"\x00\x01", b"\x00\x00\x00", FRAME[:-1], FRAME + b"\x00", "not json", "[]", '{"type":"order"}')
        async with ticker(sending(*bad, FRAME)) as server, running_feed(server.url) as (feed, listener):
            await listener.until(lambda: bool(listener.packets))
            assert feed.state.malformed == len(bad)
            assert (len(server.connections), listener.packets) == (1, [PACKET])

    async def test_a_fragmented_message_is_put_together(self) -> None:
        """WebSocket may split any message; the pieces are one frame of ours."""

        async def split(connection: ServerConnection, number: int) -> None:
            await connection.send([FRAME[:3], FRAME[3:9], FRAME[9:]])
            await heartbeats(connection, number)

        async with ticker(split) as server, running_feed(server.url) as (feed, listener):
            await listener.until(lambda: bool(listener.packets))
            assert (listener.packets, feed.state.malformed) == ([PACKET], 0)

    async def test_a_message_beyond_the_bound_ends_the_socket(self) -> None:
        """4 MiB is seven times the largest frame of 3,000 instruments."""
        async with (
            ticker(sending(b"\x00" * (4 * 1024 * 1024 + 1))) as server,
            running_feed(server.url) as (_, listener),
        ):
            await listener.until(lambda: bool(listener.disconnected))
            assert listener.packets == []

    async def test_order_pushes_are_handed_over(self) -> None:
        """Kite's object as it came; unknown types are ignored."""
        push = json.dumps({"type": "order", "data": {"order_id": "1", "status": "COMPLETE"}})
        unknown = json.dumps({"type": "instruments_meta", "data": {"count": 1}})
        async with ticker(sending(unknown, push)) as server, running_feed(server.url) as (feed, listener):
            await listener.until(lambda: bool(listener.orders))
            assert listener.orders == [{"order_id": "1", "status": "COMPLETE"}]
            assert feed.state.malformed == 0

    async def test_a_replaying_socket_is_told_apart_until_the_next_one(self) -> None:
        """By the text that a replaying simulator sends first; no other message means it."""

        async def replay_first(connection: ServerConnection, number: int) -> None:
            await connection.send(
                json.dumps({"type": "message", "data": "replay" if number == 0 else "replay is over"})
            )
            if number == 0:
                await asyncio.sleep(0.1)
                await connection.close(1012)
            else:
                await heartbeats(connection, number)

        async with ticker(replay_first) as server, running_feed(server.url) as (feed, listener):
            await listener.until(lambda: listener.replays == 1)
            assert feed.state.replaying
            await listener.until(lambda: listener.connected == [True, False] and feed.state.notes == 1)
            assert (listener.replays, feed.state.replaying) == (1, False)

    async def test_the_brokers_notes_are_counted_and_logged_without_the_token(self, logged: list[str]) -> None:
        """Even when the broker repeats the token to us; and a flood is cut."""
        notes = [json.dumps({"type": "error", "data": "who is token?"})] * 30
        async with ticker(sending(*notes)) as server, running_feed(server.url) as (feed, listener):
            await listener.until(lambda: feed.state.notes == 30)
        lines = [line for line in logged if "broker's error" in line]
        assert len(lines) == 20
        assert "who is ***?" in lines[0]


class TestReconnect:
    async def test_a_silent_socket_is_replaced_within_the_watchdog(self) -> None:
        """Nothing at all for 0.15 s: a new socket, and the listener knows why."""

        async def silent_first(connection: ServerConnection, number: int) -> None:
            if number == 0:
                await connection.wait_closed()
            else:
                await heartbeats(connection, number)

        async with ticker(silent_first) as server, running_feed(server.url, watchdog_s=0.15) as (feed, listener):
            await listener.until(lambda: listener.connected == [True, False], timeout=1.5)
            assert listener.disconnected == ["no frame for 0.15 s"]
            assert (feed.state.reconnects, feed.state.connected, feed.state.last_error) == (1, True, None)
            assert len(server.connections) == 2

    async def test_after_a_close_everything_is_subscribed_again_with_its_mode(self) -> None:
        """The broker remembers nothing; the feed does."""

        async def close_first(connection: ServerConnection, number: int) -> None:
            if number == 0:
                await connection.send(b"\x00")
                await asyncio.sleep(0.05)
                await connection.close(1001)
            else:
                await heartbeats(connection, number)

        wanted = {1: Mode.FULL, 2: Mode.LTP, 3: Mode.FULL}
        async with ticker(close_first) as server, running_feed(server.url, wanted=wanted) as (_, listener):
            await listener.until(lambda: len(server.said(1)) == 4)
            assert listener.disconnected == ["closed by the broker with 1001"]
            expected = [
                {"a": "subscribe", "v": [1, 3]},
                {"a": "mode", "v": ["full", [1, 3]]},
                {"a": "subscribe", "v": [2]},
                {"a": "mode", "v": ["ltp", [2]]},
            ]
            assert server.said(0) == server.said(1) == expected

    async def test_a_dropped_connection_is_made_again(self) -> None:
        """A reset without a close frame."""

        async def drop_first(connection: ServerConnection, number: int) -> None:
            if number == 0:
                await connection.send(FRAME)
                connection.transport.abort()
            else:
                await heartbeats(connection, number)

        async with ticker(drop_first) as server, running_feed(server.url) as (feed, listener):
            await listener.until(lambda: feed.state.reconnects == 1)
            assert "connection lost" in listener.disconnected[0]

    async def test_the_token_is_asked_for_at_each_connect(self) -> None:
        """A refused token does not stop the feed; the next login is used, escaped, without a restart."""
        tokens = iter(["old", "new&x=1"])
        async with (
            ticker(refuse=lambda number: 403 if number == 0 else None) as server,
            running_feed(server.url, source=lambda: credentials(next(tokens)), extra_query={"user_id": "AB"}) as (
                _,
                listener,
            ),
        ):
            await listener.until(lambda: listener.connected == [True])
            queries = [parse_qs(urlsplit(path).query) for path in server.paths]
            assert [query["access_token"] for query in queries] == [["old"], ["new&x=1"]]
            assert queries[1] == {"api_key": ["key"], "access_token": ["new&x=1"], "user_id": ["AB"]}

    async def test_a_403_says_so(self, logged: list[str], caplog: pytest.LogCaptureFixture) -> None:
        """Health shows what to do; no log line has the token or the address, not even the library's at DEBUG."""
        caplog.set_level(logging.DEBUG)
        async with ticker(refuse=lambda number: 403) as server, running_feed(server.url) as (feed, listener):
            await listener.until(lambda: len(server.paths) >= 3)
            assert feed.state.last_error is not None
            assert "403" in feed.state.last_error
            assert (feed.state.connected, listener.connected) == (False, [])
        assert logged
        assert not any("access_token=" in line or server.url in line for line in logged)
        client_lines = [record.getMessage() for record in caplog.records if record.name != "websockets.server"]
        assert not any("access_token=" in line for line in client_lines)

    async def test_a_429_waits_longer(self) -> None:
        """Too many sockets: the ordinary backoff would make it worse."""
        async with (
            ticker(refuse=lambda number: 429) as server,
            running_feed(server.url, throttled_wait_s=5.0) as (feed, listener),
        ):
            await listener.until(lambda: feed.state.last_error is not None)
            await asyncio.sleep(0.3)
            assert len(server.paths) == 1
            feed.reconnect_soon()
            await listener.until(lambda: len(server.paths) == 2)

    async def test_without_a_token_it_waits_for_one(self) -> None:
        """No connect before the first login; then one without a restart."""
        tokens: list[str | None] = [None]
        async with (
            ticker() as server,
            running_feed(server.url, source=lambda: credentials(tokens[0])) as (feed, listener),
        ):
            await listener.until(lambda: feed.state.last_error is not None)
            assert (feed.state.last_error, server.paths) == ("no access token: log in first", [])
            tokens[0] = "token"
            await listener.until(lambda: feed.state.connected)

    @pytest.mark.parametrize(
        ("script", "reads", "reason"),
        [
            (hang, "request", "no connection within 0.5 s"),
            (close, "nothing", "connection lost during the upgrade"),
            (raw(b"garbage\r\n\r\n"), "request", "answered with something else than WebSocket"),
            (raw(b"HTTP/1.1 101 Switching\r\n\r\n"), "request", "answered with something else than WebSocket"),
            (raw(b"HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n"), "request", "HTTP 302"),
        ],
        ids=["hang", "close", "garbage", "bad 101", "redirect"],
    )
    async def test_a_server_that_is_no_ticker_is_tried_again(self, script: Any, reads: str, reason: str) -> None:
        """Whatever answers the upgrade, the reason is kept and the next attempt comes."""
        async with (
            scripted_broker(script, reads=reads) as server,
            running_feed(server.url.replace("http", "ws")) as (feed, listener),
        ):
            await listener.until(lambda: server.connections >= 2)
            assert feed.state.last_error is not None
            assert reason in feed.state.last_error

    async def test_nobody_listening(self) -> None:
        """The reason names the kind of failure and not the address."""
        async with running_feed(f"ws://127.0.0.1:{free_port()}") as (feed, listener):
            await listener.until(lambda: feed.state.last_error is not None)
            assert feed.state.last_error == "cannot connect: ConnectionRefusedError"


class TestStop:
    async def test_a_peer_that_ignores_the_close_does_not_hold_the_feed(self) -> None:
        """Cancelled, the feed says goodbye and cuts the connection within a second (``running_feed`` measures it)."""
        gone = asyncio.Event()

        async def upgrade_then_ignore(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            head = server.requests[-1].decode().split("\r\n")
            key = next(line.split(": ")[1] for line in head if line.lower().startswith("sec-websocket-key"))
            writer.write(
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Accept: " + accept_key(key).encode() + b"\r\n\r\n"
            )
            try:
                await reader.read()
            finally:
                gone.set()

        async with scripted_broker(upgrade_then_ignore) as server:
            async with running_feed(server.url.replace("http", "ws"), watchdog_s=30) as (feed, listener):
                await listener.until(lambda: feed.state.connected)
            async with asyncio.timeout(1.0):
                await gone.wait()


class TestSubscriptions:
    async def test_a_change_names_only_what_changes(self) -> None:
        """Adding, changing a mode and removing never touch the others, and never restart the socket."""
        async with ticker() as server, running_feed(server.url, wanted={1: Mode.FULL}) as (feed, listener):
            await listener.until(lambda: len(server.said(0)) == 2)
            feed.subscribe({1: Mode.FULL, 2: Mode.QUOTE})
            feed.subscribe({1: Mode.LTP})
            feed.unsubscribe([2, 2, 99])
            await listener.until(lambda: len(server.said(0)) == 7)
            assert server.said(0)[2:] == [
                {"a": "subscribe", "v": [2]},
                {"a": "mode", "v": ["quote", [2]]},
                {"a": "subscribe", "v": [1]},
                {"a": "mode", "v": ["ltp", [1]]},
                {"a": "unsubscribe", "v": [2]},
            ]
            assert feed.subscriptions() == {1: Mode.LTP}
            assert len(server.connections) == 1

    async def test_what_is_wanted_before_the_connect_is_kept(self) -> None:
        """Subscriptions are a wish, connected or not."""
        async with running_feed(f"ws://127.0.0.1:{free_port()}") as (feed, _):
            feed.subscribe({5: Mode.FULL, 6: Mode.LTP})
            feed.unsubscribe([6])
            assert feed.subscriptions() == {5: Mode.FULL}

    async def test_more_than_a_socket_takes_is_refused_whole(self) -> None:
        """The broker would answer an error for the surplus only; here nothing of the call is applied."""
        async with running_feed(f"ws://127.0.0.1:{free_port()}", max_tokens=3) as (feed, _):
            feed.subscribe(dict.fromkeys(range(3), Mode.LTP))
            feed.subscribe({0: Mode.FULL})
            with pytest.raises(BadInput, match="4 instruments on one socket, the broker allows 3"):
                feed.subscribe({7: Mode.LTP})
            assert set(feed.subscriptions()) == {0, 1, 2}

    @pytest.mark.parametrize("url", ["http://ws.kite.trade", "ws.kite.trade", "wss://"])
    def test_a_bad_address_is_refused_at_once(self, url: str) -> None:
        """Not at the first connect, hours later."""
        with pytest.raises(ValueError, match="is not an address like wss"):
            FeedSettings(ws_url=url)


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Contexts of a server named localhost and of a client that trusts nobody else."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path = tmp_path / "server.pem"
    path.write_bytes(secret + signed.public_bytes(serialization.Encoding.PEM))
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(path)
    return server, ssl.create_default_context(cafile=str(path))


class TestTls:
    async def test_ticks_over_tls(self, certificate: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
        """The broker speaks wss: subscribe, receive, close, within the same second as without."""
        server_tls, client_tls = certificate
        async with (
            ticker(sending(FRAME), tls=server_tls) as server,
            running_feed(server.url, wanted={1: Mode.FULL}, tls=client_tls) as (_, listener),
        ):
            await listener.until(lambda: bool(listener.packets) and len(server.said(0)) == 2)
            assert listener.packets == [PACKET]

    async def test_a_stranger_is_not_trusted(self, certificate: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
        """Credentials go to nobody whose certificate the system does not know."""
        async with ticker(tls=certificate[0]) as server, running_feed(server.url) as (feed, listener):
            await listener.until(lambda: feed.state.last_error is not None)
            assert feed.state.last_error == "cannot connect: SSLCertVerificationError"
            assert server.paths == []
