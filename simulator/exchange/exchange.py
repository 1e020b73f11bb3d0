"""The broker's order desk: takes, changes and cancels orders, and answers what a client may ask about them.

Raises `KiteError` in Kite's words. An order is in the ledger before `place` returns, and before anything else can fail.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal

from simulator.errors import (
    input_error,
    insufficient_funds,
    insufficient_holding,
    method_not_allowed,
    order_in_process,
    too_many_modifications,
    unknown_order,
)
from simulator.exchange import orders as status
from simulator.exchange.accounts import Accounts
from simulator.exchange.book import Numbers, OrderBook
from simulator.exchange.checks import check_request
from simulator.exchange.engine import CallLater, Engine, Notify
from simulator.exchange.ledger import Ledger
from simulator.exchange.orders import MAX_MODIFICATIONS, Order, OrderRequest, Product, TransactionType
from simulator.exchange.params import VARIETIES, Params, parse_modify, parse_place
from simulator.exchange.portfolio import Holding, Portfolio
from simulator.exchange.protection import protect
from simulator.exchange.quirks import NORMAL, Quirks
from simulator.exchange.units import fund_segment
from simulator.market.instrument import Instrument
from simulator.market.market import Market

HOLDINGS: tuple[tuple[str, str, int], ...] = (("NSE", "INFY", 100), ("NSE", "SBIN", 50), ("NSE", "RELIANCE", 20))
"""What every account holds in the morning, as far as the universe has it."""


class Exchange:
    """All users' orders of the day. One event loop owns it."""

    def __init__(
        self,
        *,
        market: Market,
        accounts: Accounts,
        now: Callable[[], datetime],
        seed: int,
        opening_cash: Decimal,
        notify: Notify,
        call_later: CallLater,
    ) -> None:
        self._market = market
        self._accounts = accounts
        self._now = now
        self._seed = seed
        self._opening_cash = opening_cash
        self._numbers = Numbers(seed)
        self.ledger = Ledger()
        self.book = OrderBook()
        self.portfolios: dict[str, Portfolio] = {}
        self.engine = Engine(
            market=market,
            book=self.book,
            numbers=self._numbers,
            portfolios=self.portfolios,
            now=now,
            notify=notify,
            call_later=call_later,
        )
        self.new_day()

    def new_day(self) -> None:
        """Orders of the day end, the book is emptied, funds and holdings restored; ledger and numbering go on."""
        self.engine.end_day()
        self.book.clear()
        for account in self._accounts:
            self.portfolios[account.user_id] = Portfolio(
                opening_cash=self._opening_cash, holdings=self._morning_holdings()
            )

    def place(self, user_id: str, variety: str, params: Params, quirks: Quirks = NORMAL) -> str:
        """The new order's id. Raises 4xx with no order left behind."""
        if variety not in VARIETIES:
            raise method_not_allowed()
        if variety != "regular":
            raise input_error(f"Orders of variety `{variety}` are not offered here yet.")
        asked = parse_place("regular", params)
        instrument = self.instrument(asked.exchange, asked.tradingsymbol)
        request = self._check(asked, instrument)
        self._check_session(request, instrument)
        self._check_means(user_id, request, instrument)
        order = self._accept(user_id, request, instrument, params)
        self.engine.submit(order, quirks)
        return order.order_id

    def modify(self, user_id: str, variety: str, order_id: str, params: Params, quirks: Quirks = NORMAL) -> str:
        """Accepted; whether it was applied shows in the order."""
        order = self._live_order(user_id, variety, order_id, action="modified")
        if order.modifications >= MAX_MODIFICATIONS:
            raise too_many_modifications()
        asked = parse_modify(order.request, params)
        if asked.quantity <= order.filled_quantity:
            raise input_error("Quantity cannot be less than or equal to the filled quantity.")
        if order.status == status.OPEN and order.request.order_type == "SL":
            asked = without_trigger(asked)
        request = self._check(asked, order.instrument)
        self._check_means(user_id, request, order.instrument, replacing=order)
        if quirks.refusal is not None:
            self.engine.refuse_amendment(order, quirks.refusal)
            return order_id
        becomes = status.TRIGGER_PENDING if request.order_type == "SL" else status.OPEN
        self.engine.amend(order, request, becomes=becomes)
        return order_id

    def cancel(self, user_id: str, variety: str, order_id: str, quirks: Quirks = NORMAL) -> str:
        order = self._live_order(user_id, variety, order_id, action="cancelled")
        self.engine.cancel(order, quirks)
        return order_id

    def order(self, user_id: str, order_id: str) -> Order:
        """One visible order of the user. Raises 400 as for yesterday's ids."""
        order = self.book.find(order_id)
        if order is None or order.user_id != user_id or order.hidden:
            raise unknown_order()
        return order

    def any_order(self, order_id: str) -> Order:
        """An order of whoever, also a hidden one: for control."""
        order = self.book.find(order_id)
        if order is None:
            raise unknown_order()
        return order

    def instrument(self, exchange: str, tradingsymbol: str) -> Instrument:
        instrument = self._market.find(exchange, tradingsymbol)
        if instrument is None:
            raise input_error("The instrument you are placing an order for has either expired or does not exist.")
        return instrument

    def unfilled_orders(self, user_id: str) -> Sequence[Order]:
        return self.book.unfinished(user_id)

    def last_price(self, instrument: Instrument) -> Decimal:
        return self._market.last_price(instrument.instrument_token)

    def convert(
        self,
        user_id: str,
        instrument: Instrument,
        *,
        side: TransactionType,
        quantity: int,
        old_product: Product,
        new_product: Product,
    ) -> None:
        """Moves an open quantity of `side` from one product to another at its average price."""
        if old_product == new_product:
            raise input_error("The old and the new product are the same.")
        portfolio = self.portfolios[user_id]
        old = portfolio.positions.get((instrument.exchange, instrument.tradingsymbol, old_product))
        if old is None or old.quantity * (1 if side == "BUY" else -1) < quantity:
            raise input_error("Quantity to convert is more than the open position.")
        price = old.convert_out(quantity)
        portfolio.position(instrument, new_product).trade(side, quantity, price)

    def _accept(self, user_id: str, request: OrderRequest, instrument: Instrument, params: Params) -> Order:
        order_id = self._numbers.order_id()
        order = Order(
            order_id=order_id,
            user_id=user_id,
            instrument=instrument,
            request=request,
            accepted_at=self._now(),
            guid=hashlib.sha256(f"{self._seed}:{order_id}".encode()).hexdigest()[:20],
        )
        self.book.add(order)
        self.ledger.record(order, request=params)
        return order

    def _check(self, asked: OrderRequest, instrument: Instrument) -> OrderRequest:
        """The order as it is booked: checked, and with its market protection turned into a limit."""
        quote = self._market.quote(instrument.instrument_token)
        check_request(asked, instrument, quote=quote)
        return protect(asked, instrument, last_price=quote.last_price)

    def _check_session(self, request: OrderRequest, instrument: Instrument) -> None:
        if self._market.is_open(instrument.instrument_token, self._now()):
            return
        if request.product == "MIS":
            raise input_error(
                "MIS (intraday) are blocked as the markets are not open for trading today. Try placing an AMO order."
            )
        raise input_error("Markets are closed right now. Use the AMO variety to place your order.")

    def _check_means(
        self, user_id: str, request: OrderRequest, instrument: Instrument, *, replacing: Order | None = None
    ) -> None:
        """Funds, and shares for a CNC sale; a modified order stands aside while its successor is checked."""
        others = [order for order in self.unfilled_orders(user_id) if order is not replacing]
        portfolio = self.portfolios[user_id]
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

    def _live_order(self, user_id: str, variety: str, order_id: str, *, action: str) -> Order:
        if variety not in VARIETIES:
            raise method_not_allowed()
        order = self.order(user_id, order_id)
        if order.request.variety != variety:
            raise input_error("Order variety in the request does not match the order.")
        if order.status not in status.LIVE:
            raise order_in_process(action)
        return order

    def _morning_holdings(self) -> list[Holding]:
        found = []
        for exchange, tradingsymbol, quantity in HOLDINGS:
            instrument = self._market.find(exchange, tradingsymbol)
            if instrument is not None:
                close = self._market.quote(instrument.instrument_token).close
                found.append(Holding(instrument, quantity, (close * Decimal("0.9")).quantize(Decimal("0.01"))))
        return found


def without_trigger(request: OrderRequest) -> OrderRequest:
    """A stop that was triggered is a plain limit order when it is modified."""
    return replace(request, order_type="LIMIT", trigger_price=Decimal(0))
