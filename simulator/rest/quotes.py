"""`/quote`, `/quote/ohlc`, `/quote/ltp` and the legacy `/instruments/trigger_range`."""

import asyncio
from collections.abc import Callable
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Literal

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from simulator.envelope import plain_success, success
from simulator.errors import input_error, missing_field, route_not_found
from simulator.formats import to_number
from simulator.market.instrument import Instrument
from simulator.market.market import Market
from simulator.market.quote_json import full_value, ltp_value, ohlc_value
from simulator.market.state import State
from simulator.rest.auth import Endpoint, Guard

MAX_FULL_QUOTES = 500
MAX_SHORT_QUOTES = 1_000
VALUES_AT_ONCE = 50
"""After so many quotes the event loop gets to run, so that ticks and other requests do not wait."""
TRIGGER_NEAR, TRIGGER_FAR = Decimal("0.01"), Decimal("0.1")
"""How far the trigger of a cover order may be from the last price, as shares of it."""


class QuoteRoutes:
    """Quotes by `EXCHANGE:TRADINGSYMBOL` or token, keyed as in the request; unknown instruments are left out."""

    def __init__(self, market: Market, *, guard: Guard) -> None:
        self._market = market
        self._guard = guard

    def routes(self) -> list[Route]:
        return [
            Route("/quote", self._quotes(full_value, limit=MAX_FULL_QUOTES), methods=["GET"]),
            Route("/quote/ohlc", self._quotes(ohlc_value, limit=MAX_SHORT_QUOTES), methods=["GET"]),
            Route("/quote/ltp", self._quotes(ltp_value, limit=MAX_SHORT_QUOTES), methods=["GET"]),
            Route(
                "/instruments/trigger_range/{transaction_type}",
                self._guard.signed_in(self.trigger_range),
                methods=["GET"],
            ),
            Route(
                "/instruments/{exchange}/{tradingsymbol}/trigger_range",
                self._guard.signed_in(self.one_trigger_range),
                methods=["GET"],
            ),
        ]

    def _quotes(self, value: Callable[[Instrument, State, int], object], *, limit: int) -> Endpoint:
        async def endpoint(request: Request, _user_id: str) -> Response:
            found = self._find_all(_requested_keys(request, limit=limit))
            values: dict[str, object] = {}
            for number, (key, item) in enumerate(found.items(), start=1):
                if number % VALUES_AT_ONCE == 0:
                    await asyncio.sleep(0)
                row = self._market.listing.row_of.get(item.instrument_token)
                if row is not None:  # a new day may have begun
                    values[key] = value(item, self._market.state, row)
            return plain_success(values)

        return self._guard.signed_in(endpoint)

    async def trigger_range(self, request: Request, _user_id: str) -> Response:
        """The range of prices for a cover order's trigger: below the last price for buys, above it for sells."""
        sides: dict[str, Literal["buy", "sell"]] = {"buy": "buy", "sell": "sell"}
        side = sides.get(request.path_params["transaction_type"].lower())
        if side is None:
            raise route_not_found()
        found = self._find_all(_requested_keys(request, limit=MAX_SHORT_QUOTES))
        return success({key: self._trigger_range(item, side=side) for key, item in found.items()})

    async def one_trigger_range(self, request: Request, _user_id: str) -> Response:
        """The path that the Go client's constants still have; for buys unless `transaction_type` says otherwise."""
        instrument = self._market.find(request.path_params["exchange"], request.path_params["tradingsymbol"])
        if instrument is None:
            raise input_error("invalid token")
        sold = request.query_params.get("transaction_type", "BUY").upper() == "SELL"
        return success(self._trigger_range(instrument, side="sell" if sold else "buy"))

    def _trigger_range(self, instrument: Instrument, *, side: Literal["buy", "sell"]) -> dict[str, object]:
        last = self._market.last_price(instrument.instrument_token)
        sign = -1 if side == "buy" else 1
        ends = sorted((last * (1 + sign * TRIGGER_NEAR), last * (1 + sign * TRIGGER_FAR)))
        return {
            "instrument_token": instrument.instrument_token,
            "lower": to_number(_to_tick(ends[0], instrument, rounding=ROUND_CEILING)),
            "upper": to_number(_to_tick(ends[1], instrument, rounding=ROUND_FLOOR)),
        }

    def _find_all(self, keys: list[str]) -> dict[str, Instrument]:
        found = ((key, self._find(key)) for key in keys)
        return {key: instrument for key, instrument in found if instrument is not None}

    def _find(self, key: str) -> Instrument | None:
        if key.isascii() and key.isdigit():
            return self._market.instruments.get(int(key[:10]))
        exchange, _, tradingsymbol = key.partition(":")
        return self._market.find(exchange, tradingsymbol)


def _requested_keys(request: Request, *, limit: int) -> list[str]:
    keys = [key for key in request.query_params.getlist("i") if key]
    if not keys:
        raise missing_field("i")
    if len(keys) > limit:
        raise input_error(f"Too many tokens requested. Max permitted is {limit}.")
    return keys


def _to_tick(price: Decimal, instrument: Instrument, *, rounding: str) -> Decimal:
    step = instrument.to_price(instrument.tick_units)
    return (price / step).to_integral_value(rounding=rounding) * step
