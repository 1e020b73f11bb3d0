"""The order gateway: each send is one request, and its outcome a value of ``app.broker.outcomes``.

Sends do not wait for the governor (their caller acquired before it claimed the order); reads do.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from decimal import Decimal
from urllib.parse import quote

from app.broker.orders import BrokerOrder, Operation, OrderChanges, OrderRequest, Trade
from app.broker.outcomes import Accepted, InDoubt, NotSent, Refused, SendOutcome, SessionRejected, Throttled
from app.broker.port import RequestKind, WireRequest
from app.broker.rows import Rows
from app.kite.endpoints import Endpoint
from app.kite.http import KiteHttp, Query
from app.kite.reads import PacedReads
from app.kite.wire.market import parse_available_margin, parse_basket_total
from app.kite.wire.orders import cancel_query, margin_body, modify_form, parse_orders, parse_trades, place_form
from app.kite.wire.outcome import classify

SEND_OUTCOMES = {
    Accepted: "accepted",
    Refused: "refused",
    NotSent: "not_sent",
    SessionRejected: "session_rejected",
    Throttled: "throttled",
    InDoubt: "in_doubt",
}
"""The ``outcome`` label of a send; also ``cancelled``, which the caller treats as in doubt."""

_ENDPOINTS = {
    Operation.PLACE: Endpoint.PLACE,
    Operation.MODIFY: Endpoint.MODIFY,
    Operation.CANCEL: Endpoint.CANCEL,
}


class KiteOrders:
    """Implements ``app.broker.port.OrderGateway``."""

    def __init__(self, http: KiteHttp, *, reads: PacedReads) -> None:
        self._http = http
        self._reads = reads
        self._last_book: dict[str, BrokerOrder] = {}

    def preview(self, request: OrderRequest, *, tag: str) -> WireRequest:
        path = f"/orders/{_segment(request.variety)}"
        return WireRequest(method="POST", path=path, form=dict(place_form(request, tag=tag)))

    def preview_cancel(self, order_id: str, *, variety: str, parent_order_id: str | None = None) -> WireRequest:
        query = cancel_query(parent_order_id=parent_order_id)
        return WireRequest(method="DELETE", path=_of_order(order_id, variety=variety), form=query)

    async def place(self, request: OrderRequest, *, tag: str) -> SendOutcome:
        wire = self.preview(request, tag=tag)
        return await self._send(Operation.PLACE, wire.method, wire.path, form=wire.form)

    async def modify(
        self, order_id: str, *, variety: str, changes: OrderChanges, parent_order_id: str | None = None
    ) -> SendOutcome:
        form = modify_form(changes, parent_order_id=parent_order_id)
        return await self._send(Operation.MODIFY, "PUT", _of_order(order_id, variety=variety), form=form)

    async def cancel(self, order_id: str, *, variety: str, parent_order_id: str | None = None) -> SendOutcome:
        wire = self.preview_cancel(order_id, variety=variety, parent_order_id=parent_order_id)
        return await self._send(Operation.CANCEL, wire.method, wire.path, query=wire.form)

    async def order_book(self) -> Rows[BrokerOrder]:
        data = await self._reads.get(Endpoint.ORDERS, "/orders", kind=RequestKind.BOOK)
        book = parse_orders(data, known=self._last_book)
        self._reads.report(Endpoint.ORDERS, book.bad)
        self._last_book = {order.order_id: order for order in book}
        return book

    async def order_history(self, order_id: str) -> list[BrokerOrder]:
        rows = parse_orders(await self._reads.get(Endpoint.ORDER_HISTORY, f"/orders/{_segment(order_id)}"))
        self._reads.report(Endpoint.ORDER_HISTORY, rows.bad)
        return list(rows)

    async def trades(self) -> Rows[Trade]:
        rows = parse_trades(await self._reads.get(Endpoint.TRADES, "/trades", kind=RequestKind.BOOK))
        self._reads.report(Endpoint.TRADES, rows.bad)
        return rows

    async def basket_margin(self, requests: Sequence[OrderRequest]) -> Decimal:
        data = await self._reads.post(
            Endpoint.BASKET_MARGIN,
            "/margins/basket",
            query={"consider_positions": "true"},
            json=margin_body(requests),
        )
        return parse_basket_total(data)

    async def available_margin(self, exchange: str) -> Decimal:
        return parse_available_margin(await self._reads.get(Endpoint.MARGINS, "/user/margins"), exchange=exchange)

    async def _send(
        self, operation: Operation, method: str, path: str, *, form: Query | None = None, query: Query | None = None
    ) -> SendOutcome:
        token = self._http.credentials().access_token
        if token is None:
            return SessionRejected(message="there is no access token yet: log in first")
        started = time.perf_counter()
        label = "cancelled"
        try:
            outcome = classify(await self._http.send(method, path, form=form, query=query), operation=operation)
            label = SEND_OUTCOMES[type(outcome)]
            if isinstance(outcome, Accepted):
                self._http.tokens.accepted(token)
            elif isinstance(outcome, SessionRejected):
                self._http.tokens.refused(token)
        finally:
            self._http.observe(_ENDPOINTS[operation], label, time.perf_counter() - started)
        return outcome


def _of_order(order_id: str, *, variety: str) -> str:
    return f"/orders/{_segment(variety)}/{_segment(order_id)}"


def _segment(text: str) -> str:
    """One path segment: an id that the broker or a caller gave cannot reach another route."""
    return quote(text, safe="")
