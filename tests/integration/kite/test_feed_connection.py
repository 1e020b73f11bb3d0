"""The ticker socket itself: liveness, reconnects, refusals, the end, and TLS."""

from __future__ import annotations

import asyncio
import logging
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from websockets.asyncio.server import ServerConnection
from websockets.utils import accept_key

from app.broker.market import Mode
from tests.integration.kite.feed_environment import FRAME, PACKET, STOP_S, heartbeats, running_feed, sending, ticker
from tests.integration.kite.scripted import close, closed_port, credentials, hang, raw, scripted_broker


class TestReconnect:
    async def test_a_silent_socket_is_replaced_within_the_watchdog(self) -> None:
        """Nothing at all for half a second: a new socket, and the listener knows why."""

        async def silent_first(connection: ServerConnection, number: int) -> None:
            if number == 0:
                await connection.wait_closed()
            else:
                await heartbeats(connection, number)

        async with ticker(silent_first) as server, running_feed(server.url, watchdog_s=0.5) as (feed, listener):
            await listener.until(lambda: listener.connected == [True, False])
            assert listener.disconnected == ["no frame for 0.5 s"]
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

    async def test_the_token_is_read_at_each_connect(self) -> None:
        """A refused token does not stop the feed; the next login is used, escaped, without a restart."""
        tokens = iter(["old", "new&x=1"])
        async with (
            ticker(refuse=lambda number: 403 if number == 0 else None) as server,
            running_feed(server.url, source=lambda: credentials(next(tokens))) as (
                _,
                listener,
            ),
        ):
            await listener.until(lambda: listener.connected == [True])
            queries = [parse_qs(urlsplit(path).query) for path in server.paths]
            assert [query["access_token"] for query in queries] == [["old"], ["new&x=1"]]
            assert queries[1] == {"api_key": ["key"], "access_token": ["new&x=1"]}

    async def test_a_403_is_explained(self, logged: list[str], caplog: pytest.LogCaptureFixture) -> None:
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
            running_feed(server.url, throttled_wait_s=60.0) as (feed, listener),
        ):
            await listener.until(lambda: feed.state.last_error is not None)
            await asyncio.sleep(0.3)
            assert len(server.paths) == 1
            feed.reconnect_soon()
            await listener.until(lambda: len(server.paths) == 2)

    async def test_a_feed_without_a_token_waits_for_one(self) -> None:
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
            running_feed(server.url.replace("http", "ws"), connect_timeout_s=0.5 if script is hang else 20.0) as (
                feed,
                listener,
            ),
        ):
            await listener.until(lambda: server.connections >= 2)
            assert feed.state.last_error is not None
            assert reason in feed.state.last_error

    async def test_a_closed_port_is_tried_again(self) -> None:
        """The reason names the kind of failure and not the address."""
        with closed_port() as port:
            async with running_feed(f"ws://127.0.0.1:{port}") as (feed, listener):
                await listener.until(lambda: feed.state.last_error is not None)
                assert feed.state.last_error == "cannot connect: ConnectionRefusedError"


class TestStop:
    async def test_a_peer_that_ignores_the_close_does_not_hold_the_feed(self) -> None:
        """Without an answer to its close frame the feed ends the connection (``running_feed`` bounds it)."""
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
            async with asyncio.timeout(STOP_S):
                await gone.wait()


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Contexts of a server named localhost and of a client that trusts no other."""
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
        """The broker speaks wss: subscribe, receive, close, as without."""
        server_tls, client_tls = certificate
        async with (
            ticker(sending(FRAME), tls=server_tls) as server,
            running_feed(server.url, wanted={1: Mode.FULL}, tls=client_tls) as (_, listener),
        ):
            await listener.until(lambda: bool(listener.packets) and len(server.said(0)) == 2)
            assert listener.packets == [PACKET]

    async def test_an_unknown_authority_is_not_trusted(
        self, certificate: tuple[ssl.SSLContext, ssl.SSLContext]
    ) -> None:
        """Credentials go to no server whose certificate the system does not know."""
        async with ticker(tls=certificate[0]) as server, running_feed(server.url) as (feed, listener):
            await listener.until(lambda: feed.state.last_error is not None)
            assert feed.state.last_error == "cannot connect: SSLCertVerificationError"
            assert server.paths == []
