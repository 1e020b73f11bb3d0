"""The httpx clients towards Kite: one that sends orders at most once, and those that read.

The order client guarantees: HTTP/1.1, no retry, no redirect, no proxy but the one that is set, a total bound for each
request, and the knowledge whether a byte of the request can have left (httpcore's trace extension reports
``send_request_headers.started`` before the first write). A cancelled caller gets its CancelledError. No client uses a
connection again on which more came than was asked for.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC
from email.utils import parsedate_to_datetime
from functools import cache
from typing import Any, TypeAlias

import httpx
from pydantic import SecretStr

from app.broker.port import Credentials, CredentialSource
from app.errors import BrokerError, BrokerUnavailable, SessionExpired
from app.kit.answer_time import seconds_left
from app.kit.clock import Clock
from app.kite.endpoints import BOOK_ENDPOINTS, CLIENT_HEADERS, READ_OUTCOMES, Endpoint
from app.kite.route import DIRECT, Route
from app.kite.tokens import TokenObserver
from app.kite.unread_bytes import CheckedTransport
from app.kite.wire.envelope import parse_envelope, read_data, read_error
from app.kite.wire.outcome import Observation, Response, TransportFailure

MIB = 1024 * 1024
ORDER_ANSWER_LIMIT = MIB
JSON_LIMIT = 16 * MIB  # a day's order book of the busiest account is a tenth of it
DUMP_LIMIT = 64 * MIB  # the whole instruments dump is about 10 MiB of CSV
TOO_LARGE = "BodyTooLarge"
MOST_OFFSET_S = 86_400.0
"""A ``Date`` further away is no clock: an order of any time would count as placed after its send."""
SHOWN_ERRORS = (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, OSError, TimeoutError, UnicodeError)
"""Failures of the transport. UnicodeError: an access token that no header can carry."""

Query: TypeAlias = Mapping[str, str] | Sequence[tuple[str, str]]
Observer: TypeAlias = Callable[[str, str, float], None]
"""Called after each request with endpoint, outcome and seconds; both texts come from closed lists."""


@cache
def tls_context() -> ssl.SSLContext:
    """The authorities of certifi, whatever the environment variables say."""
    return httpx.create_ssl_context(trust_env=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpSettings:
    """Where the broker is and how long requests may take, in seconds.

    ``tls`` is one context for every client of the process: loading the authorities takes 20 ms and a megabyte.
    """

    base_url: str  # https://api.kite.trade
    tls: ssl.SSLContext = field(default_factory=tls_context, repr=False)
    route: Route = DIRECT
    order_connect_s: float = 2.0  # until a connection for an order request is made
    order_total_s: float = 8.0  # for an order request as a whole; after that it is in doubt
    read_connect_s: float = 4.0  # until a connection for a read is made
    read_total_s: float = 15.0  # for a read as a whole
    dump_total_s: float = 120.0  # for the instruments dump as a whole


class KiteHttp:
    """The clients, the headers, and what they learn about the broker's clock.

    Orders, the order book and everything else have connections of their own, so that other reads that hang cannot keep
    the book from being read. ``observe`` is called after each request, ``tokens`` learns whether the broker takes the
    token of one; ``clock_offset_s`` is the broker's clock minus
    this one, None before the first answer.
    """

    def __init__(
        self,
        settings: HttpSettings,
        *,
        credentials: CredentialSource,
        clock: Clock,
        observer: Observer,
        tokens: TokenObserver,
    ) -> None:
        self._settings = settings
        self._credentials = credentials
        self._clock = clock
        self.observe = observer
        self.tokens = tokens
        orders = _timeout(settings.order_total_s, connect_s=settings.order_connect_s)
        reads = _timeout(settings.read_total_s, connect_s=settings.read_connect_s)
        self._orders = _client(settings, connections=20, timeout=orders)
        self._reads = _client(settings, connections=10, timeout=reads)
        self._book = _client(settings, connections=4, timeout=reads)
        self.clock_offset_s: float | None = None
        # httpx writes every URL at INFO, and the URL of a log-out carries the access token
        logging.getLogger("httpx").setLevel(logging.WARNING)

    async def close(self) -> None:
        await self._orders.aclose()
        await self._reads.aclose()
        await self._book.aclose()

    def credentials(self) -> Credentials:
        """What the account presents at this moment."""
        return self._credentials()

    async def send(
        self, method: str, path: str, *, form: Query | None = None, query: Query | None = None
    ) -> Observation:
        """One order request, at most once. Raises nothing but CancelledError: what happened is the value."""
        trace = _SendTrace()
        try:
            credentials = self._credentials()
            headers = _authorization(credentials.api_key, credentials.access_token)
            request = self._build(self._orders, method, path, form=form, query=query, headers=headers)
            request.extensions["trace"] = trace
            async with asyncio.timeout(self._settings.order_total_s):
                response = await self._orders.send(request, stream=True)
                try:
                    body = await _read_bounded(response, limit=ORDER_ANSWER_LIMIT)
                finally:
                    await response.aclose()
        except SHOWN_ERRORS as error:
            return TransportFailure(kind=type(error).__name__, maybe_sent=trace.started)
        self._learn_time(response)
        if body is None:
            return TransportFailure(kind=TOO_LARGE, maybe_sent=True)
        return Response(status=response.status_code, body=body)

    async def read(
        self,
        endpoint: Endpoint,
        path: str,
        *,
        method: str = "GET",
        query: Query | None = None,
        form: Query | None = None,
        json: Any = None,
        token: SecretStr | None = None,
    ) -> Any:
        """``data`` of one call without side effect on orders. Raises BrokerError; never retries.

        ``token`` instead of the one in force; what the answer says of it is the caller's to remember.
        """
        # the exchange of a request token proves itself by its checksum; yesterday's token would only confuse it
        client = self._book if endpoint in BOOK_ENDPOINTS else self._reads
        credentials = self._credentials()
        present = None if endpoint is Endpoint.LOGIN else credentials.access_token
        headers = _authorization(credentials.api_key, token or present)
        async with (
            self._observed(endpoint, None if token else present),
            self._transport_errors(total_s=self._settings.read_total_s),
        ):
            request = self._build(client, method, path, query=query, form=form, json=json, headers=headers)
            response = await client.send(request, stream=True)
            try:
                body = await _read_bounded(response, limit=JSON_LIMIT)
            finally:
                await response.aclose()
            self._learn_time(response)
            if body is None:
                raise BrokerUnavailable(f"the broker's answer is larger than {JSON_LIMIT // MIB} MiB")
            return read_data(body, status=response.status_code)

    async def download(self, endpoint: Endpoint, path: str) -> bytes:
        """A text answer (the instruments dump) as bytes, at most 64 MiB. Raises BrokerError."""
        credentials = self._credentials()
        token = credentials.access_token
        async with self._observed(endpoint, token), self._transport_errors(total_s=self._settings.dump_total_s):
            request = self._build(self._reads, "GET", path, headers=_authorization(credentials.api_key, token))
            response = await self._reads.send(request, stream=True)
            try:
                body = await _read_bounded(response, limit=DUMP_LIMIT)
            finally:
                await response.aclose()
            self._learn_time(response)
            if body is None:
                raise BrokerUnavailable(f"the broker's dump is larger than {DUMP_LIMIT // MIB} MiB")
            if response.status_code != 200:
                raise read_error(parse_envelope(body), status=response.status_code)
            return body

    def _build(
        self,
        client: httpx.AsyncClient,
        method: str,
        path: str,
        *,
        form: Query | None = None,
        query: Query | None = None,
        json: Any = None,
        headers: Mapping[str, str],
    ) -> httpx.Request:
        return client.build_request(
            method,
            path,
            params=_pairs(query),
            data=None if form is None else dict(form),
            json=json,
            headers=headers,
        )

    @asynccontextmanager
    async def _observed(self, endpoint: Endpoint, token: SecretStr | None) -> AsyncIterator[None]:
        started = time.perf_counter()
        outcome = "cancelled"
        try:
            yield
            outcome = "ok"
            if token is not None:
                self.tokens.accepted(token)
        except BrokerError as error:
            outcome = READ_OUTCOMES[type(error)]
            if token is not None and isinstance(error, SessionExpired):
                self.tokens.refused(token)
            raise
        finally:
            self.observe(endpoint, outcome, time.perf_counter() - started)

    @asynccontextmanager
    async def _transport_errors(self, *, total_s: float) -> AsyncIterator[None]:
        total_s = min(total_s, seconds_left())  # a read for a request ends before the request must be answered
        try:
            async with asyncio.timeout(total_s):
                yield
        except TimeoutError as error:
            raise BrokerUnavailable(f"the broker did not answer within {total_s:.3g} s") from error
        except SHOWN_ERRORS as error:
            # the exception's own text may repeat the URL; its type says enough
            raise BrokerUnavailable(f"the broker cannot be reached: {type(error).__name__}") from error

    def _learn_time(self, response: httpx.Response) -> None:
        """The broker's ``Date`` is cut to whole seconds: on average its clock is half a second further."""
        try:
            broker = parsedate_to_datetime(response.headers.get("date", ""))
        except (ValueError, OverflowError):
            return
        aware = broker if broker.tzinfo else broker.replace(tzinfo=UTC)
        offset_s = aware.timestamp() + 0.5 - self._clock.now().timestamp()
        if abs(offset_s) <= MOST_OFFSET_S:
            self.clock_offset_s = offset_s


def _authorization(api_key: str, token: SecretStr | None) -> dict[str, str]:
    return {} if token is None else {"Authorization": f"token {api_key}:{token.get_secret_value()}"}


class _SendTrace:
    """httpcore's trace hook: remembers whether writing the request was begun."""

    def __init__(self) -> None:
        self.started = False

    async def __call__(self, event: str, info: Mapping[str, Any]) -> None:
        if event.endswith(".send_request_headers.started") and info["request"].method != b"CONNECT":
            self.started = True  # a proxy that is asked for a tunnel has nothing of the order yet


def _timeout(total_s: float, *, connect_s: float) -> httpx.Timeout:
    return httpx.Timeout(total_s, connect=connect_s, pool=connect_s)


def _client(settings: HttpSettings, *, connections: int, timeout: httpx.Timeout) -> httpx.AsyncClient:
    limits = httpx.Limits(max_connections=connections, max_keepalive_connections=connections, keepalive_expiry=5.0)
    return httpx.AsyncClient(
        base_url=settings.base_url,
        transport=CheckedTransport(tls=settings.tls, limits=limits, route=settings.route),
        trust_env=False,
        follow_redirects=False,
        timeout=timeout,
        headers=CLIENT_HEADERS,
    )


def _pairs(query: Query | None) -> list[tuple[str, str | int | float | bool | None]] | None:
    if query is None:
        return None
    return list(query.items()) if isinstance(query, Mapping) else list(query)


async def _read_bounded(response: httpx.Response, *, limit: int) -> bytes | None:
    """The decoded body, or None once it is longer than ``limit``."""
    chunks: list[bytes] = []
    size = 0
    async for chunk in response.aiter_bytes():
        size += len(chunk)
        if size > limit:
            return None
        chunks.append(chunk)
    return b"".join(chunks)
