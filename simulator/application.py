"""The ASGI application of a simulator: its routes, errors in Kite's envelope, and the middleware around them."""

import time

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute
from starlette.types import ASGIApp

from simulator.envelope import failure
from simulator.errors import KiteError, method_not_allowed, route_not_found
from simulator.exchange.accounts.users import Accounts
from simulator.exchange.exchange import Exchange
from simulator.faults.middleware import FaultMiddleware
from simulator.faults.registry import FaultRegistry
from simulator.rate_limits import Traffic
from simulator.rest.request_limits import ArrivalMiddleware, Caller, LimitMiddleware

GZIP_FROM_BYTES = 1_000


def create_application(routes: list[BaseRoute]) -> ASGIApp:
    """The routes with gzip, and every error in Kite's envelope."""
    application = Starlette(
        routes=routes,
        exception_handlers={
            KiteError: answer_kite_error,
            HTTPException: answer_http_error,
            ClientDisconnect: answer_disconnected,
        },
    )
    application.router.redirect_slashes = False
    return GZipMiddleware(application, minimum_size=GZIP_FROM_BYTES, compresslevel=1)


def wrap(
    app: ASGIApp, *, exchange: Exchange, accounts: Accounts, traffic: Traffic, faults: FaultRegistry
) -> tuple[FaultMiddleware, ASGIApp]:
    """The application with its middleware; from the outside: arrival counts, faults, limits."""

    def tag_of_order(order_id: str) -> str | None:
        order = exchange.book.find(order_id)
        return order.request.tag if order else None

    caller = Caller(accounts.user_of_key)
    limited = LimitMiddleware(app, traffic=traffic, caller=caller, wall=time.time)
    faulty = FaultMiddleware(limited, registry=faults, user_of=caller.user, tag_of_order=tag_of_order)
    return faulty, ArrivalMiddleware(faulty, traffic=traffic, caller=caller, wall=time.time)


async def answer_kite_error(_request: Request, error: Exception) -> Response:
    """A refusal in Kite's envelope."""
    if not isinstance(error, KiteError):
        raise error
    return failure(error)


async def answer_http_error(_request: Request, error: Exception) -> Response:
    """Starlette's 404 and 405 in Kite's envelope."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    if status == 404:
        return failure(route_not_found())
    if status == 405:
        return failure(method_not_allowed())
    return failure(KiteError("Something unexpected happened.", status=status, error_type="GeneralException"))


async def answer_disconnected(_request: Request, _error: Exception) -> Response:
    """The client closed the connection during its request; the answer is not sent."""
    return failure(KiteError("Client closed the request.", status=400, error_type="NetworkException"))
