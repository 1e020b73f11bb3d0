"""Middleware that counts requests and enforces their limits: counted before the faults, limited after them."""

from collections.abc import Callable

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from simulator.envelope import failure
from simulator.errors import too_many_orders, too_many_requests
from simulator.rate_limits import RequestClass, Traffic, classify
from simulator.rest.auth import parse_authorization

UserOfKey = Callable[[str], str | None]


class Caller:
    """Says for whom a request counts: the account for orders, the API key for all other classes."""

    def __init__(self, user_of_key: UserOfKey) -> None:
        self._user_of_key = user_of_key

    def user(self, request: Request) -> str | None:
        """The user of the API key in the header, whether or not the session is valid."""
        credentials = parse_authorization(request.headers.get("authorization"))
        return self._user_of_key(credentials[0]) if credentials else None

    def name(self, request: Request, request_class: RequestClass) -> str:
        """The name under which a request is counted."""
        credentials = parse_authorization(request.headers.get("authorization"))
        if credentials is None:
            return "anonymous"
        user_id = self._user_of_key(credentials[0])
        if user_id is None:
            return "unknown"  # one name for all unknown keys, so that invented ones do not fill the tables
        return user_id if request_class == "order" else credentials[0]


class ArrivalMiddleware:
    """Counts each request when it comes in."""

    def __init__(self, app: ASGIApp, *, traffic: Traffic, caller: Caller, wall: Callable[[], float]) -> None:
        self._app = app
        self._traffic = traffic
        self._caller = caller
        self._wall = wall

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request_class = classify(scope["method"], scope["path"]) if scope["type"] == "http" else None
        if request_class is not None:
            name = self._caller.name(Request(scope), request_class)
            self._traffic.arrive(request_class, name, now=self._wall())
        await self._app(scope, receive, send)


class LimitMiddleware:
    """Answers 429 above a limit. A request that a fault drops before does not reach the broker, and does not count."""

    def __init__(self, app: ASGIApp, *, traffic: Traffic, caller: Caller, wall: Callable[[], float]) -> None:
        self._app = app
        self._traffic = traffic
        self._caller = caller
        self._wall = wall

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request_class = classify(scope["method"], scope["path"]) if scope["type"] == "http" else None
        if request_class is not None:
            name = self._caller.name(Request(scope), request_class)
            verdict = self._traffic.admit(request_class, name, now=self._wall())
            if verdict != "allowed":
                error = too_many_requests() if verdict == "too_fast" else too_many_orders()
                await failure(error)(scope, receive, send)
                return
        await self._app(scope, receive, send)
