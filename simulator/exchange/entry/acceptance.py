"""How the broker takes an order: checks of session hours, funds and shares, then its id, book and ledger entry."""

import hashlib
from dataclasses import replace
from datetime import datetime, time
from decimal import Decimal
from typing import Final

from simulator.clock import IST
from simulator.errors import input_error, insufficient_funds, insufficient_holding, needs_authorisation
from simulator.exchange.accounts.users import Accounts
from simulator.exchange.entry.checks import check_request
from simulator.exchange.entry.market_protection import is_protected_market, protect
from simulator.exchange.entry.parameters import Params
from simulator.exchange.orders.order import IcebergLeg, Order
from simulator.exchange.orders.request import OrderRequest
from simulator.exchange.orders.status import AMO_RECEIVED, RECEIVED
from simulator.exchange.orders.units import fund_segment
from simulator.exchange.parts import ExchangeParts
from simulator.market.instrument import COMMODITY, CURRENCY, EQUITY, EQUITY_DERIVATIVES, Instrument
from simulator.market.sessions import is_session_day

MAINTENANCE: Final = (time(4, 0), time(5, 30))
"""When the broker takes no after-market orders. Kite documents only the end of it."""
AMO_HOURS: Final = (
    (EQUITY, time(16, 0), time(8, 58)),
    (EQUITY_DERIVATIVES, time(15, 45), time(9, 10)),
    (CURRENCY, time(17, 0), time(8, 59)),
    (COMMODITY, time(23, 30), time(8, 58)),
)
"""From when in the evening, and until when in the morning, after-market orders are taken on a trading day."""


class OrderAcceptance:
    """Refuses an order with a `KiteError`, or books it. The engine then sends it to the exchange."""

    def __init__(self, parts: ExchangeParts, *, accounts: Accounts, seed: int) -> None:
        """`seed` goes into the orders' `guid`."""
        self._accounts = accounts
        self._market = parts.market
        self._book = parts.book
        self._ids = parts.ids
        self._ledger = parts.ledger
        self._portfolios = parts.portfolios
        self._step = parts.step
        self._now = parts.now
        self._seed = seed

    def check(self, request: OrderRequest, instrument: Instrument) -> OrderRequest:
        """The order as it is booked, its market protection turned into a limit. Raises KiteError 400."""
        quote = self._market.quote(instrument.instrument_token)
        check_request(request, instrument, quote=quote)
        return protect(request, instrument, last_price=quote.last_price)

    def check_session(self, request: OrderRequest, instrument: Instrument) -> None:
        """Checks that the market is open for the order (closed, for an after-market order). Raises KiteError 400."""
        now = self._now()
        phase = self._market.phase(instrument.instrument_token, now)
        if request.variety == "amo":
            if self._market.sessions == "calendar":
                self._check_after_market(instrument, now.astimezone(IST), phase)
            return
        if phase == "open":
            return
        if phase == "pre_open":
            if request.order_type != "LIMIT" or request.variety != "regular":
                raise input_error("Only regular LIMIT and MARKET orders are taken before the market opens.")
            return
        if phase == "closing":
            if not is_protected_market(request) or (request.variety, request.product) != ("regular", "CNC"):
                raise input_error("Only regular MARKET orders with product CNC are taken in the closing session.")
            return
        if request.product == "MIS":
            raise input_error(
                "MIS (intraday) are blocked as the markets are not open for trading today. Try placing an AMO order."
            )
        raise input_error("Markets are closed right now. Use the AMO variety to place your order.")

    def _check_after_market(self, instrument: Instrument, now: datetime, phase: str) -> None:
        day, clock = now.date(), now.time()
        if MAINTENANCE[0] <= clock < MAINTENANCE[1]:
            raise input_error(
                "Our order management system is under scheduled maintenance. Try placing your AMO order after 5.30 AM."
            )
        opens, closes = next((start, end) for group, start, end in AMO_HOURS if instrument.exchange in group)
        if phase != "closed" or (is_session_day(day) and closes <= clock < opens):
            raise input_error("AMO orders can be placed only while the market is closed. Use a regular order.")

    def check_funds_and_shares(
        self, user_id: str, request: OrderRequest, instrument: Instrument, *, replacing: Order | None = None
    ) -> None:
        """Checks that funds, and the shares of a CNC sale, cover `request`. Raises KiteError (400, 428).

        `replacing`: the order that a modification changes, or a leg that is booked already; it is left out of the sum.
        """
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
            account = self._accounts.get(user_id)
            if account is not None and not account.demat_consent:
                missing = portfolio.unauthorised(instrument, request.quantity, orders=others)
                if missing:
                    raise needs_authorisation(missing)
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
        """Gives the order an id and enters it into book and ledger. `sent` is the client's form."""
        order_id = self._ids.order_id()
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
        self.record(order, sent)
        self._step.changed(order)
        return order

    def record(self, order: Order, sent: Params) -> None:
        """Enters an order into book and ledger: a new one, or one read from the journal."""
        order.on_change = self._step.changed
        self._book.add(order)
        self._ledger.record(order, request=sent)
