"""Orders and trades over the exchange."""

from collections.abc import Callable, Sequence
from datetime import datetime

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from simulator.exchange.book import trades_of
from simulator.exchange.exchange import Exchange
from simulator.exchange.orders import Order
from simulator.exchange.rows import order_row, trade_row
from simulator.faults.middleware import faults_of
from simulator.faults.quirks import faulty_book, order_quirks, untagged
from simulator.limits import Traffic
from simulator.rest.auth import Guard
from simulator.rest.envelope import form_params, success


class OrderRoutes:
    """Kite's order routes. A 200 means that the request was accepted, never that it is done."""

    def __init__(
        self,
        *,
        exchange: Exchange,
        guard: Guard,
        traffic: Traffic,
        now: Callable[[], datetime],
        wall: Callable[[], float],
    ) -> None:
        self._exchange = exchange
        self._guard = guard
        self._traffic = traffic
        self._now = now
        self._wall = wall

    def routes(self) -> list[Route]:
        signed_in = self._guard.signed_in
        return [
            Route("/orders", signed_in(self.book), methods=["GET"]),
            Route("/trades", signed_in(self.trade_book), methods=["GET"]),
            Route("/orders/{order_id}/trades", signed_in(self.trades), methods=["GET"]),
            Route("/orders/{order_id}", signed_in(self.history), methods=["GET"]),
            Route("/orders/{variety}", signed_in(self.place), methods=["POST"]),
            Route("/orders/{variety}/{order_id}", signed_in(self.modify), methods=["PUT"]),
            Route("/orders/{variety}/{order_id}", signed_in(self.cancel), methods=["DELETE"]),
        ]

    async def place(self, request: Request, user_id: str) -> Response:
        params = await form_params(request)
        quirks = order_quirks(faults_of(request))
        order_id = self._exchange.place(user_id, request.path_params["variety"], params, quirks)
        self._traffic.accepted(user_id, now=self._wall())
        return success({"order_id": order_id})

    async def modify(self, request: Request, user_id: str) -> Response:
        params = await form_params(request)
        order_id = self._exchange.modify(
            user_id,
            request.path_params["variety"],
            request.path_params["order_id"],
            params,
            order_quirks(faults_of(request)),
        )
        return success({"order_id": order_id})

    async def cancel(self, request: Request, user_id: str) -> Response:
        order_id = self._exchange.cancel(
            user_id,
            request.path_params["variety"],
            request.path_params["order_id"],
            order_quirks(faults_of(request)),
        )
        return success({"order_id": order_id})

    async def book(self, request: Request, user_id: str) -> Response:
        return success(faulty_book(self._exchange.book.of_user(user_id), faults_of(request), now=self._now()))

    async def history(self, request: Request, user_id: str) -> Response:
        """One row for each status that the order was in, oldest first."""
        order = self._exchange.order(user_id, request.path_params["order_id"])
        rows = [order_row(order, state) for state in order.history]
        if any(fault.kind == "tag_null" for fault in faults_of(request)):
            rows = [untagged(row) for row in rows]
        return success(rows)

    async def trades(self, request: Request, user_id: str) -> Response:
        return success(trade_rows([self._exchange.order(user_id, request.path_params["order_id"])]))

    async def trade_book(self, _request: Request, user_id: str) -> Response:
        return success(trade_rows(self._exchange.book.of_user(user_id)))


def trade_rows(orders: Sequence[Order]) -> list[dict[str, object]]:
    return [trade_row(trade, order=order) for order, trade in trades_of(orders)]
