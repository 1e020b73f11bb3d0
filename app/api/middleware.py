"""What happens to every request before and after its route? Plain ASGI, outermost first.

    RequestFrame   request id, log context, access metrics, security headers, and the answer to an unexpected error
    Guard          host and origin, API key and its limit or the address's; then the application knows ``principal``
    BodyLimit      no body is read beyond the bound, declared or not; a smaller one without a key

``Services`` come from the lifespan's state; ``RequestFrame`` works without them too.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Literal, cast

from loguru import logger
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api import problems
from app.api.dependencies import DATABASE_S
from app.api.keys import API_KEY_HEADER, DOCS_PATHS, PROBE_PATHS, is_open_path
from app.api.trusted_names import TrustedNames
from app.errors import NotAuthorised, ServiceError
from app.kit.answer_time import answering_within
from app.kit.clock import elapsed_s

if TYPE_CHECKING:
    from app.api.services import Services

REQUEST_ID_HEADER = "X-Request-Id"
UNMATCHED = "unmatched"
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
SECURITY_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
)
_CONTENT_POLICY = (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'")
_PAGE = "/docs"  # HTML that loads its own scripts; everything else is data


class RequestFrame:
    """``new_id`` makes the id of a request that has none, or one that is not 1-64 of ``[A-Za-z0-9._-]``."""

    def __init__(self, app: ASGIApp, *, new_id: Callable[[], str]) -> None:
        self._app = app
        self._new_id = new_id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        given = _header(scope, REQUEST_ID_HEADER) or ""
        request_id = given if _REQUEST_ID.fullmatch(given) else self._new_id()
        scope.setdefault("state", {}).update(request_id=request_id, arrived_s=elapsed_s())
        with logger.contextualize(request_id=request_id):
            if scope["type"] == "http":
                await self._answer(scope, receive, send, request_id)
            else:
                await self._app(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send, request_id: str) -> None:
        started = time.perf_counter()
        status = 0
        upload = _Upload(receive)

        async def framed_send(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                _frame_headers(message, path=scope["path"], request_id=request_id)
            await send(message)

        try:
            with answering_within(DATABASE_S):
                await self._app(scope, upload.receive, framed_send)
        except asyncio.CancelledError:
            # the service stops and waits no longer; without an answer here the server would answer 500
            logger.warning("{} {} was cancelled by the stop", scope["method"], scope["path"])
            if status == 0:
                response = problems.stopped_problem(method=scope["method"], path=scope["path"], request_id=request_id)
                await response(scope, receive, framed_send)
            else:
                raise
        except ClientDisconnect:
            logger.debug("{} {}: the client disconnected before the body was complete", scope["method"], scope["path"])
        except Exception as error:  # noqa: BLE001 - the outermost frame of a request: nothing above it can answer
            logger.opt(exception=error).error("{} {} failed unexpectedly", scope["method"], scope["path"])
            if status == 0:
                response = problems.internal_problem(path=scope["path"], request_id=request_id)
                await response(scope, receive, framed_send)
        finally:
            _count(scope, status=0 if upload.is_broken_off else status, seconds=time.perf_counter() - started)


class _Upload:
    """The messages of one request. ``is_broken_off``: its client disconnected before the body was complete.

    A framework that reads the body itself answers such a request as one whose body is wrong; nobody gets the answer.
    """

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._is_complete = False
        self.is_broken_off = False

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request":
            self._is_complete = not message.get("more_body", False)
        elif not self._is_complete:
            self.is_broken_off = True
        return message


class Guard:
    """Refuses callers without a valid key, pages of foreign sites, and requests beyond a limit.

    Open paths need no key; WebSockets authenticate with their first message. With ``docs`` open the documentation can
    be read without a key, since a browser cannot send one. A valid key counts against its own limit only, whatever
    others of its address do. Probes count against none, and neither do sockets, whose number is bounded by
    ``connection_limits``.
    """

    def __init__(self, app: ASGIApp, *, trusted: TrustedNames, docs: Literal["open", "closed"]) -> None:
        self._app = app
        self._trusted = trusted
        self._open = DOCS_PATHS if docs == "open" else frozenset()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        services = _services(scope)
        try:
            await self._check(services, scope)
        except ServiceError as error:
            await _refuse(error, scope, receive, send)
            return
        await self._app(scope, receive, send)

    async def _check(self, services: Services, scope: Scope) -> None:
        principal = services.api_keys.authenticate(_header(scope, API_KEY_HEADER))
        is_probe = scope["path"] in PROBE_PATHS
        if not is_probe:
            method = scope.get("method", "CONNECT")
            self._trusted.check(host=_header(scope, "host"), origin=_header(scope, "origin"), method=method)
        if principal is None and not is_probe and scope["type"] == "http":
            services.rate_limits.check_address(_address(scope))
        if principal is not None:
            show_key(scope)
        if scope["type"] != "http" or is_probe or self._is_open(scope["path"]):
            return
        if principal is None:
            raise NotAuthorised(f"a valid {API_KEY_HEADER} header is needed")
        scope["state"]["principal"] = principal
        await services.rate_limits.check(principal.key_id, method=scope["method"], path=scope["path"])

    def _is_open(self, path: str) -> bool:
        return is_open_path(path) or path in self._open


class BodyLimit:
    """Answers 413 to a body beyond the bound: at once where its length is declared, else when it grows beyond it.

    ``keyless_bytes`` is the bound of a request without a valid key.
    """

    def __init__(self, app: ASGIApp, *, max_bytes: int, keyless_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._keyless_bytes = min(keyless_bytes, max_bytes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        max_bytes = self._max_bytes if "principal" in scope["state"] else self._keyless_bytes
        declared = _header(scope, "content-length") or "0"
        if declared.isdecimal() and int(declared) > max_bytes:
            await _too_large(scope, max_bytes)(scope, receive, send)
            return
        seen = 0

        async def bounded_receive() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > max_bytes:
                raise HTTPException(413, detail=_too_large_sentence(max_bytes))
            return message

        await self._app(scope, bounded_receive, send)


def show_key(scope: Scope) -> None:
    """Tell the connection that its client has a valid key: it makes way for no other connection any more."""
    place = scope["state"].get("connection")
    if place is not None:
        place.show_key()


def _too_large_sentence(max_bytes: int) -> str:
    return f"the body is larger than {max_bytes} bytes"


def _too_large(scope: Scope, max_bytes: int) -> Response:
    sentence, request_id = _too_large_sentence(max_bytes), scope["state"]["request_id"]
    return problems.plain_problem(HTTPStatus(413), detail=sentence, path=scope["path"], request_id=request_id)


def _frame_headers(message: Message, *, path: str, request_id: str) -> None:
    """Add our headers to those of the route, whose own win. Raw pairs, because this runs for every answer."""
    headers = list(message.get("headers", ()))
    present = {name for name, _ in headers}
    headers += [pair for pair in SECURITY_HEADERS if pair[0] not in present]
    if path != _PAGE and _CONTENT_POLICY[0] not in present:
        headers.append(_CONTENT_POLICY)
    headers.append((REQUEST_ID_HEADER.lower().encode(), request_id.encode()))
    message["headers"] = headers


def _header(scope: Scope, name: str) -> str | None:
    """The first value of a header; names in a scope are lower-case."""
    wanted = name.lower().encode()
    return next((value.decode("latin-1") for key, value in scope["headers"] if key == wanted), None)


def _count(scope: Scope, *, status: int, seconds: float) -> None:
    """Count the request; ``status`` 0 (the client disconnected before an answer) counts as 499, as proxies do."""
    services = scope["state"].get("services")
    if services is None:
        return
    route = getattr(scope.get("route"), "path", UNMATCHED)
    services.metrics.count_request(method=scope["method"], route=route, status=status or 499, seconds=seconds)


async def _refuse(error: ServiceError, scope: Scope, receive: Receive, send: Send) -> None:
    """A problem for a request; for a WebSocket a close before it is accepted, which clients see as 403."""
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1013, "reason": error.code.lower()})
        return
    response = problems.render(error, path=scope["path"], request_id=scope["state"]["request_id"])
    await response(scope, receive, send)


def _services(scope: Scope) -> Services:
    return cast("Services", scope["state"]["services"])


def _address(scope: Scope) -> str:
    client: tuple[Any, ...] | None = scope.get("client")
    return str(client[0]) if client else "unknown"
