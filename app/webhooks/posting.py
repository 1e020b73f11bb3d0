"""Sends one request to an endpoint and returns what came of it; never raises for what the receiver does.

No redirect is followed, no proxy or cookie is used, and no answer takes longer than ``TOTAL_S``, however slowly its
bytes drip: the bound is on the whole, not on each read.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from typing import Literal

import httpcore
from loguru import logger

from app.kit.clock import Clock
from app.webhooks.checked_connection import AddressRefused, CheckedConnection, Dialer, TooLarge
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
        self, *, names: NameLookup, dialer: Dialer, tls: ssl.SSLContext, clock: Clock, allow_loopback: bool
    ) -> None:
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
        connection = CheckedConnection(
            target, names=self._names, dialer=self._dialer, max_bytes=MAX_HEADER_BYTES + MAX_BODY_BYTES
        )
        status: int | None = None
        text, error_kind, retry_after_s = "", None, None
        try:
            async with asyncio.timeout(total_s):
                status, retry_after_s, text = await self._exchange(connection, target, method, headers, body)
                error_kind = None if 200 <= status < 300 else "http_status"
        except _FAILURES as error:
            error_kind, text = _kind_of(error), str(error)[:KEPT_CHARACTERS]
        except Exception as error:  # noqa: BLE001 - whatever a receiver provokes is a failed delivery, not ours
            logger.opt(exception=error).error("a request to a webhook failed unexpectedly")
            error_kind = "unexpected"
        return Answer(
            http_status=status,
            ms=int((self._clock.monotonic() - begun) * 1000),
            address=connection.address,
            error=error_kind,
            body=_storable(text),
            retry_after_s=retry_after_s,
        )

    async def _exchange(
        self, connection: CheckedConnection, target: Target, method: Method, headers: Mapping[str, str], body: bytes
    ) -> tuple[int, float | None, str]:
        """Status, ``Retry-After`` in seconds, and the beginning of the body."""
        url = httpcore.URL(scheme=target.scheme, host=target.host, port=target.port, target=target.path)
        ours = {"host": _host_header(target), "user-agent": USER_AGENT, "accept-encoding": "identity"}
        sent = [*headers.items(), *ours.items()]
        async with (
            httpcore.AsyncConnectionPool(
                ssl_context=self._tls, max_keepalive_connections=0, network_backend=connection
            ) as pool,
            pool.stream(method, url, headers=sent, content=body) as response,
        ):
            size = sum(len(name) + len(value) for name, value in response.headers)
            if len(response.headers) > MAX_HEADERS or size > MAX_HEADER_BYTES:
                raise TooLarge("the answer has too many headers")
            return response.status, _retry_after_s(response), await _first_characters(response)


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
