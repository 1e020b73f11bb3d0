"""`GET /_sim/`: a page that shows the simulator, and `GET /_sim/overview`: the JSON that it fetches every second.

Both are bounded: they have the newest `MAX_ROWS` of each list, and its full length.
"""

from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from simulator.envelope import json_response
from simulator.exchange.orders.ledger import ledger_row
from simulator.exchange.orders.order import Order
from simulator.faults.registry import fault_row
from simulator.rest.sim_parts import SimParts

MAX_ROWS: Final = 100
PAGE: Final = Path(__file__).with_name("overview.html")
HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; connect-src 'self'; img-src data:"
    ),
    "Cache-Control": "no-store",
}


class OverviewRoutes:
    """The page and its data."""

    def __init__(self, parts: SimParts) -> None:
        self._exchange = parts.exchange
        self._market = parts.market
        self._faults = parts.faults
        self._sockets = parts.sockets
        self._player = parts.player
        self._now = parts.clock.now
        self._page = PAGE.read_bytes()

    def routes(self) -> list[Route]:
        return [
            Route("/_sim", self.redirect, methods=["GET"]),
            Route("/_sim/", self.page, methods=["GET"]),
            Route("/_sim/overview", self.overview, methods=["GET"]),
        ]

    async def redirect(self, _request: Request) -> Response:
        return RedirectResponse("/_sim/")

    async def page(self, _request: Request) -> Response:
        return Response(self._page, media_type="text/html", headers=HEADERS)

    async def overview(self, _request: Request) -> Response:
        resting = sorted(self._exchange.book.all_resting(), key=lambda order: order.accepted_at, reverse=True)
        ledger = self._exchange.ledger
        tokens = sorted(self._sockets.subscribed_tokens())
        faults = list(self._faults.active())
        return json_response(
            {
                "now": self._now().isoformat(timespec="seconds"),
                "ticks_per_second": self._market.ticks_per_second,
                "replay": None if self._player is None else self._player.stats(),
                "instruments": {
                    "total": len(tokens),
                    "rows": [self._instrument_row(token) for token in tokens[:MAX_ROWS]],
                },
                "book": {"total": len(resting), "rows": [resting_row(order) for order in resting[:MAX_ROWS]]},
                "ledger": {
                    "total": len(ledger),
                    "rows": [ledger_row(entry) for entry in reversed(ledger.newest(MAX_ROWS))],
                },
                "sockets": [
                    {
                        "user_id": socket.user_id,
                        "api_key": socket.api_key,
                        "tokens": socket.tokens,
                        "frames_sent": socket.frames_sent,
                        "ticks_sent": socket.ticks_sent,
                    }
                    for socket in self._sockets.stats()
                ],
                "faults": {"total": len(faults), "rows": [fault_row(fault) for fault in faults[-MAX_ROWS:]]},
            }
        )

    def _instrument_row(self, token: int) -> dict[str, object]:
        instrument = self._market.instruments.get(token)
        if instrument is None:
            return {"instrument_token": token, "name": None, "last_price": None}
        return {
            "instrument_token": token,
            "name": f"{instrument.exchange}:{instrument.tradingsymbol}",
            "last_price": self._market.last_price(token),
        }


def resting_row(order: Order) -> dict[str, object]:
    """A resting order on the page."""
    request = order.request
    return {
        "order_id": order.order_id,
        "user_id": order.user_id,
        "instrument": f"{order.instrument.exchange}:{order.instrument.tradingsymbol}",
        "transaction_type": request.transaction_type,
        "quantity": request.quantity,
        "filled_quantity": order.filled_quantity,
        "order_type": request.order_type,
        "price": request.price,
        "status": order.status,
        "tag": request.tag,
    }
