"""Gateways whose requests to the broker are steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from app.broker.market import Candle, Instrument, Quote
from app.broker.orders import BrokerOrder, OrderChanges, OrderRequest, Trade
from app.broker.outcomes import SendOutcome
from app.broker.port import MarketGateway, OrderGateway, PortfolioGateway, WireRequest
from app.broker.rows import Rows
from tests.interleavings.pausing import Side
from tests.interleavings.scheduler import Kind


class PausingOrders:
    """An order gateway whose requests are steps; previews ask nothing of the broker."""

    def __init__(self, gateway: OrderGateway, side: Side) -> None:
        self._gateway = gateway
        self._side = side

    def preview(self, request: OrderRequest, *, tag: str) -> WireRequest:
        return self._gateway.preview(request, tag=tag)

    def preview_cancel(self, order_id: str, *, variety: str, parent_order_id: str | None = None) -> WireRequest:
        return self._gateway.preview_cancel(order_id, variety=variety, parent_order_id=parent_order_id)

    async def place(self, request: OrderRequest, *, tag: str) -> SendOutcome:
        await self._side.pause("POST /orders", Kind.SEND)
        return await self._gateway.place(request, tag=tag)

    async def modify(
        self, order_id: str, *, variety: str, changes: OrderChanges, parent_order_id: str | None = None
    ) -> SendOutcome:
        await self._side.pause("PUT /orders", Kind.SEND)
        return await self._gateway.modify(order_id, variety=variety, changes=changes, parent_order_id=parent_order_id)

    async def cancel(self, order_id: str, *, variety: str, parent_order_id: str | None = None) -> SendOutcome:
        await self._side.pause("DELETE /orders", Kind.SEND)
        return await self._gateway.cancel(order_id, variety=variety, parent_order_id=parent_order_id)

    async def order_book(self) -> Rows[BrokerOrder]:
        await self._side.pause("GET /orders", Kind.ASK)
        return await self._gateway.order_book()

    async def order_history(self, order_id: str) -> list[BrokerOrder]:
        await self._side.pause("GET /orders/id", Kind.ASK)
        return await self._gateway.order_history(order_id)

    async def trades(self) -> Rows[Trade]:
        await self._side.pause("GET /trades", Kind.ASK)
        return await self._gateway.trades()

    async def basket_margin(self, requests: Sequence[OrderRequest]) -> Decimal:
        await self._side.pause("POST /margins/basket", Kind.ASK)
        return await self._gateway.basket_margin(requests)

    async def available_margin(self, exchange: str) -> Decimal:
        await self._side.pause("GET /user/margins", Kind.ASK)
        return await self._gateway.available_margin(exchange)


class PausingPortfolio:
    """A portfolio gateway whose reads are steps."""

    def __init__(self, gateway: PortfolioGateway, side: Side) -> None:
        self._gateway = gateway
        self._side = side

    async def profile(self) -> Mapping[str, Any]:
        await self._side.pause("GET /user/profile", Kind.ASK)
        return await self._gateway.profile()

    async def holdings(self) -> Sequence[Mapping[str, Any]]:
        await self._side.pause("GET /portfolio/holdings", Kind.ASK)
        return await self._gateway.holdings()

    async def positions(self) -> Mapping[str, Any]:
        await self._side.pause("GET /portfolio/positions", Kind.ASK)
        return await self._gateway.positions()

    async def margins(self) -> Mapping[str, Any]:
        await self._side.pause("GET /user/margins", Kind.ASK)
        return await self._gateway.margins()


class PausingMarket:
    """A market gateway whose quotes are steps."""

    def __init__(self, gateway: MarketGateway, side: Side) -> None:
        self._gateway = gateway
        self._side = side

    async def instruments(self, exchange: str | None = None) -> Rows[Instrument]:
        return await self._gateway.instruments(exchange)

    async def quotes(self, keys: Sequence[str]) -> dict[str, Quote]:
        await self._side.pause("GET /quote", Kind.ASK)
        return await self._gateway.quotes(keys)

    async def candles(
        self, instrument_token: int, *, interval: str, start: datetime, end: datetime, continuous: bool, oi: bool
    ) -> Rows[Candle]:
        return await self._gateway.candles(
            instrument_token, interval=interval, start=start, end=end, continuous=continuous, oi=oi
        )
