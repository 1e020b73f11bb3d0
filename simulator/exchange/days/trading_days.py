"""What a trading day does: after-market orders go out at the open, intraday positions are squared off, the day ends.

With sessions `always` there is one event, midnight. With the calendar, `schedule` has the hours. `advance` is called as
time passes and does what has come due; calling it again does nothing.
"""

from collections.abc import Callable, Iterable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Final

from simulator.clock import IST
from simulator.exchange.accounts.portfolio import Holding, Portfolio
from simulator.exchange.accounts.positions import Position
from simulator.exchange.accounts.users import Accounts
from simulator.exchange.days.carry_over import carry_portfolio
from simulator.exchange.days.schedule import Event, due_events
from simulator.exchange.entry.acceptance import OrderAcceptance
from simulator.exchange.matching.engine import Engine
from simulator.exchange.orders import status
from simulator.exchange.orders.order import Order
from simulator.exchange.orders.request import OrderRequest
from simulator.exchange.parts import ExchangeParts
from simulator.market.instrument import EQUITY
from simulator.market.sessions import is_session_day

HOLDINGS: Final[tuple[tuple[str, str, int], ...]] = (
    ("NSE", "INFY", 100),
    ("NSE", "SBIN", 50),
    ("NSE", "RELIANCE", 20),
)
"""The shares of every account on the first day, as far as they are listed."""
OPENING_COST_SHARE: Final = Decimal("0.9")
"""What they cost on average, as a share of the previous close."""
INTRADAY: Final = ("MIS", "CO")
"""Products whose positions are squared off before the close."""
LAST_MOMENT: Final = time(23, 59, 59, 999_999)


class TradingDays:
    """Moves the exchange from one day to the next."""

    def __init__(
        self,
        parts: ExchangeParts,
        *,
        accounts: Accounts,
        engine: Engine,
        acceptance: OrderAcceptance,
        opening_cash: Decimal,
    ) -> None:
        """`opening_cash` is in rupees, for each account and segment."""
        self._market = parts.market
        self._book = parts.book
        self._portfolios = parts.portfolios
        self._step = parts.step
        self._now = parts.now
        self._accounts = accounts
        self._engine = engine
        self._acceptance = acceptance
        self._opening_cash = opening_cash
        self._closing: dict[int, Decimal] = {}
        self.on_day_start: Callable[[], None] | None = None
        """Called when a day has begun, with its book and portfolios in place."""
        self.day = self._market.listing.day
        """The day that book and portfolios belong to."""
        self._done_until = self._start_of_day()

    def reset(self) -> None:
        """Begins the first day again: empty book, opening cash, first holdings. Ledger and ids go on."""
        with self._step:
            for order in list(self._book.all_orders()):
                self._engine.close(order)
        for account in self._accounts:
            self._portfolios[account.user_id] = Portfolio(
                cash={"equity": self._opening_cash, "commodity": self._opening_cash},
                holdings=self._first_holdings(),
            )
        self._begin(parked=())

    def resume(self, day: date) -> None:
        """Goes on with the day of a journal. Its events are repeated, which changes nothing that they did before."""
        self.day = day
        self._done_until = self._start_of_day()

    def advance(self) -> None:
        """Does the events of the schedule since the last call."""
        if self._market.sessions == "calendar" and self.day == self._market.listing.day:
            self._catch_up(self._now())

    def end_day(self) -> None:
        """Ends the day while its prices are still there: closes open orders, squares off intraday positions."""
        if self._market.sessions == "calendar":
            self._catch_up(datetime.combine(self.day, LAST_MOMENT, IST))
        with self._step:
            self._end_orders(self._book.all_orders())
            self._square_off(None)
        self._closing = {
            position.instrument.instrument_token: self._price(position)
            for portfolio in self._portfolios.values()
            for position in portfolio.positions.values()
        }

    def new_day(self) -> None:
        """Begins the next day with an empty book and what every account carries over. Nothing on the same day."""
        day = self._market.listing.day
        if day == self.day:
            return
        delivery = self._market.sessions == "always" or is_session_day(self.day)
        for user_id, portfolio in self._portfolios.items():
            self._portfolios[user_id] = carry_portfolio(
                portfolio, day=day, closing_price=self._price, delivery="due" if delivery else "waits"
            )
        self._begin(parked=self._book.parked())
        if self._market.sessions == "always":
            with self._step:
                self._release(self._book.parked())

    def _begin(self, *, parked: Iterable[Order]) -> None:
        parked = list(parked)
        self._engine.reset_liquidity()
        self._book.clear()
        for order in parked:
            self._book.add(order)
        self.day = self._market.listing.day
        self._done_until = self._start_of_day()
        if self.on_day_start is not None:
            self.on_day_start()

    def _catch_up(self, until: datetime) -> None:
        events = due_events(self.day, after=self._done_until, until=until)
        self._done_until = max(until, self._done_until)
        for event in events:
            with self._step:
                self._do(event)

    def _do(self, event: Event) -> None:
        """Applies the event to the orders accepted before its hour, however late it is noticed."""
        if event.kind == "square_off":
            self._square_off(event.exchanges)
            return
        orders = [
            order
            for order in self._book.all_orders()
            if order.instrument.exchange in event.exchanges and order.accepted_at < event.at
        ]
        if event.kind == "close":
            self._end_orders(orders)
            return
        parked = [order for order in orders if order.status == status.AMO_RECEIVED]
        self._release(order for order in parked if event.kind == "open" or order.request.order_type == "LIMIT")

    def _release(self, orders: Iterable[Order]) -> None:
        for order in list(orders):
            self._engine.release(order)

    def _end_orders(self, orders: Iterable[Order]) -> None:
        """Closes orders; an after-market order is kept unless its contract has expired."""
        for order in list(orders):
            expiry = order.instrument.expiry
            if order.status != status.AMO_RECEIVED or (expiry is not None and expiry <= self.day):
                self._engine.close(order)

    def _square_off(self, exchanges: frozenset[str] | None) -> None:
        """Cancels intraday orders, and closes intraday positions by orders of the broker at the last price.

        `exchanges` None: of every exchange.
        """
        for user_id, portfolio in self._portfolios.items():
            for position in list(portfolio.positions.values()):
                if position.product not in INTRADAY or (exchanges and position.instrument.exchange not in exchanges):
                    continue
                for order in self._book.unfinished(user_id):
                    same = order.instrument == position.instrument and order.request.product == position.product
                    if same and order.status != status.AMO_RECEIVED:
                        self._engine.close(order)
                if position.quantity:
                    self._close_position(user_id, position)

    def _close_position(self, user_id: str, position: Position) -> None:
        price = self._price(position)
        request = OrderRequest(
            variety="regular",
            exchange=position.instrument.exchange,
            tradingsymbol=position.instrument.tradingsymbol,
            transaction_type="SELL" if position.quantity > 0 else "BUY",
            quantity=abs(position.quantity),
            product=position.product,
            order_type="LIMIT",
            price=price,
        )
        order = self._acceptance.accept(user_id, request, position.instrument, {"placed_by": "square-off"})
        self._engine.square_off(order)

    def _price(self, position: Position) -> Decimal:
        """The last price; for what is no longer listed, the last price of its last day."""
        token = position.instrument.instrument_token
        known = self._market.instruments.get(token)
        if known == position.instrument:
            return self._market.last_price(token)
        return self._closing.get(token, position.open_price)

    def _start_of_day(self) -> datetime:
        return datetime.combine(self.day, time(), IST) - timedelta(microseconds=1)

    def _first_holdings(self) -> list[Holding]:
        found = []
        for exchange, tradingsymbol, quantity in HOLDINGS:
            instrument = self._market.find(exchange, tradingsymbol)
            if instrument is not None and exchange in EQUITY:
                close = self._market.quote(instrument.instrument_token).close
                found.append(Holding(instrument, quantity, (close * OPENING_COST_SHARE).quantize(Decimal("0.01"))))
        return found
