"""`/instruments`: the day's dump as CSV, without authentication, as at Kite."""

import gzip

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from simulator.errors import input_error
from simulator.market.csv_dump import dump_instruments
from simulator.market.instrument import EXCHANGES
from simulator.market.listing import Listing
from simulator.market.market import Market

_ALL = ""


class InstrumentRoutes:
    """A dump is made once a day for each exchange, plain and gzipped, and kept with the day's listing."""

    def __init__(self, market: Market) -> None:
        self._market = market

    def routes(self) -> list[Route]:
        return [
            Route("/instruments", self.all_instruments, methods=["GET"]),
            Route("/instruments/{exchange}", self.one_exchange, methods=["GET"]),
        ]

    async def all_instruments(self, request: Request) -> Response:
        return self._answer(request, _ALL)

    async def one_exchange(self, request: Request) -> Response:
        exchange = request.path_params["exchange"]
        if exchange not in EXCHANGES:
            raise input_error(f"Invalid `exchange` {exchange[:20]}: one of {', '.join(EXCHANGES)}.")
        return self._answer(request, exchange)

    def _answer(self, request: Request, exchange: str) -> Response:
        zipped = "gzip" in request.headers.get("accept-encoding", "")
        headers = {
            "content-type": "text/csv",
            "vary": "accept-encoding",
        }  # the JavaScript client needs it without a charset
        if zipped:
            headers["content-encoding"] = "gzip"
        return Response(self._dump(exchange, zipped=zipped), headers=headers)

    def _dump(self, exchange: str, *, zipped: bool) -> bytes:
        listing = self._market.listing
        key = (exchange, zipped)
        if key not in listing.dumps:
            listing.dumps[key] = _zip(self._dump(exchange, zipped=False)) if zipped else _print(listing, exchange)
        return listing.dumps[key]


def _print(listing: Listing, exchange: str) -> bytes:
    return dump_instruments(item for item in listing.instruments if exchange in (_ALL, item.exchange))


def _zip(body: bytes) -> bytes:
    return gzip.compress(body, compresslevel=5, mtime=0)
