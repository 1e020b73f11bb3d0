"""`/orders` and `/trades`: placing, modifying, cancelling and reading orders, with the faults of a request applied."""

from collections.abc import Callable
from datetime import datetime

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from simulator.envelope import form_params, success
from simulator.exchange.entry.parameters import MAX_LEGS, Params
from simulator.exchange.exchange import Exchange
from simulator.exchange.orders.rows import order_row
from simulator.exchange.varieties.autoslice import Slice
from simulator.faults.effects import faulty_book, faulty_trades, order_faults, untagged
from simulator.faults.middleware import faults_of
from simulator.rate_limits import Traffic
from simulator.rest.auth import Guard
from simulator.settings import AutosliceAnswer


class OrderRoutes:
    """Kite's order routes. A 200 means that the request was accepted, not that it was carried out."""

    def __init__(
        self,
        *,
        exchange: Exchange,
        guard: Guard,
        traffic: Traffic,
        now: Callable[[], datetime],
        wall: Callable[[], float],
        autoslice_answer: AutosliceAnswer = "object",
    ) -> None:
        self._exchange = exchange
        self._guard = guard
        self._traffic = traffic
        self._now = now
        self._wall = wall
        self._autoslice_answer = autoslice_answer

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
        faults = order_faults(faults_of(request))
        self._traffic.charge(user_id, further_orders(request.path_params["variety"], params), now=self._wall())
        placed = self._exchange.place_order(user_id, request.path_params["variety"], params, faults)
        self._traffic.accepted(user_id, now=self._wall())
        if not placed.children:
            return success({"order_id": placed.order_id})
        children = [child_row(child) for child in placed.children]
        answer = {"order_id": placed.order_id, "children": children}
        return success(answer if self._autoslice_answer == "object" else children)

    async def modify(self, request: Request, user_id: str) -> Response:
        params = await form_params(request)
        order_id = self._exchange.modify(
            user_id,
            request.path_params["variety"],
            request.path_params["order_id"],
            params,
            order_faults(faults_of(request)),
        )
        return success({"order_id": order_id})

    async def cancel(self, request: Request, user_id: str) -> Response:
        order_id = self._exchange.cancel(
            user_id,
            request.path_params["variety"],
            request.path_params["order_id"],
            order_faults(faults_of(request)),
        )
        return success({"order_id": order_id})

    async def book(self, request: Request, user_id: str) -> Response:
        return success(faulty_book(self._exchange.book.of_user(user_id), faults_of(request), now=self._now()))

    async def history(self, request: Request, user_id: str) -> Response:
        """A row for each status that the order entered, oldest first."""
        order = self._exchange.order(user_id, request.path_params["order_id"])
        rows = [order_row(order, state) for state in order.history]
        if any(fault.kind == "tag_null" for fault in faults_of(request)):
            rows = [untagged(row) for row in rows]
        return success(rows)

    async def trades(self, request: Request, user_id: str) -> Response:
        order = self._exchange.order(user_id, request.path_params["order_id"])
        return success(faulty_trades([order], faults_of(request)))

    async def trade_book(self, request: Request, user_id: str) -> Response:
        return success(faulty_trades(self._exchange.book.of_user(user_id), faults_of(request)))


def further_orders(variety: str, params: Params) -> int:
    """How many orders a request counts for beyond itself: the further legs of an iceberg count towards the day."""
    legs = params.get("iceberg_legs", "")
    if variety != "iceberg" or not (legs.isascii() and legs.isdigit()):
        return 0
    return min(max(int(legs[:4]), 1), MAX_LEGS) - 1


def child_row(child: Slice) -> dict[str, object]:
    """A slice in the answer: its order id, or its error."""
    error = child.error
    if error is None:
        return {"order_id": child.order_id}
    details = {"code": error.status, "error_type": error.error_type, "message": error.message, "data": None}
    return {"error": details}
