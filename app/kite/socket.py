"""One connection to the ticker: websockets' Sans-I/O protocol on a plain asyncio transport.

Why ``websockets`` (17) and not ``picows`` (2.3): on 3,000-packet frames it reads and cuts 3.3M packets/s against 4.0M,
on 50-packet frames 2.5M against 3.6M, at most 0.12 us of a 10 us tick. It is in the runtime anyway with uvicorn, shows
every ping to the watchdog, and its connect can be cancelled (picows leaves the socket open until its own timeout).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Protocol, cast

from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.protocol import State
from websockets.uri import WebSocketURI

MESSAGE_LIMIT = 4 * 1024 * 1024
"""Bytes of one message; 3,000 full packets are 558 kB."""


class FrameSink(Protocol):
    """What a socket calls, synchronously, from the transport's reader."""

    def on_any_frame(self) -> None:
        """A frame of any kind has come, pings and fragments included."""
        ...

    def on_binary(self, message: bytes) -> None:
        """A whole binary message."""
        ...

    def on_text(self, message: bytes) -> None:
        """A whole text message."""
        ...


class UpgradeRefused(Exception):
    """The broker answered the upgrade with an HTTP status instead of 101."""

    def __init__(self, status: int) -> None:
        super().__init__(f"the broker refused the upgrade with HTTP {status}")
        self.status = status


class TickerSocket(asyncio.Protocol):
    """Speaks WebSocket to one peer. ``closed`` is set exactly once, when the transport has closed."""

    def __init__(self, uri: WebSocketURI, *, sink: FrameSink, headers: Mapping[str, str]) -> None:
        self._ws = ClientProtocol(uri, max_size=MESSAGE_LIMIT, logger=_logger_without_urls())
        self._headers = headers
        self._sink = sink
        self._transport: asyncio.Transport | None = None
        self._fragments: list[bytes] = []
        self._fragments_are: Opcode = Opcode.BINARY
        self._upgraded: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.closed = asyncio.Event()
        self.close_reason = "connection lost"

    async def wait_upgraded(self) -> None:
        """Return when the connection is a WebSocket. Raises UpgradeRefused or ConnectionError."""
        await self._upgraded

    def send_text(self, message: bytes) -> None:
        """Send without waiting. Ignored on a socket that is not open any more: the reconnect subscribes anew."""
        if self._ws.state is State.OPEN:
            self._ws.send_text(message)
            self._flush()

    async def close(self, *, grace_s: float) -> None:
        """Send a close frame, and end the connection when it is answered, at the latest after ``grace_s``."""
        transport = self._transport
        if transport is None or self.closed.is_set():
            return
        try:
            if self._ws.state is State.OPEN:
                self._ws.send_close(1000)
                self._flush()
                async with asyncio.timeout(grace_s):
                    await self.closed.wait()
        except TimeoutError:
            pass  # the grace is over, the connection is ended below
        finally:
            transport.abort()

    def abort(self) -> None:
        """End the connection without a close frame."""
        if self._transport is not None:
            self._transport.abort()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # create_connection gives nothing else, though uvloop's transports are no subclass of asyncio's.
        self._transport = cast("asyncio.Transport", transport)
        request = self._ws.connect()
        for name, value in self._headers.items():
            request.headers[name] = value
        self._ws.send_request(request)
        self._flush()

    def data_received(self, data: bytes) -> None:
        self._ws.receive_data(data)
        self._drain()

    def eof_received(self) -> None:
        self._ws.receive_eof()
        self._drain()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._ws.close_rcvd is not None:
            self.close_reason = f"closed by the broker with {int(self._ws.close_rcvd.code)}"
        elif exc is not None:
            self.close_reason = f"connection lost: {type(exc).__name__}"
        self._fail_upgrade(ConnectionError("connection lost during the upgrade"))
        self.closed.set()

    # internals

    def _drain(self) -> None:
        for event in self._ws.events_received():
            if isinstance(event, Frame):
                self._on_frame(event)
            elif isinstance(event, Response):
                self._on_response(event)
        if self._ws.handshake_exc is not None:
            self._fail_upgrade(ConnectionError("the upgrade was answered with something else than WebSocket"))
        self._flush()

    def _flush(self) -> None:
        transport = self._transport
        if transport is None:
            return
        parts = self._ws.data_to_send()
        transport.writelines(part for part in parts if part)
        if b"" in parts or self._ws.close_rcvd is not None:  # the protocol is done with this connection
            transport.close()

    def _on_response(self, response: Response) -> None:
        if self._ws.handshake_exc is None:
            if not self._upgraded.done():
                self._upgraded.set_result(None)
        elif response.status_code != 101:
            self._fail_upgrade(UpgradeRefused(response.status_code))

    def _fail_upgrade(self, error: Exception) -> None:
        if not self._upgraded.done():
            self._upgraded.set_exception(error)
            self._upgraded.exception()  # the waiter may have been cancelled: an error that is not read is no warning

    def _on_frame(self, frame: Frame) -> None:
        self._sink.on_any_frame()
        if frame.opcode is Opcode.BINARY or frame.opcode is Opcode.TEXT:
            if frame.fin:
                self._deliver(frame.opcode, bytes(frame.data))
                return
            self._fragments_are = frame.opcode
        elif frame.opcode is not Opcode.CONT:
            return
        self._fragments.append(bytes(frame.data))  # the protocol bounds the sum at MESSAGE_LIMIT
        if frame.fin:
            whole = b"".join(self._fragments)
            self._fragments.clear()
            self._deliver(self._fragments_are, whole)

    def _deliver(self, opcode: Opcode, message: bytes) -> None:
        if opcode is Opcode.BINARY:
            self._sink.on_binary(message)
        else:
            self._sink.on_text(message)


def _logger_without_urls() -> logging.Logger:
    """At DEBUG the protocol writes the upgrade request, and its path carries the access token."""
    logger = logging.getLogger("app.kite.socket")
    logger.setLevel(logging.INFO)
    return logger
