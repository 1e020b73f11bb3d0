"""The path of an accepted order: to the exchange, through its triggers and fills, to its end.

Everything is synchronous: when a call returns, the change is complete, in the history, and its updates are queued. Only
a fault delays something, by `call_later`.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from decimal import Decimal

from simulator.errors import input_error
from simulator.exchange.entry.checks import exchange_refusal
from simulator.exchange.matching.fills import Role, is_triggered
from simulator.exchange.matching.follow_ups import FollowUpQueue
from simulator.exchange.matching.liquidity import SimulatedLiquidity
from simulator.exchange.matching.protections import OUTSIDE_PROTECTION, SELF_TRADE, is_within_protection
from simulator.exchange.orders import status
from simulator.exchange.orders.order import HistoryRow, Order, Trade
from simulator.exchange.orders.order_faults import NO_FAULTS, OrderFaults
from simulator.exchange.orders.request import OrderRequest
from simulator.exchange.parts import ExchangeParts
from simulator.exchange.steps.atomic_step import Audience
from simulator.exchange.steps.delayed_steps import CallLater, DelayedSteps
from simulator.market.quote import Quote


class Engine:
    """Moves orders along their path. One event loop owns it. It listens to the market's changes by itself."""

    def __init__(self, parts: ExchangeParts, *, call_later: CallLater) -> None:
        self._market = parts.market
        self._book = parts.book
        self._ids = parts.ids
        self._portfolios = parts.portfolios
        self._now = parts.now
        self._step = parts.step
        self._delayed = DelayedSteps(step=parts.step, call_later=call_later, now=parts.now)
        self._liquidity = SimulatedLiquidity(parts.book)
        self.follow_ups = FollowUpQueue()
        parts.market.on_change(self._on_change)

    def submit(self, order: Order, faults: OrderFaults = NO_FAULTS) -> None:
        """Sends a new order to the exchange: it is rejected, rests, or is filled, in so far as no fault delays it."""
        order.tag_hidden = faults.tag == "lost"
        if faults.hidden_ms:
            order.hidden = True
            order.shows_at = self._delayed.after(faults.hidden_ms, lambda: self._show(order))
        if faults.stuck_status is None:
            self._enter(order, faults)
            return
        for step in (status.VALIDATION_PENDING, status.OPEN_PENDING):
            if order.status == faults.stuck_status:
                break
            order.move(step, at=self._now())
        order.enters_at = self._delayed.after(faults.stuck_ms, lambda: self._enter(order, faults))

    def release(self, order: Order) -> None:
        """Sends an after-market order to the exchange, whose market has opened."""
        order.move(status.RECEIVED, at=self._now())
        self._enter(order, NO_FAULTS)

    def resume(self, order: Order) -> None:
        """Starts the timers of a delayed order again after a restart."""
        if order.shows_at is not None:
            self._delayed.at(order.shows_at, lambda: self._show(order))
        if order.enters_at is not None:
            self._delayed.at(order.enters_at, lambda: self._enter(order, NO_FAULTS))

    def amend(self, order: Order, request: OrderRequest, *, becomes: str) -> None:
        """Applies a modification; `becomes` is OPEN or TRIGGER PENDING. The order may trade, or stays as it was."""
        quote = self._market.quote(order.instrument.instrument_token)
        if becomes == status.OPEN and not is_within_protection(request, order.instrument, last_price=quote.last_price):
            self.refuse_amendment(order, OUTSIDE_PROTECTION)
            return
        order.amend(request, at=self._now(), becomes=becomes)
        self._book.track(order)
        self._push_update(order, as_status="UPDATE")
        self._match(order, role="taker")

    def refuse_amendment(self, order: Order, message: str) -> None:
        """Refuses a modification that the broker accepted."""
        order.refuse_amendment(message, at=self._now())

    def cancel(self, order: Order, faults: OrderFaults = NO_FAULTS) -> None:
        """A cancel by the client. With the fault `fill_wins` the order is filled instead."""
        order.order_timestamp = self._now()
        order.move(status.CANCEL_PENDING, at=self._now())
        if faults.cancel_race == "fill_wins":
            self._fill(order, quantity=order.unfilled_quantity, price=self._own_price(order))
        else:
            self._end_cancelled(order)

    def cancel_parked(self, order: Order) -> None:
        """A cancel of an after-market order, which the exchange does not have yet."""
        order.order_timestamp = self._now()
        self._end_cancelled(order)

    def exit_at_market(self, order: Order, request: OrderRequest) -> None:
        """Opens the second leg of a cover order without its trigger. `request` has the market's price as its limit."""
        order.order_timestamp = self._now()
        order.request = request
        self._open(order)
        self._match(order, role="taker")

    def force_fill(self, order: Order, quantity: int) -> None:
        """Fills `quantity` at the order's own price, or at the last price when it has none. Raises KiteError 400."""
        with self._step:
            if order.status == status.TRIGGER_PENDING:
                self._open(order)
            if order.status != status.OPEN or not 0 < quantity <= order.unfilled_quantity:
                raise input_error(
                    f"cannot fill {quantity}: the order is {order.status} with {order.unfilled_quantity} unfilled"
                )
            self._fill(order, quantity=quantity, price=self._own_price(order))

    def force_reject(self, order: Order, message: str) -> None:
        """Rejects an order without fills. Raises KiteError 400."""
        if order.terminal or order.filled_quantity:
            raise input_error(f"cannot reject: the order is {order.status} with {order.filled_quantity} filled")
        with self._step:
            self._reject(order, message)

    def force_cancel(self, order: Order) -> None:
        """A cancel by the exchange or the broker, not by the client. Raises KiteError 400."""
        if order.status not in status.LIVE:
            raise input_error(f"cannot cancel: the order is {order.status}")
        with self._step:
            self._end_cancelled(order)

    def expire(self, now: datetime) -> None:
        """Cancels the orders of validity TTL whose minutes are over."""
        with self._step:
            for order in self._book.all_resting():
                minutes = order.request.validity_ttl
                if minutes and now >= order.accepted_at + timedelta(minutes=minutes):
                    self._end_cancelled(order)

    def reset_liquidity(self) -> None:
        """All quotes offer their full quantity again, as on a new day."""
        self._liquidity.clear()

    def renew_liquidity(self, token: int) -> None:
        """The instrument's present quote offers its full quantity again, from its next change on."""
        self._liquidity.renew(token)

    def close(self, order: Order) -> None:
        """Ends an order whose day or session is over: cancels it, or rejects it when the exchange never had it."""
        if order.status in (status.RECEIVED, status.VALIDATION_PENDING, status.OPEN_PENDING):
            self._reject(order, "Order was not confirmed by the exchange before the end of the day.")
        elif not order.terminal:
            self._end_cancelled(order)

    def square_off(self, order: Order) -> None:
        """Fills an order that the broker places itself: completely, at its price, whatever the quote offers."""
        for step in (status.VALIDATION_PENDING, status.OPEN_PENDING):
            order.move(step, at=self._now())
        order.register(self._ids.exchange_order_id(), at=self._now())
        order.move(status.OPEN, at=self._now())
        self._fill(order, quantity=order.unfilled_quantity, price=order.request.price)

    def _enter(self, order: Order, faults: OrderFaults) -> None:
        """Takes an order through the broker's checks to the exchange, which rejects or books it."""
        order.enters_at = None
        if order.terminal:
            return
        now = self._now()
        if order.status == status.RECEIVED:
            order.move(status.VALIDATION_PENDING, at=now)
        if faults.refusal is not None:
            self._reject(order, faults.refusal)
            return
        if order.status == status.VALIDATION_PENDING:
            order.move(status.OPEN_PENDING, at=now)
        refusal = exchange_refusal(order.request, quote=self._market.quote(order.instrument.instrument_token))
        if refusal is not None:
            self._reject(order, refusal)
            return
        order.register(self._ids.exchange_order_id(), at=now)
        self._rest(order, faults)

    def _rest(self, order: Order, faults: OrderFaults) -> None:
        order.move(status.TRIGGER_PENDING if order.request.order_type == "SL" else status.OPEN, at=self._now())
        self._book.track(order)
        if order.request.variety == "auction":
            order.excluded_from_matching = True
        elif faults.fill_at_most is not None:
            order.excluded_from_matching = True
            self._fill_partly(order, faults.fill_at_most)
        else:
            self._match(order, role="taker")
        if order.request.validity == "IOC" and not order.terminal:
            self._end_cancelled(order)
        elif not order.terminal and not order.filled_quantity:
            self._push_update(order, audience="sockets")

    def _fill_partly(self, order: Order, quantity: int) -> None:
        quantity = min(quantity, order.unfilled_quantity)
        if quantity > 0 and order.status == status.OPEN:
            self._fill(order, quantity=quantity, price=self._own_price(order))

    def _on_change(self, tokens: Iterable[int]) -> None:
        """Quotes have changed: the resting orders of these instruments may trigger or trade."""
        changed = [token for token in tokens if token in self._book.resting_tokens()]
        if not changed:
            return
        with self._step:
            for token in changed:
                quote = self._market.quote(token)
                for order in self._book.resting(token):
                    self._match(order, quote=quote, role="maker")

    def _match(self, order: Order, *, role: Role, quote: Quote | None = None) -> None:
        """Triggers a stop whose price was reached, then fills what the other side offers within the limit."""
        if order.excluded_from_matching or order.status not in status.LIVE:
            return
        token, now = order.instrument.instrument_token, self._now()
        session = self._market.session(token, now)
        if not session.is_open(now):
            if role == "taker" and self._market.phase(token, now) == "closing":
                self._fill(order, quantity=order.unfilled_quantity, price=self._market.last_price(token))
            return
        if order.exchange_timestamp is not None and order.exchange_timestamp < session.opens:
            role = "taker"  # collected before the open: it trades as if it arrived now
        quote = quote or self._market.quote(token)
        request = order.request
        if order.status == status.TRIGGER_PENDING:
            if not is_triggered(request.trigger_price, side=request.transaction_type, last_price=quote.last_price):
                return
            self._open(order)
            role = "taker"
        if role == "taker" and not is_within_protection(request, order.instrument, last_price=quote.last_price):
            self._end_cancelled(order, OUTSIDE_PROTECTION)
            return
        self._trade(order, quote, role=role)

    def _trade(self, order: Order, quote: Quote, *, role: Role) -> None:
        with self.follow_ups.paused():
            fills, with_itself = self._liquidity.match(order, quote, role=role)
            for fill, maker in fills:
                if maker is not None:
                    self._fill(maker, quantity=fill.quantity, price=fill.price)
                self._fill(order, quantity=fill.quantity, price=fill.price)
            if with_itself:
                self._end_cancelled(order, SELF_TRADE)

    def _open(self, order: Order) -> None:
        order.move(status.OPEN, at=self._now())
        self._book.track(order)
        self._push_update(order, audience="sockets")

    def _fill(self, order: Order, *, quantity: int, price: Decimal) -> None:
        now = self._now()
        trade = Trade(
            trade_id=self._ids.trade_id(),
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
        self._push_update(order, as_status=None if order.terminal else "UPDATE")
        if order.terminal:
            self.follow_ups.order_ended(order)

    def _own_price(self, order: Order) -> Decimal:
        return order.request.price or self._market.quote(order.instrument.instrument_token).last_price

    def _end_cancelled(self, order: Order, message: str | None = None) -> None:
        order.cancel(message, at=self._now())
        self._announce_end(order)

    def _reject(self, order: Order, message: str) -> None:
        order.reject(message, at=self._now())
        self._announce_end(order)

    def _announce_end(self, order: Order) -> None:
        self._book.track(order)
        self._push_update(order)
        self.follow_ups.order_ended(order)

    def _show(self, order: Order) -> None:
        order.hidden = False
        order.shows_at = None
        self._step.changed(order)
        self._push_update(order, audience="everyone" if order.terminal else "sockets")

    def _push_update(self, order: Order, *, as_status: str | None = None, audience: Audience = "everyone") -> None:
        """Queues an update of the order as it is now; a hidden order has none."""
        if not order.hidden:
            state: HistoryRow = order.snapshot(self._now())
            self._step.push(order, state, as_status=as_status or order.status, audience=audience)
