"""The depository's authorisation of sales: started by the app, given by the user in the browser.

An account without consent (`demat_consent` empty) has its sales of delivered shares refused with 428 until then. The
page asks no questions here.
"""

import hashlib
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from simulator.envelope import read_body, success
from simulator.errors import input_error
from simulator.exchange.accounts.portfolio import Authorisation
from simulator.exchange.entry.parameters import read_integer
from simulator.exchange.exchange import Exchange
from simulator.formats import format_time
from simulator.rest.auth import Guard
from simulator.rest.portfolio import isin_of

PAGE: Final = "/connect/portfolio/authorise/holdings"
MAX_STARTED: Final = 1_000
"""Authorisations that were started and not given; a further one ends all of them."""


class AuthorisationRoutes:
    """Kite's routes of the authorisation. `user_of_key` says whose an API key is."""

    def __init__(
        self,
        *,
        exchange: Exchange,
        guard: Guard,
        now: Callable[[], datetime],
        user_of_key: Callable[[str], str | None],
    ) -> None:
        self._exchange = exchange
        self._guard = guard
        self._now = now
        self._user_of_key = user_of_key
        self._started: dict[str, tuple[Authorisation, ...]] = {}

    def routes(self) -> list[Route]:
        return [
            Route("/portfolio/holdings/authorise", self._guard.signed_in(self.start), methods=["POST"]),
            Route(PAGE + "/{api_key}/{request_id}", self.give, methods=["GET"]),
            Route(PAGE + "/{api_key}/{request_id}/finish", self.finish, methods=["GET"]),
        ]

    async def start(self, request: Request, user_id: str) -> Response:
        """`isin` and `quantity` may be repeated in pairs; without them it is for all holdings."""
        body = await read_body(request)
        fields = parse_qsl(body.decode("utf-8", errors="replace"))
        wanted = self._wanted(user_id, fields)
        digest = hashlib.sha256(f"{user_id}:{format_time(self._now())}:".encode() + body).hexdigest()[:32]
        if len(self._started) >= MAX_STARTED:
            self._started.clear()
        self._started[digest] = wanted
        return success({"request_id": digest})

    async def give(self, request: Request) -> Response:
        """The user's page: the sales are authorised for today."""
        names: Mapping[str, str] = request.path_params
        wanted = self._started.get(names["request_id"])
        owner = self._user_of_key(names["api_key"])
        known = wanted is not None and owner is not None and all(each.user_id == owner for each in wanted)
        if wanted is not None and known:
            del self._started[names["request_id"]]
            self._exchange.authorise(wanted)
        outcome = "success" if known else "error"
        return RedirectResponse(f"{request.url.path}/finish?status={outcome}", status_code=302)

    async def finish(self, request: Request) -> Response:
        """Where the browser ends; an app watches for this address."""
        given = request.query_params.get("status") == "success"
        return HTMLResponse("<p>The sales are authorised.</p>" if given else "<p>Nothing was authorised.</p>")

    def _wanted(self, user_id: str, fields: list[tuple[str, str]]) -> tuple[Authorisation, ...]:
        holdings = self._exchange.portfolios[user_id].holdings.values()
        isins = [value for name, value in fields if name == "isin"]
        quantities = [value for name, value in fields if name == "quantity"]
        if len(isins) != len(quantities):
            raise input_error("Each `isin` needs a `quantity`.")
        pairs = {
            isin: read_integer({"quantity": quantity}, "quantity", minimum=1)
            for isin, quantity in zip(isins, quantities, strict=True)
        }
        if not pairs:
            pairs = {isin_of(holding.instrument): holding.quantity for holding in holdings}
        return tuple(
            Authorisation(user_id, holding.instrument.exchange, holding.instrument.tradingsymbol, pairs[isin])
            for holding in holdings
            if (isin := isin_of(holding.instrument)) in pairs
        )
