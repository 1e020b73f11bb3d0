"""Cover orders: when the first leg has ended with fills, a stop for the filled quantity is placed as the second leg.

Cancelling the second leg closes the position at the market.
"""

from collections.abc import Callable
from dataclasses import replace

from simulator.exchange.entry.acceptance import OrderAcceptance
from simulator.exchange.entry.market_protection import AUTOMATIC, protect
from simulator.exchange.entry.parameters import Params
from simulator.exchange.matching.engine import Engine
from simulator.exchange.orders.order import Order
from simulator.exchange.orders.request import OrderRequest, TransactionType
from simulator.market.market import Market


class CoverOrders:
    """Places and exits second legs. `form_of` gives the client's form of an order; the ledger records it for both."""

    def __init__(
        self, *, market: Market, acceptance: OrderAcceptance, engine: Engine, form_of: Callable[[Order], Params]
    ) -> None:
        self._market = market
        self._acceptance = acceptance
        self._engine = engine
        self._form_of = form_of

    def follow_up(self, order: Order) -> None:
        """Places the stop when `order` is a first leg with fills."""
        if order.request.variety != "co" or order.parent_order_id is not None or not order.filled_quantity:
            return
        side: TransactionType = "SELL" if order.request.transaction_type == "BUY" else "BUY"
        stop = replace(
            order.request,
            transaction_type=side,
            quantity=order.filled_quantity,
            order_type="SL-M",
            validity="DAY",
            market_protection=AUTOMATIC,
        )
        second = self._acceptance.accept(
            order.user_id,
            self._protected(stop, order),
            order.instrument,
            self._form_of(order),
            parent_order_id=order.order_id,
        )
        self._engine.submit(second)

    def exit(self, order: Order) -> None:
        """Trades a second leg at the market, within the automatic protection band."""
        request = replace(order.request, order_type="MARKET", market_protection=AUTOMATIC, price=order.request.price)
        self._engine.exit_at_market(order, self._protected(request, order))

    def _protected(self, request: OrderRequest, order: Order) -> OrderRequest:
        quote = self._market.quote(order.instrument.instrument_token)
        return protect(request, order.instrument, last_price=quote.last_price)
