"""How much may one HTTP connection send, and how long may it take? uvicorn's protocol with bounds on both.

Bounds hold before anything is known of the caller: bytes and lines of a head, of trailers and of chunk headers, queued
requests, and the time for a head, for a body and for reading an answer. Whatever exceeds one is answered as a problem
and disconnected. The parser is fed small pieces, because it joins what it has of one header anew at every call.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Container
from functools import partial
from http import HTTPStatus
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from app.api.connection_limits import ConnectionPlaces, Place
from app.api.middleware import REQUEST_ID_HEADER, SECURITY_HEADERS
from app.api.problems import plain_problem
from app.api.socket_connection import SocketConnection

HEAD_MAX_BYTES = 32_768  # a request for 500 quotes needs half of it
HEAD_MAX_LINES = 100
SOCKET_LINE_BYTES = 8000  # of a WebSocket's handshake: its parser reads lines of 8192
PIECE_BYTES = 2048
MAX_QUEUED_REQUESTS = 16  # sent by a client that does not wait for answers
HEAD_S = 5.0
BODY_S = 10.0
READ_S = 10.0  # in which a client has to read what fills its connection
KEEP_ALIVE_S = 75  # more than the 60 s after which load balancers drop an idle connection
LINGER_S = 1.0  # in which a client can read why it is disconnected, while what it still sends is dropped
LINGER_BYTES = 1_048_576

_TOO_LARGE = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
_DETAILS = {
    HTTPStatus.BAD_REQUEST: "this is not a valid HTTP request",
    HTTPStatus.REQUEST_TIMEOUT: f"a head has to arrive within {HEAD_S:g} s, a body within {BODY_S:g} s",
    HTTPStatus.REQUEST_URI_TOO_LONG: f"a URL has at most {HEAD_MAX_BYTES} bytes",
    _TOO_LARGE: f"a head, and trailers, have at most {HEAD_MAX_BYTES} bytes and {HEAD_MAX_LINES} lines",
}


class HttpConnection(HttpToolsProtocol):
    """One connection. Behind an address of ``proxies`` there are many clients."""

    def __init__(self, *args: Any, places: ConnectionPlaces, proxies: Container[str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._places = places
        self._proxies = proxies
        self._place: Place | None = None
        self._timer: asyncio.TimerHandle | None = None  # for the head or the body
        self._read_timer: asyncio.TimerHandle | None = None
        self._in_head = False  # a head has begun and is not complete
        self._in_body = False
        self._bytes = 0  # of this head, or of the framing since the last byte of the body
        self._lines = 0
        self._has_too_many_lines = False
        self._body_seen = 0
        self._dropping = False  # whatever still comes

    # the connection

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        address = self.client[0] if self.client else "unknown"
        self._place = self._places.admit(
            self, address=address, limited_address=address not in self._proxies, now=time.monotonic()
        )
        if self._place is None:
            self._dropping = True
            transport.abort()
            return
        self._set_timer(HEAD_S)

    def connection_lost(self, exc: Exception | None) -> None:
        self._cancel_timer()
        if self._read_timer is not None:
            self._read_timer.cancel()
        if self._place is not None:
            self._place.leave()
        super().connection_lost(exc)

    def end(self) -> None:
        """Disconnect now: another connection takes the place."""
        self._dropping = True
        self.transport.abort()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._read_timer = self._read_timer or self.loop.call_later(READ_S, self.end)
        self._await_client()

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._read_timer is not None:
            self._read_timer.cancel()
            self._read_timer = None
        if self._is_answering and self._place is not None:
            self._place.work()

    # what arrives

    def data_received(self, data: bytes) -> None:
        if self._dropping:
            self._bytes += len(data)
            if self._bytes > LINGER_BYTES:
                self.end()
            return
        self._unset_keepalive_if_required()
        for start in range(0, len(data), PIECE_BYTES):
            if not self._feed(data[start : start + PIECE_BYTES]):
                return
        if self._in_body or self._in_head or not self._is_answering:
            self._await_client()
            if self._timer is None:
                self._set_timer(BODY_S if self._in_body else HEAD_S)

    def _feed(self, piece: bytes) -> bool:
        """Parse one piece; False when nothing more of this read may be parsed."""
        in_head, in_body, body = self._in_head, self._in_body, self._body_seen
        began_before = in_head or not in_body
        try:
            self.parser.feed_data(piece)
        except httptools.HttpParserUpgrade:
            return self._upgrade()
        except httptools.HttpParserError:
            self._refuse(_TOO_LARGE if self._has_too_many_lines else HTTPStatus.BAD_REQUEST)
            return False
        if self._in_head:
            self._bytes = self._bytes + len(piece) if began_before else 0
        elif self._in_body:
            self._bytes = self._bytes + len(piece) if in_body and self._body_seen == body else 0
        if self._bytes > HEAD_MAX_BYTES:
            url_only = self._in_head and not self._lines
            self._refuse(HTTPStatus.REQUEST_URI_TOO_LONG if url_only else _TOO_LARGE)
            return False
        if len(self.pipeline) > MAX_QUEUED_REQUESTS:
            self._dropping = True
            self.pipeline[0][0].keep_alive = False  # the last of them: its answer says that the connection closes
            return False
        return True

    def _upgrade(self) -> bool:
        """Hand the connection over to a WebSocket, with its place."""
        self._cancel_timer()
        if len(self.url) > SOCKET_LINE_BYTES or any(len(b"".join(pair)) > SOCKET_LINE_BYTES for pair in self.headers):
            self._refuse(_TOO_LARGE)
        elif self._should_upgrade():
            place, self._place = self._place, None
            self.ws_protocol_class = partial(SocketConnection, place=place)  # type: ignore[assignment]  # called only
            self.handle_websocket_upgrade()
        return False

    # callbacks of the parser

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head = True
        self._bytes = self._lines = self._body_seen = 0
        self.scope["state"]["connection"] = self._place

    def on_header(self, name: bytes, value: bytes) -> None:
        self._lines += 1
        if self._lines > HEAD_MAX_LINES:
            self._has_too_many_lines = True
            raise ValueError("too many lines")  # the parser stops
        if self._in_head:  # trailers are dropped
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        self._in_head, self._in_body = False, True
        self._bytes = self._lines = 0
        self._cancel_timer()

    def on_body(self, body: bytes) -> None:
        self._body_seen += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._in_body = False
        self._cancel_timer()
        super().on_message_complete()
        if self._place is not None and self._is_answering:
            self._place.work()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._in_body and not self._is_answering:
            self.cycle.body.clear()  # answered without being read
        if not self.pipeline:
            self._await_client()
        if self.transport.is_closing():
            self._set_timer(READ_S)  # a client that does not read keeps the connection open otherwise

    # refusals

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - the signature is uvicorn's
        self._refuse(HTTPStatus.BAD_REQUEST)

    def _late(self) -> None:
        self._timer = None
        if self.transport.is_closing() or (not self._in_body and not self._bytes):
            self._places.ended["silent"] += 1
            self.end()
        else:
            self._refuse(HTTPStatus.REQUEST_TIMEOUT)

    def _refuse(self, status: HTTPStatus) -> None:
        """Answer with a problem where no other answer is under way, then disconnect."""
        self._places.ended[status.name.lower()] += 1
        self._dropping = True
        self._cancel_timer()
        cycle = self.cycle
        if self._is_answering and not self._in_body:
            cycle.keep_alive = False  # earlier requests are being answered: the last answer ends the connection
            return
        if self._is_answering:
            cycle.disconnected = True
            cycle.message_event.set()
        if not self._is_answering or not (cycle.response_started or self.pipeline):
            self.transport.write(self._problem(status))
        self.transport.write_eof()
        self._timer = self.loop.call_later(LINGER_S, self.end)

    def _problem(self, status: HTTPStatus) -> bytes:
        request_id = str(uuid.uuid4())
        path = self.scope.get("path", "") if self._in_body else ""
        answer = plain_problem(status, detail=_DETAILS[status], path=path, request_id=request_id)
        headers = [
            (b"connection", b"close"),
            (REQUEST_ID_HEADER.lower().encode(), request_id.encode()),
            *SECURITY_HEADERS,
            *answer.raw_headers,
            *self.server_state.default_headers,
        ]
        head = b"HTTP/1.1 %d %s\r\n" % (status, status.phrase.encode())
        return head + b"".join(b"%s: %s\r\n" % pair for pair in headers) + b"\r\n" + bytes(answer.body)

    # state

    @property
    def _is_answering(self) -> bool:
        cycle: RequestResponseCycle | None = self.cycle
        return cycle is not None and not cycle.response_complete

    def _await_client(self) -> None:
        if self._place is not None:
            self._place.await_client(time.monotonic())

    def _set_timer(self, seconds: float) -> None:
        self._cancel_timer()
        self._timer = self.loop.call_later(seconds, self._late)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
