"""Orders and trades over the exchange."""

from collections.abc import Callable
from datetime import datetime

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from simulator.exchange.entry.parameters import MAX_LEGS, Params
from simulator.exchange.exchange import Exchange
from simulator.exchange.orders.rows import order_row
from simulator.exchange.varieties.child_orders import Slice
from simulator.faults.effects import faulty_book, faulty_trades, order_quirks, untagged
from simulator.faults.middleware import faults_of
from simulator.rate_limits import Traffic
from simulator.rest.auth import Guard
from simulator.rest.envelope import form_params, success
from simulator.settings import AutosliceAnswer


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
        quirks = order_quirks(faults_of(request))
        self._traffic.charge(user_id, further_orders(request.path_params["variety"], params), now=self._wall())
        placed = self._exchange.place_order(user_id, request.path_params["variety"], params, quirks)
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
        order = self._exchange.order(user_id, request.path_params["order_id"])
        return success(faulty_trades([order], faults_of(request)))

    async def trade_book(self, request: Request, user_id: str) -> Response:
        return success(faulty_trades(self._exchange.book.of_user(user_id), faults_of(request)))


def further_orders(variety: str, params: Params) -> int:
    """An iceberg of five legs is five orders of the day's allowance, and one of the second's."""
    legs = params.get("iceberg_legs", "")
    if variety != "iceberg" or not (legs.isascii() and legs.isdigit()):
        return 0
    return min(max(int(legs[:4]), 1), MAX_LEGS) - 1


def child_row(child: Slice) -> dict[str, object]:
    """One slice of an answer: its order id, or its own error."""
    error = child.error
    if error is None:
        return {"order_id": child.order_id}
    details = {"code": error.status, "error_type": error.error_type, "message": error.message, "data": None}
    return {"error": details}
