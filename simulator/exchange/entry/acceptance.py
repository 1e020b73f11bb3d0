"""The broker's checks before it takes an order, and the moment of taking it: id, book and ledger in one step."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, time
from decimal import Decimal
from typing import Final

from simulator.errors import input_error, insufficient_funds, insufficient_holding
from simulator.exchange.accounts.portfolio import Portfolio
from simulator.exchange.entry.checks import check_request
from simulator.exchange.entry.market_protection import protect
from simulator.exchange.entry.parameters import Params
from simulator.exchange.orders.book import Numbers, OrderBook
from simulator.exchange.orders.ledger import Ledger
from simulator.exchange.orders.order import AMO_RECEIVED, RECEIVED, IcebergLeg, Order, OrderRequest
from simulator.exchange.orders.units import EQUITY_CASH, fund_segment
from simulator.exchange.steps.atomic_step import Turn
from simulator.formats import IST
from simulator.market.instrument import Instrument
from simulator.market.market import Market

MAINTENANCE: Final = (time(4, 0), time(5, 30))
"""When the broker takes no after-market orders. Kite names only the end of it."""
DERIVATIVES_AMO_UNTIL: Final = time(9, 10)
AMO_UNTIL: Final = time(9, 0)


class Intake:
    """Says no with a `KiteError`, or takes the order. What becomes of it is the engine's."""

    def __init__(
        self,
        *,
        market: Market,
        book: OrderBook,
        numbers: Numbers,
        ledger: Ledger,
        portfolios: Mapping[str, Portfolio],
        turn: Turn,
        now: Callable[[], datetime],
        seed: int,
    ) -> None:
        self._market = market
        self._book = book
        self._numbers = numbers
        self._ledger = ledger
        self._portfolios = portfolios
        self._turn = turn
        self._now = now
        self._seed = seed

    def check(self, asked: OrderRequest, instrument: Instrument) -> OrderRequest:
        """The order as it is booked: checked, and with its market protection turned into a limit."""
        quote = self._market.quote(instrument.instrument_token)
        check_request(asked, instrument, quote=quote)
        return protect(asked, instrument, last_price=quote.last_price)

    def check_session(self, request: OrderRequest, instrument: Instrument) -> None:
        """Whether the market takes it now; an after-market order wants the market closed."""
        now = self._now()
        phase = self._market.phase(instrument.instrument_token, now)
        if request.variety == "amo":
            if self._market.sessions == "calendar":
                self._check_after_market(instrument, now.astimezone(IST).time(), phase)
            return
        if phase == "open":
            return
        if phase == "pre_open":
            if request.order_type != "LIMIT" or request.variety != "regular":
                raise input_error("Only regular LIMIT and MARKET orders are taken before the market opens.")
            return
        if request.product == "MIS":
            raise input_error(
                "MIS (intraday) are blocked as the markets are not open for trading today. Try placing an AMO order."
            )
        raise input_error("Markets are closed right now. Use the AMO variety to place your order.")

    def _check_after_market(self, instrument: Instrument, clock: time, phase: str) -> None:
        if MAINTENANCE[0] <= clock < MAINTENANCE[1]:
            raise input_error(
                "Our order management system is under scheduled maintenance. Try placing your AMO order after 5.30 AM."
            )
        until = AMO_UNTIL if instrument.exchange in EQUITY_CASH else DERIVATIVES_AMO_UNTIL
        if phase != "closed" or until <= clock < time(9, 15):
            raise input_error("AMO orders can be placed only while the market is closed. Use a regular order.")

    def check_means(
        self, user_id: str, request: OrderRequest, instrument: Instrument, *, replacing: Order | None = None
    ) -> None:
        """Funds, and shares for a CNC sale; a modified order stands aside while its successor is checked."""
        others = [order for order in self._book.unfinished(user_id) if order is not replacing]
        portfolio = self._portfolios[user_id]
        if replacing is not None:
            request = replace(request, quantity=request.quantity - replacing.filled_quantity)
        if request.product == "CNC" and request.transaction_type == "SELL":
            sellable = portfolio.sellable(instrument, orders=others)
            if request.quantity > sellable:
                raise insufficient_holding(
                    tradingsymbol=instrument.tradingsymbol, quantity=request.quantity, available=max(sellable, 0)
                )
        required = portfolio.required(request, instrument=instrument, orders=others)
        available = portfolio.available(others, segment=fund_segment(instrument))
        if required > max(available, Decimal(0)):
            raise insufficient_funds(required=required, available=available)

    def accept(
        self,
        user_id: str,
        request: OrderRequest,
        instrument: Instrument,
        sent: Params,
        *,
        parent_order_id: str | None = None,
        iceberg: IcebergLeg | None = None,
    ) -> Order:
        """The order has an id, is in the book and in the ledger."""
        order_id = self._numbers.order_id()
        order = Order(
            order_id=order_id,
            user_id=user_id,
            instrument=instrument,
            request=request,
            accepted_at=self._now(),
            guid=hashlib.sha256(f"{self._seed}:{order_id}".encode()).hexdigest()[:20],
            parent_order_id=parent_order_id,
            iceberg=iceberg,
            status=AMO_RECEIVED if request.variety == "amo" else RECEIVED,
        )
        self.adopt(order, sent)
        self._turn.changed(order)
        return order

    def adopt(self, order: Order, sent: Params) -> None:
        """Enters an order into book and ledger, a new one or one that was read from the journal."""
        order.on_change = self._turn.changed
        self._book.add(order)
        self._ledger.record(order, request=sent)
