"""Connections that are never used again once the broker has sent more than it was asked for.

An answer given twice on a kept-alive connection would be taken for the answer to the next request: an order would get
another order's id, and a read of the order book an older book. httpcore asks an idle connection whether it is readable
and replaces it then; but bytes that came together with the end of an answer have been read already. So a second parser
follows each answer to its end, and what comes after it makes the connection count as readable for ever.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterable
from typing import Any
from urllib.parse import unquote, urlsplit

import h11
import httpcore
import httpx

from app.kite.route import ANY_IPV4, Route

MAX_HEAD = 100 * 1024
"""Bytes of an answer's head, as in httpcore."""


class AnswerEnd:
    """Follows the bytes of one connection: whether anything came that belongs to no request."""

    def __init__(self) -> None:
        self._answer: h11.Connection | None = None  # None: no request is waiting for its answer
        self.has_stray_bytes = False

    def on_write(self) -> None:
        """A request, or a further part of it, is being written."""
        if self._answer is None:
            self._answer = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD)
            # the request itself does not matter: no answer to one of the methods in use has no body for its method
            self._answer.send(h11.Request(method="GET", target="/", headers=[("Host", "broker")]))
            self._answer.send(h11.EndOfMessage())

    def on_read(self, data: bytes) -> None:
        """These bytes were read."""
        if self._answer is None:
            self.has_stray_bytes |= bool(data)
            return
        try:
            self._answer.receive_data(data)
            while (event := self._answer.next_event()) not in (h11.NEED_DATA, h11.PAUSED):
                if isinstance(event, h11.EndOfMessage):
                    self.has_stray_bytes |= bool(self._answer.trailing_data[0])
                    self._answer = None
                    return
        except h11.RemoteProtocolError:  # httpcore meets the same error, and closes the connection
            self.has_stray_bytes = True


class CheckedStream(httpcore.AsyncNetworkStream):
    """A connection that says ``is_readable`` as soon as anything unasked for has come, read already or not."""

    def __init__(self, stream: httpcore.AsyncNetworkStream) -> None:
        self._stream = stream
        self._end = AnswerEnd()

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        data = await self._stream.read(max_bytes, timeout)
        self._end.on_read(data)
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._end.on_write()
        await self._stream.write(buffer, timeout)

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.AsyncNetworkStream:
        return CheckedStream(await self._stream.start_tls(ssl_context, server_hostname, timeout))

    def get_extra_info(self, info: str) -> Any:
        found = self._stream.get_extra_info(info)
        if info != "is_readable":
            return found
        return self._end.has_stray_bytes or found or self._has_decrypted_bytes()

    def _has_decrypted_bytes(self) -> bool:
        """Whether the TLS layer holds bytes that no one has read; looking takes one away, which ends the connection."""
        tls = self._stream.get_extra_info("ssl_object")
        if tls is None:
            return False
        try:
            return bool(tls.read(1))
        except ssl.SSLError:  # it wants more from the network, or has ended
            return False


class CheckedBackend(httpcore.AnyIOBackend):
    """Makes the connections."""

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        stream = await super().connect_tcp(host, port, timeout, local_address, socket_options)
        return CheckedStream(stream)


class CheckedTransport(httpx.AsyncHTTPTransport):
    """HTTP/1.1 without retries, over such connections, by ``route``."""

    def __init__(self, *, tls: ssl.SSLContext, limits: httpx.Limits, route: Route) -> None:
        super().__init__(verify=tls, trust_env=False, limits=limits)
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=tls,
            max_connections=limits.max_connections,
            max_keepalive_connections=limits.max_keepalive_connections,
            keepalive_expiry=limits.keepalive_expiry,
            http1=True,
            http2=False,
            retries=0,
            proxy=_proxy(route),
            local_address=route.source_ip or (ANY_IPV4 if route.ipv4_only else None),
            network_backend=CheckedBackend(),
        )


def _proxy(route: Route) -> httpcore.Proxy | None:
    if not route.proxy:
        return None
    parts = urlsplit(route.proxy)
    auth = None if parts.username is None else (unquote(parts.username), unquote(parts.password or ""))
    return httpcore.Proxy(f"http://{parts.netloc.rpartition('@')[2]}", auth=auth)
