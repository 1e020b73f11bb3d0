"""Which methods does a path answer to? HEAD where it answers to GET, and 405 with all of them for any other.

A path that is written out, such as ``/subscriptions/bulk``, is never taken for a value of one with parameters.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from http import HTTPStatus

from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.problems import METHOD_SENTENCE, plain_problem


class HeadAsGet:
    """Answers HEAD with the head of GET's answer, and does not wait for the rest of one that goes on for ever."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return
        has_answered = False

        async def send_head(message: Message) -> None:
            nonlocal has_answered
            if has_answered:
                return
            await send(message)
            if message["type"] == "http.response.start":
                has_answered = True
                await send({"type": "http.response.body", "body": b""})

        async def receive_until_answered() -> Message:
            return {"type": "http.disconnect"} if has_answered else await receive()

        await self._app({**scope, "method": "GET"}, receive_until_answered, send_head)


class PathMethods:
    """The methods of every path of an application; ``read`` fills it once all routes are there."""

    def __init__(self) -> None:
        self._written: dict[str, set[str]] = {}
        self._with_parameters: list[tuple[re.Pattern[str], set[str]]] = []

    def read(self, routes: Iterable[BaseRoute]) -> None:
        """Take over these routes of an application."""
        for route in routes:
            if not isinstance(route, Route) or not route.methods:
                continue
            methods = route.methods | ({"HEAD"} if "GET" in route.methods else set())
            if "{" in route.path:
                self._with_parameters.append((route.path_regex, methods))
            else:
                self._written.setdefault(route.path, set()).update(methods)

    def of_written(self, path: str) -> set[str] | None:
        """The methods of a path that is written out; None for any other."""
        return self._written.get(path)

    def of(self, path: str) -> set[str]:
        """All methods of the routes that this path leads to."""
        written = self._written.get(path)
        if written is not None:
            return written
        return set().union(*(methods for pattern, methods in self._with_parameters if pattern.match(path)))


class MethodCheck:
    """Answers 405 for a written path without the method, and gives every 405 the path's whole ``Allow``."""

    def __init__(self, app: ASGIApp, *, methods: PathMethods) -> None:
        self._app = app
        self._methods = methods

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path = scope["path"]
        written = self._methods.of_written(path)
        if written is not None and scope["method"] not in written:
            answer = plain_problem(
                HTTPStatus.METHOD_NOT_ALLOWED,
                detail=METHOD_SENTENCE,
                path=path,
                request_id=scope["state"]["request_id"],
                headers={"Allow": ", ".join(sorted(written))},
            )
            await answer(scope, receive, send)
            return

        async def send_with_allow(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] == HTTPStatus.METHOD_NOT_ALLOWED:
                kept = [pair for pair in message["headers"] if pair[0] != b"allow"]
                message["headers"] = [*kept, (b"allow", ", ".join(sorted(self._methods.of(path))).encode())]
            await send(message)

        await self._app(scope, receive, send_with_allow)
