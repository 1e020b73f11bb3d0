"""Faults of the connection, around the application: what a client's socket sees instead of an answer.

Every `delay` takes effect first, then the first fault that ends the request. Faults of orders and books are attached to
the request; the routes read them with `faults_of`.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from simulator.envelope import failure, read_body
from simulator.errors import KiteError, order_timed_out
from simulator.faults.registry import Fault, FaultRegistry, MatchFacts
from simulator.transport import drop, reset, transport_of, wait_for_disconnect

STATE_KEY: Final = "simulator.faults"
CONTROL_PREFIX: Final = "/_sim"
MAX_DELAYED: Final = 10_000
"""Requests that may wait to be processed after they were answered; further ones are processed first."""
HTML: Final = b"<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>"

IdentifyUser = Callable[[Request], str | None]
FindTag = Callable[[str], str | None]


@dataclass(slots=True)
class Captured:
    """An answer that the client does not get, or gets changed."""

    status: int = 500
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: bytearray = field(default_factory=bytearray)

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = list(message.get("headers", []))
        elif message["type"] == "http.response.body":
            self.body += message.get("body", b"")

    def head(self) -> bytes:
        """Status line and headers as HTTP/1.1 writes them, without the empty line."""
        phrase = HTTPStatus(self.status).phrase
        lines = [f"HTTP/1.1 {self.status} {phrase}\r\n".encode()]
        lines += [name + b": " + value + b"\r\n" for name, value in self.headers]
        return b"".join(lines)


def faults_of(request: Request) -> list[Fault]:
    """The faults of order and book that strike this request."""
    found: list[Fault] = request.scope.get(STATE_KEY, [])
    return found


class FaultMiddleware:
    """Wraps the application. `user_of` gives the user of a request, `tag_of_order` the tag of an order id."""

    def __init__(self, app: ASGIApp, *, registry: FaultRegistry, user_of: IdentifyUser, tag_of_order: FindTag) -> None:
        self._app = app
        self._registry = registry
        self._user_of = user_of
        self._tag_of_order = tag_of_order
        self._delayed: set[asyncio.Task[None]] = set()
        self._ending_faults: dict[str, Callable[[Fault, Scope, Receive, Send], Awaitable[None]]] = {
            "drop_before_read": self._drop_before_read,
            "drop_after_accept": self._drop_after_accept,
            "hang": self._hang,
            "reset": self._reset,
            "half_headers": self._half_headers,
            "half_body": self._half_body,
            "html_200": self._html,
            "status": self._status,
            "timeout_400_then_placed": self._timeout_then_place,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith(CONTROL_PREFIX) or not self._registry.active():
            await self._app(scope, receive, send)
            return
        facts, receive = await self._read_facts(scope, receive)
        struck = self._registry.take(facts, "connection", "order", "book")
        scope[STATE_KEY] = [fault for fault in struck if fault.target != "connection"]
        endings = [fault for fault in struck if fault.kind in self._ending_faults]
        pause_ms = sum(fault.number("ms") for fault in struck if fault.kind == "delay")
        if pause_ms:
            await asyncio.sleep(pause_ms / 1000)
        if endings:
            await self._ending_faults[endings[0].kind](endings[0], scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def stop(self) -> None:
        """Cancels the requests that wait to be processed."""
        for task in self._delayed:
            task.cancel()
        await asyncio.gather(*self._delayed, return_exceptions=True)

    async def _read_facts(self, scope: Scope, receive: Receive) -> tuple[MatchFacts, Receive]:
        request = Request(scope, receive)
        method, path = scope["method"], scope["path"]
        tag = None
        if self._registry.needs_tag(method, path):
            tag = self._tag_of_order(path.rpartition("/")[2])
            if tag is None:
                body = await read_body(request)
                tag = parse_qs(body.decode("utf-8", errors="replace")).get("tag", [None])[-1]
                receive = replaying(body, receive)
        address = None if request.client is None else request.client.host
        facts = MatchFacts(method=method, path=path, user_id=self._user_of(request), tag=tag, address=address)
        return facts, receive

    async def _run(self, scope: Scope, receive: Receive) -> Captured:
        captured = Captured()
        await self._app(scope, receive, captured.send)
        return captured

    async def _run_if_processed(self, fault: Fault, scope: Scope, receive: Receive) -> Captured | None:
        return await self._run(scope, receive) if fault.params["process"] else None

    async def _drop_before_read(self, _fault: Fault, scope: Scope, receive: Receive, _send: Send) -> None:
        await drop(scope, receive)

    async def _drop_after_accept(self, _fault: Fault, scope: Scope, receive: Receive, _send: Send) -> None:
        await self._run(scope, receive)
        await drop(scope, receive)

    async def _reset(self, _fault: Fault, scope: Scope, receive: Receive, _send: Send) -> None:
        await reset(scope, receive)

    async def _hang(self, fault: Fault, scope: Scope, receive: Receive, _send: Send) -> None:
        await self._run_if_processed(fault, scope, receive)
        try:
            async with asyncio.timeout(fault.number("ms") / 1000):
                await wait_for_disconnect(receive)
        except TimeoutError:
            await drop(scope, receive)

    async def _half_headers(self, fault: Fault, scope: Scope, receive: Receive, _send: Send) -> None:
        head = (await self._answer_to_cut(fault, scope, receive)).head()
        transport_of(scope).write(head[: len(head) // 2])
        await drop(scope, receive)

    async def _half_body(self, fault: Fault, scope: Scope, receive: Receive, _send: Send) -> None:
        answer = await self._answer_to_cut(fault, scope, receive)
        body = bytes(answer.body)
        transport_of(scope).write(answer.head() + b"\r\n" + body[: len(body) // 2])
        await drop(scope, receive)

    async def _answer_to_cut(self, fault: Fault, scope: Scope, receive: Receive) -> Captured:
        captured = await self._run_if_processed(fault, scope, receive)
        if captured is not None:
            return captured
        response = failure(order_timed_out())
        return Captured(status=200, headers=response.raw_headers, body=bytearray(response.body))

    async def _html(self, fault: Fault, scope: Scope, receive: Receive, send: Send) -> None:
        await self._run_if_processed(fault, scope, receive)
        response = Response(HTML, status_code=fault.number("code"), media_type="text/html")
        await response(scope, receive, send)

    async def _status(self, fault: Fault, scope: Scope, receive: Receive, send: Send) -> None:
        await self._run_if_processed(fault, scope, receive)
        error = KiteError(fault.text("message"), status=fault.number("code"), error_type=fault.text("error_type"))
        await failure(error)(scope, receive, send)

    async def _timeout_then_place(self, fault: Fault, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers 400 now and processes the request `after_ms` later, when no client waits for it."""
        body = await read_body(Request(scope, receive))
        delay = fault.number("after_ms") / 1000
        if delay == 0 or len(self._delayed) >= MAX_DELAYED:
            await self._run(scope, replaying(body, receive))
        else:
            task = asyncio.create_task(self._run_delayed(dict(scope), body, delay=delay))
            self._delayed.add(task)
            task.add_done_callback(self._delayed.discard)
        await failure(order_timed_out())(scope, receive, send)

    async def _run_delayed(self, scope: Scope, body: bytes, *, delay: float) -> None:
        await asyncio.sleep(delay)
        await self._run(scope, replaying(body, disconnected))


async def disconnected() -> Message:
    """A `receive` of a client that is gone."""
    return {"type": "http.disconnect"}


def replaying(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives `body` again, and then what the connection receives."""
    pending: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return pending.pop() if pending else await receive()

    return replay
