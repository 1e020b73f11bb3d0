"""What happens to an order after it was accepted: its way to the exchange, its fills, its triggers, its end.

Everything here is synchronous: a change is complete, pushed and in the history when the call returns. `call_later` is
asked only when a quirk delays something; times come from `now`.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from decimal import Decimal

from simulator.errors import input_error
from simulator.exchange.accounts.portfolio import Portfolio
from simulator.exchange.entry.checks import exchange_refusal
from simulator.exchange.matching.fills import Stance, is_triggered
from simulator.exchange.matching.follow_ups import Following
from simulator.exchange.matching.liquidity import Crowd
from simulator.exchange.orders import order as status
from simulator.exchange.orders.book import Numbers, OrderBook
from simulator.exchange.orders.order import HistoryRow, Order, OrderRequest, Trade
from simulator.exchange.orders.order_faults import NORMAL, Quirks
from simulator.exchange.steps.atomic_step import Audience, Turn
from simulator.exchange.steps.delayed_steps import CallLater, Later
from simulator.market.market import Market
from simulator.market.quote import Quote


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
        turn: Turn,
        call_later: CallLater,
    ) -> None:
        self._market = market
        self._book = book
        self._numbers = numbers
        self._portfolios = portfolios
        self._now = now
        self._turn = turn
        self._later = Later(turn=turn, call_later=call_later, now=now)
        self._crowd = Crowd(book)
        self.following = Following()
        market.on_change(self._on_change)

    def submit(self, order: Order, quirks: Quirks = NORMAL) -> None:
        """Takes a new order from the broker's door to wherever it comes to rest."""
        order.tag_hidden = quirks.tag == "lost"
        if quirks.hidden_ms:
            order.hidden = True
            order.shows_at = self._later.after(quirks.hidden_ms, lambda: self._show(order))
        if quirks.stuck_status is None:
            self._enter(order, quirks)
            return
        for step in (status.VALIDATION_PENDING, status.OPEN_PENDING):
            if order.status == quirks.stuck_status:
                break
            order.move(step, at=self._now())
        order.enters_at = self._later.after(quirks.stuck_ms, lambda: self._enter(order, quirks))

    def release(self, order: Order) -> None:
        """The market opens for an order that waited at the broker."""
        order.move(status.RECEIVED, at=self._now())
        self._enter(order, NORMAL)

    def resume(self, order: Order) -> None:
        """After a restart: what was delayed goes on when it is due, and nothing that should be gone rests on."""
        if order.shows_at is not None:
            self._later.at(order.shows_at, lambda: self._show(order))
        if order.enters_at is not None:
            self._later.at(order.enters_at, lambda: self._enter(order, NORMAL))

    def amend(self, order: Order, request: OrderRequest, *, becomes: str) -> None:
        order.amend(request, at=self._now(), becomes=becomes)
        self._book.track(order)
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

    def cancel_parked(self, order: Order) -> None:
        order.order_timestamp = self._now()
        self._end(order)

    def leave_at_market(self, order: Order, request: OrderRequest) -> None:
        """The second leg of a cover order gives up its trigger and takes what the market pays."""
        order.order_timestamp = self._now()
        order.request = request
        self._open(order)
        self._work(order, stance="arriving")

    def force_fill(self, order: Order, quantity: int) -> None:
        """The exchange fills `quantity` at the order's own price, or at the last price when it has none."""
        with self._turn:
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
        with self._turn:
            self._reject(order, message)

    def force_cancel(self, order: Order) -> None:
        """The exchange or the broker cancels, not the client."""
        if order.status not in status.LIVE:
            raise input_error(f"cannot cancel: the order is {order.status}")
        with self._turn:
            self._end(order)

    def expire(self, now: datetime) -> None:
        """Cancels the orders whose minutes (validity TTL) are over."""
        with self._turn:
            for order in self._book.all_resting():
                minutes = order.request.validity_ttl
                if minutes and now >= order.accepted_at + timedelta(minutes=minutes):
                    self._end(order)

    def forget_crowd(self) -> None:
        """A new day: the crowd's book is a new one."""
        self._crowd.clear()

    def close(self, order: Order) -> None:
        """The day or the session is over for an order; what is on its way is ended too."""
        if order.status in (status.RECEIVED, status.VALIDATION_PENDING, status.OPEN_PENDING):
            self._reject(order, "Order was not confirmed by the exchange before the end of the day.")
        elif not order.terminal:
            self._end(order)

    def square_off(self, order: Order) -> None:
        """An order of the broker's own: all of it at its price, whatever the crowd offers."""
        for step in (status.VALIDATION_PENDING, status.OPEN_PENDING):
            order.move(step, at=self._now())
        order.register(self._numbers.exchange_order_id(), at=self._now())
        order.move(status.OPEN, at=self._now())
        self._fill(order, quantity=order.unfilled_quantity, price=order.request.price)

    def _enter(self, order: Order, quirks: Quirks) -> None:
        """From the broker's checks to the exchange."""
        order.enters_at = None
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
        stop = order.request.order_type == "SL"
        order.move(status.TRIGGER_PENDING if stop else status.OPEN, at=self._now())
        self._book.track(order)
        if order.request.variety == "auction":
            order.held = True
        elif quirks.fill_at_most is not None:
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
        self._crowd.renew(token)

    def _on_change(self, tokens: Iterable[int]) -> None:
        """New quotes: where the crowd's book differs, what was taken is there again; resting orders are met."""
        resting = self._book.resting_tokens()
        moved = [token for token in tokens if token in resting]
        if not moved:
            return
        with self._turn:
            for token in moved:
                quote = self._market.quote(token)
                for order in self._book.resting(token):
                    self._work(order, quote=quote, stance="resting")

    def _work(self, order: Order, *, stance: Stance, quote: Quote | None = None) -> None:
        """Triggers a stop whose price was reached, then takes what the other side offers within the limit."""
        if order.held or order.status not in status.LIVE:
            return
        token = order.instrument.instrument_token
        session = self._market.session(token, self._now())
        if not session.is_open(self._now()):
            return
        if order.exchange_timestamp is not None and order.exchange_timestamp < session.opens:
            stance = "arriving"  # collected before the open: it meets the market as if it came now
        quote = quote or self._market.quote(token)
        request = order.request
        if order.status == status.TRIGGER_PENDING:
            if not is_triggered(request.trigger_price, side=request.transaction_type, last_price=quote.last_price):
                return
            self._open(order)
            stance = "arriving"
        self._trade(order, quote, stance=stance)

    def _trade(self, order: Order, quote: Quote, *, stance: Stance) -> None:
        with self.following.held():
            for fill, maker in self._crowd.meet(order, quote, stance=stance):
                if maker is not None:
                    self._fill(maker, quantity=fill.quantity, price=fill.price)
                self._fill(order, quantity=fill.quantity, price=fill.price)

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
        self._ended(order)

    def _own_price(self, order: Order) -> Decimal:
        return order.request.price or self._market.quote(order.instrument.instrument_token).last_price

    def _end(self, order: Order) -> None:
        order.move(status.CANCELLED, at=self._now())
        self._book.track(order)
        self._announce(order)
        self._ended(order)

    def _reject(self, order: Order, message: str) -> None:
        order.reject(message, at=self._now())
        self._book.track(order)
        self._announce(order)
        self._ended(order)

    def _ended(self, order: Order) -> None:
        if order.terminal:
            self.following.ended(order)

    def _show(self, order: Order) -> None:
        order.hidden = False
        order.shows_at = None
        self._turn.changed(order)
        self._announce(order, audience="everyone" if order.terminal else "sockets")

    def _announce(self, order: Order, *, as_status: str | None = None, audience: Audience = "everyone") -> None:
        """A hidden order is silent until it shows."""
        if not order.hidden:
            state: HistoryRow = order.snapshot(self._now())
            self._turn.push(order, state, as_status=as_status or order.status, audience=audience)
