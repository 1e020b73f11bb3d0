"""What happens to an order after it was accepted: its way to the exchange, its fills, its triggers, its end.

Everything here is synchronous: a change is complete, pushed and in the history when the call returns. `call_later` is
asked only when a quirk delays something; times come from `now`.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Literal, Protocol

from simulator.errors import input_error
from simulator.exchange import orders as status
from simulator.exchange.book import Numbers, OrderBook, is_buy
from simulator.exchange.checks import exchange_refusal
from simulator.exchange.matching import Stance, is_triggered, match
from simulator.exchange.orders import Order, OrderRequest, Trade
from simulator.exchange.portfolio import Portfolio
from simulator.exchange.quirks import NORMAL, Quirks
from simulator.market.market import Market
from simulator.market.quote import DepthLevel, Quote

Audience = Literal["sockets", "everyone"]
"""Kite posts fills, ends and modifications back over HTTP; that an order rests is told to sockets alone."""
Levels = tuple[DepthLevel, ...]
CallLater = Callable[[float, Callable[[], None]], object]


class Notify(Protocol):
    """Called after each change that Kite would push. `as_status` is the status to show, which may be UPDATE."""

    def __call__(self, order: Order, *, as_status: str, audience: Audience) -> None: ...


class Engine:
    """Moves orders along. One event loop owns it."""

    def __init__(
        self,
        *,
        market: Market,
        book: OrderBook,
        numbers: Numbers,
        portfolios: Mapping[str, Portfolio],
        now: Callable[[], datetime],
        notify: Notify,
        call_later: CallLater,
    ) -> None:
        self._market = market
        self._book = book
        self._numbers = numbers
        self._portfolios = portfolios
        self._now = now
        self._notify = notify
        self._call_later = call_later
        self._taken: dict[tuple[int, str], tuple[Levels, int]] = {}
        market.on_change(self._on_change)

    def submit(self, order: Order, quirks: Quirks = NORMAL) -> None:
        """Takes a new order from the broker's door to wherever it comes to rest."""
        order.tag_hidden = quirks.tag == "lost"
        if quirks.hidden_ms:
            order.hidden = True
            self._after(quirks.hidden_ms, lambda: self._show(order))
        if quirks.stuck_status is None:
            self._enter(order, quirks)
            return
        for step in (status.VALIDATION_PENDING, status.OPEN_PENDING):
            if order.status == quirks.stuck_status:
                break
            order.move(step, at=self._now())
        self._after(quirks.stuck_ms, lambda: self._enter(order, quirks))

    def amend(self, order: Order, request: OrderRequest, *, becomes: str) -> None:
        order.amend(request, at=self._now(), becomes=becomes)
        self._announce(order, as_status="UPDATE")
        self._work(order, stance="arriving")

    def refuse_amendment(self, order: Order, message: str) -> None:
        order.refuse_amendment(message, at=self._now())

    def cancel(self, order: Order, quirks: Quirks = NORMAL) -> None:
        """A cancel by the client; with `fill_wins` the exchange was faster."""
        order.order_timestamp = self._now()
        order.move(status.CANCEL_PENDING, at=self._now())
        if quirks.cancel_race == "fill_wins":
            self._fill(order, quantity=order.unfilled_quantity, price=self._own_price(order))
        else:
            self._end(order)

    def force_fill(self, order: Order, quantity: int) -> None:
        """The exchange fills `quantity` at the order's own price, or at the last price when it has none."""
        if order.status == status.TRIGGER_PENDING:
            self._open(order)
        if order.status != status.OPEN or not 0 < quantity <= order.unfilled_quantity:
            raise input_error(
                f"cannot fill {quantity}: the order is {order.status} with {order.unfilled_quantity} unfilled"
            )
        self._fill(order, quantity=quantity, price=self._own_price(order))

    def force_reject(self, order: Order, message: str) -> None:
        if order.terminal or order.filled_quantity:
            raise input_error(f"cannot reject: the order is {order.status} with {order.filled_quantity} filled")
        self._reject(order, message)

    def force_cancel(self, order: Order) -> None:
        """The exchange or the broker cancels, not the client."""
        if order.status not in status.LIVE:
            raise input_error(f"cannot cancel: the order is {order.status}")
        self._end(order)

    def expire(self, now: datetime) -> None:
        """Cancels the orders whose minutes (validity TTL) are over."""
        for order in self._book.all_resting():
            minutes = order.request.validity_ttl
            if minutes and now >= order.accepted_at + timedelta(minutes=minutes):
                self._end(order)

    def end_day(self) -> None:
        """What still rests is cancelled without a push: nobody is told in the night."""
        self._taken.clear()
        for order in self._book.all_resting():
            order.move(status.CANCELLED, at=self._now())

    def _enter(self, order: Order, quirks: Quirks) -> None:
        """From the broker's checks to the exchange."""
        if order.terminal:
            return
        now = self._now()
        if order.status == status.RECEIVED:
            order.move(status.VALIDATION_PENDING, at=now)
        if quirks.refusal is not None:
            self._reject(order, quirks.refusal)
            return
        if order.status == status.VALIDATION_PENDING:
            order.move(status.OPEN_PENDING, at=now)
        refusal = exchange_refusal(order.request, quote=self._market.quote(order.instrument.instrument_token))
        if refusal is not None:
            self._reject(order, refusal)
            return
        order.register(self._numbers.exchange_order_id(), at=now)
        self._rest(order, quirks)

    def _rest(self, order: Order, quirks: Quirks) -> None:
        if order.request.order_type == "SL":
            order.move(status.TRIGGER_PENDING, at=self._now())
        else:
            order.move(status.OPEN, at=self._now())
        self._book.track(order)
        if quirks.fill_at_most is not None:
            order.held = True
            self._partly_fill(order, quirks.fill_at_most)
        else:
            self._work(order, stance="arriving")
        if order.request.validity == "IOC" and not order.terminal:
            self._end(order)
        elif not order.terminal and not order.filled_quantity:
            self._announce(order, audience="sockets")

    def _partly_fill(self, order: Order, quantity: int) -> None:
        quantity = min(quantity, order.unfilled_quantity)
        if quantity > 0 and order.status == status.OPEN:
            self._fill(order, quantity=quantity, price=self._own_price(order))

    def renew(self, token: int) -> None:
        """The crowd will offer again everything that its book shows, from the next change of the quote on."""
        self._taken.pop((token, "BUY"), None)
        self._taken.pop((token, "SELL"), None)

    def _on_change(self, tokens: Iterable[int]) -> None:
        """New quotes: where the crowd's book differs, what was taken is there again; resting orders are met."""
        resting = self._book.resting_tokens()
        for token in [token for token in tokens if token in resting]:
            quote = self._market.quote(token)
            for order in self._book.resting(token):
                self._work(order, quote=quote, stance="resting")

    def _work(self, order: Order, *, stance: Stance, quote: Quote | None = None) -> None:
        """Triggers a stop whose price was reached, then takes what the other side offers within the limit."""
        if order.held or order.status not in status.LIVE:
            return
        token = order.instrument.instrument_token
        quote = quote or self._market.quote(token)
        request = order.request
        if order.status == status.TRIGGER_PENDING:
            if not is_triggered(request.trigger_price, side=request.transaction_type, last_price=quote.last_price):
                return
            self._open(order)
            stance = "arriving"
        levels = quote.sell if is_buy(order) else quote.buy
        taken = self._taken_of(token, request.transaction_type, levels)
        fills = match(
            levels,
            side=request.transaction_type,
            limit=request.price,
            quantity=order.unfilled_quantity,
            taken=taken,
            stance=stance,
        )
        for fill in fills:
            taken += fill.quantity
            self._taken[(token, request.transaction_type)] = (levels, taken)
            self._fill(order, quantity=fill.quantity, price=fill.price)

    def _taken_of(self, token: int, side: str, levels: Levels) -> int:
        """How much of these very levels is gone; a book that differs is a new one."""
        seen, taken = self._taken.get((token, side), (levels, 0))
        return taken if seen == levels else 0

    def _open(self, order: Order) -> None:
        order.move(status.OPEN, at=self._now())
        self._book.track(order)
        self._announce(order, audience="sockets")

    def _fill(self, order: Order, *, quantity: int, price: Decimal) -> None:
        now = self._now()
        trade = Trade(
            trade_id=self._numbers.trade_id(),
            order_id=order.order_id,
            exchange_order_id=order.exchange_order_id or "",
            instrument=order.instrument,
            product=order.request.product,
            transaction_type=order.request.transaction_type,
            quantity=quantity,
            price=price,
            at=now,
        )
        order.fill(trade)
        self._book.track(order)
        self._portfolios[order.user_id].book(trade)
        self._market.record_trade(trade.instrument.instrument_token, price, quantity, now)
        self._announce(order, as_status=None if order.terminal else "UPDATE")

    def _own_price(self, order: Order) -> Decimal:
        return order.request.price or self._market.quote(order.instrument.instrument_token).last_price

    def _end(self, order: Order) -> None:
        order.move(status.CANCELLED, at=self._now())
        self._book.track(order)
        self._announce(order)

    def _reject(self, order: Order, message: str) -> None:
        order.reject(message, at=self._now())
        self._book.track(order)
        self._announce(order)

    def _show(self, order: Order) -> None:
        order.hidden = False
        self._announce(order, audience="everyone" if order.terminal else "sockets")

    def _announce(self, order: Order, *, as_status: str | None = None, audience: Audience = "everyone") -> None:
        """A hidden order is silent until it shows."""
        if not order.hidden:
            self._notify(order, as_status=as_status or order.status, audience=audience)

    def _after(self, delay_ms: int, action: Callable[[], None]) -> None:
        if delay_ms >= 0:
            self._call_later(delay_ms / 1000, action)
