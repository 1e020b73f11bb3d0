"""Sends one request to an endpoint and returns what came of it; never raises for what the receiver does.

No redirect is followed, no proxy or cookie is used, and no answer takes longer than ``TOTAL_S``, however slowly its
bytes drip: the bound is on the whole, not on each read.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import httpcore
from loguru import logger

from app.kit.clock import Clock
from app.webhooks.checked_connection import AddressRefused, CheckedConnection, Dialer, TooLarge
from app.webhooks.kept_connections import Connection, KeptConnections
from app.webhooks.model import Answer
from app.webhooks.name_lookup import NameLookup, NameNotFound
from app.webhooks.target import Target, UnusableUrl, parse_target

TOTAL_S = 15.0
MAX_HEADERS = 64
MAX_HEADER_BYTES = 16 * 1024
MAX_BODY_BYTES = 4 * 1024
KEPT_CHARACTERS = 1024
USER_AGENT = "ticker-service-webhooks/1"

Method = Literal["POST", "HEAD"]


class Posting:
    """``send`` sends a request to a URL that ``parse_target`` accepts."""

    def __init__(
        self,
        *,
        names: NameLookup,
        dialer: Dialer,
        tls: ssl.SSLContext,
        clock: Clock,
        kept: KeptConnections,
        allow_loopback: bool,
    ) -> None:
        self._kept = kept
        self._names = names
        self._dialer = dialer
        self._tls = tls
        self._clock = clock
        self._allow_loopback = allow_loopback

    def target(self, url: str) -> Target:
        """Where the URL leads. Raises UnusableUrl."""
        return parse_target(url, allow_loopback=self._allow_loopback)

    async def send(
        self, url: str, *, headers: Mapping[str, str], body: bytes, method: Method = "POST", total_s: float = TOTAL_S
    ) -> Answer:
        """One request; the answer has an ``error`` unless its status is 2xx."""
        begun = self._clock.monotonic()
        try:
            target = self.target(url)
        except UnusableUrl as error:
            return Answer(http_status=None, ms=0, address=None, error="url_refused", body=str(error))
        request = _Request(target=target, method=method, headers=headers, body=body)
        deadline = asyncio.get_running_loop().time() + total_s
        kept = self._kept.take(target) if method == "POST" else None
        found = await self._try(request, kept or self._open(target), deadline=deadline)
        if kept is not None and found.error in _LOST:  # the receiver closed it while it was not used
            found = await self._try(request, self._open(target), deadline=deadline)
        return Answer(
            http_status=found.http_status,
            ms=int((self._clock.monotonic() - begun) * 1000),
            address=found.address,
            error=found.error,
            body=_storable(found.text),
            retry_after_s=found.retry_after_s,
        )

    def _open(self, target: Target) -> Connection:
        """A new connection, which is made with the first request."""
        network = CheckedConnection(
            target, names=self._names, dialer=self._dialer, max_bytes=MAX_HEADER_BYTES + MAX_BODY_BYTES
        )
        pool = httpcore.AsyncConnectionPool(
            ssl_context=self._tls, max_connections=1, max_keepalive_connections=1, network_backend=network
        )
        return Connection(target=target, pool=pool, network=network, opened_s=self._clock.monotonic())

    async def _try(self, request: _Request, connection: Connection, *, deadline: float) -> _Found:
        """One request on one connection, which is kept after a good answer."""
        found = _Found()
        try:
            async with asyncio.timeout_at(deadline):
                await _exchange(request, connection, found)
                found.error = None if 200 <= (found.http_status or 0) < 300 else "http_status"
        except _FAILURES as error:
            found.error, found.text = _kind_of(error), str(error)[:KEPT_CHARACTERS]
        except Exception as error:  # noqa: BLE001 - whatever a receiver provokes is a failed delivery, not ours
            logger.opt(exception=error).error("a request to a webhook failed unexpectedly")
            found.error = "unexpected"
        finally:
            found.address = connection.network.address
            await self._kept.give_back(connection, keep=found.error is None and request.method == "POST")
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class _Request:
    """What is sent."""

    target: Target
    method: Method
    headers: Mapping[str, str]
    body: bytes


@dataclass(slots=True)
class _Found:
    """What came of it so far."""

    http_status: int | None = None
    retry_after_s: float | None = None
    text: str = ""
    error: str | None = "connection_lost"
    address: str | None = None


async def _exchange(request: _Request, connection: Connection, found: _Found) -> None:
    """Send the request and read status, ``Retry-After`` in seconds, and the beginning of the body."""
    target = request.target
    url = httpcore.URL(scheme=target.scheme, host=target.host, port=target.port, target=target.path)
    ours = {"host": _host_header(target), "user-agent": USER_AGENT, "accept-encoding": "identity"}
    sent = [*request.headers.items(), *ours.items()]
    async with connection.pool.stream(request.method, url, headers=sent, content=request.body) as response:
        size = sum(len(name) + len(value) for name, value in response.headers)
        if len(response.headers) > MAX_HEADERS or size > MAX_HEADER_BYTES:
            raise TooLarge("the answer has too many headers")
        retry_after_s, text = _retry_after_s(response), await _first_characters(response)
    found.http_status, found.retry_after_s, found.text = response.status, retry_after_s, text


def _host_header(target: Target) -> str:
    host = f"[{target.host}]" if ":" in target.host else target.host
    return host if target.port == {"http": 80, "https": 443}[target.scheme] else f"{host}:{target.port}"


async def _first_characters(response: httpcore.Response) -> str:
    """What is kept of the body; reading stops at its bound, whatever follows."""
    found = bytearray()
    async for chunk in response.aiter_stream():
        found += chunk
        if len(found) >= MAX_BODY_BYTES:
            break
    return bytes(found[: 4 * KEPT_CHARACTERS]).decode(errors="replace")[:KEPT_CHARACTERS]


def _storable(text: str) -> str:
    """What the receiver made us say, without the characters that PostgreSQL does not store."""
    return text.replace("\x00", "\ufffd").encode(errors="replace").decode()


def _retry_after_s(response: httpcore.Response) -> float | None:
    value = next((value for name, value in response.headers if name.lower() == b"retry-after"), b"")
    return float(value) if value.isdigit() and len(value) <= 6 else None


_LOST = frozenset({"connection_lost", "protocol"})

_FAILURES = (
    TimeoutError, AddressRefused, NameNotFound, TooLarge, ssl.SSLError, httpcore.NetworkError, httpcore.ProtocolError,
    httpcore.TimeoutException, OSError,
)  # fmt: skip


def _kind_of(error: Exception) -> str:
    """The word for a failure, as the delivery log shows it."""
    match error:
        case AddressRefused():
            return "address_refused"
        case NameNotFound():
            return "name_not_found"
        case TooLarge():
            return "too_large"
        case TimeoutError() | httpcore.TimeoutException():
            return "timeout"
        case httpcore.ConnectError() if isinstance(error.__cause__, ssl.SSLError) or "SSL" in str(error):
            return "tls"
        case httpcore.ConnectError():
            return "connect"
        case httpcore.ProtocolError():
            return "protocol"
    return "connection_lost"
