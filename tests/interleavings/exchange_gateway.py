"""The broker without the line to it: the adapter's own forms and parsers on the simulated exchange, in this process.

A request costs a tenth of what HTTP would cost; what HTTP can do to one is tested elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from app.broker.market import Candle, Instrument, Quote
from app.broker.orders import BrokerOrder, Operation, OrderChanges, OrderRequest, Trade
from app.broker.outcomes import SendOutcome
from app.broker.port import WireRequest
from app.broker.rows import Rows
from app.errors import BrokerUnavailable
from app.kite.wire.envelope import read_data
from app.kite.wire.orders import modify_form, parse_orders, parse_trades, place_form
from app.kite.wire.outcome import Response, classify
from simulator.envelope import encode_json
from simulator.errors import KiteError
from simulator.exchange.accounts.positions import position_row
from simulator.exchange.orders.rows import book_rows, trade_row, trades_of
from simulator.server import Simulator

USER = "SIM001"


def _answer(data: object, *, status: int = 200) -> Response:
    return Response(status=status, body=encode_json({"status": "success", "data": data}))


def _refusal(error: KiteError) -> Response:
    body = {"status": "error", "message": error.message, "error_type": error.error_type, "data": None}
    return Response(status=error.status, body=encode_json(body))


class ExchangeOrders:
    """Implements ``app.broker.port.OrderGateway`` for the simulator's first user."""

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator
        self._exchange = simulator.exchange

    def preview(self, request: OrderRequest, *, tag: str) -> WireRequest:
        return WireRequest(method="POST", path="/orders", form=dict(place_form(request, tag=tag)))

    def preview_cancel(self, order_id: str, *, variety: str, parent_order_id: str | None = None) -> WireRequest:
        return WireRequest(method="DELETE", path=f"/orders/{variety}/{order_id}", form={})

    async def place(self, request: OrderRequest, *, tag: str) -> SendOutcome:
        form = place_form(request, tag=tag)
        return _sent(Operation.PLACE, lambda: self._exchange.place(USER, request.variety, form))

    async def modify(
        self, order_id: str, *, variety: str, changes: OrderChanges, parent_order_id: str | None = None
    ) -> SendOutcome:
        form = modify_form(changes, parent_order_id=parent_order_id)
        return _sent(Operation.MODIFY, lambda: self._exchange.modify(USER, variety, order_id, form))

    async def cancel(self, order_id: str, *, variety: str, parent_order_id: str | None = None) -> SendOutcome:
        return _sent(Operation.CANCEL, lambda: self._exchange.cancel(USER, variety, order_id))

    async def order_book(self) -> Rows[BrokerOrder]:
        return Rows(good=self.present_book())

    def present_book(self) -> list[BrokerOrder]:
        rows = book_rows(self._exchange.book.of_user(USER), now=self._simulator.clock.now())
        return list(parse_orders(_read(rows)))

    async def order_history(self, order_id: str) -> list[BrokerOrder]:
        return [order for order in self.present_book() if order.order_id == order_id]

    async def trades(self) -> Rows[Trade]:
        pairs = trades_of(self._exchange.book.of_user(USER))
        return parse_trades(_read([trade_row(trade, order=order) for order, trade in pairs]))

    async def basket_margin(self, requests: Sequence[OrderRequest]) -> Decimal:
        return Decimal(0)

    async def available_margin(self, exchange: str) -> Decimal:
        return Decimal(10_000_000)


class ExchangePortfolio:
    """Implements ``app.broker.port.PortfolioGateway``: positions alone, all that the order engine asks for."""

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator

    async def profile(self) -> Mapping[str, Any]:
        return {}

    async def holdings(self) -> Sequence[Mapping[str, Any]]:
        return []

    async def positions(self) -> Mapping[str, Any]:
        exchange = self._simulator.exchange
        net = []
        for position in exchange.portfolios[USER].positions.values():
            price = exchange.last_price(position.instrument)
            net.append(position_row(position, last_price=price, close_price=price))
        found: Mapping[str, Any] = _read({"net": net, "day": []})
        return found

    async def margins(self) -> Mapping[str, Any]:
        return {}


class ExchangeMarket:
    """Implements ``app.broker.port.MarketGateway``: quotes alone, all that the order engine asks for."""

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator

    async def instruments(self, exchange: str | None = None) -> Rows[Instrument]:
        raise BrokerUnavailable("no instruments here")

    async def quotes(self, keys: Sequence[str]) -> dict[str, Quote]:
        found = {}
        for key in keys:
            instrument = self._simulator.market.find(*key.split(":", 1))
            if instrument is not None:
                price = self._simulator.exchange.last_price(instrument)
                found[key] = Quote(key=key, instrument_token=instrument.instrument_token, last_price=price, raw={})
        return found

    async def candles(
        self, instrument_token: int, *, interval: str, start: datetime, end: datetime, continuous: bool, oi: bool
    ) -> Rows[Candle]:
        raise BrokerUnavailable("no candles here")


def _sent(operation: Operation, ask: Callable[[], str]) -> SendOutcome:
    try:
        answer = _answer({"order_id": ask()})
    except KiteError as error:
        answer = _refusal(error)
    return classify(answer, operation=operation)


def _read(data: object) -> Any:
    return read_data(_answer(data).body, status=200)
