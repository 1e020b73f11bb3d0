"""The trading day: orders that wait for the open, intraday positions that are squared off, and the night.

With sessions `always` there is one event, midnight; with the calendar the table of `schedule` is followed. `advance` is
called as time passes and does what has come due; doing it twice does nothing the second time.
"""

from collections.abc import Callable, Iterable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Final

from simulator.exchange.accounts.portfolio import Holding, Portfolio
from simulator.exchange.accounts.positions import Position
from simulator.exchange.accounts.users import Accounts
from simulator.exchange.days.carry_over import carry_portfolio
from simulator.exchange.days.schedule import Event, due_events
from simulator.exchange.entry.acceptance import Intake
from simulator.exchange.matching.engine import Engine
from simulator.exchange.orders import order as status
from simulator.exchange.orders.book import OrderBook
from simulator.exchange.orders.order import Order, OrderRequest
from simulator.exchange.orders.units import EQUITY_CASH
from simulator.exchange.steps.atomic_step import Turn
from simulator.formats import IST
from simulator.market.market import Market
from simulator.market.sessions import is_session_day

HOLDINGS: Final[tuple[tuple[str, str, int], ...]] = (
    ("NSE", "INFY", 100),
    ("NSE", "SBIN", 50),
    ("NSE", "RELIANCE", 20),
)
"""What every account holds on its first morning, as far as the universe has it."""
INTRADAY: Final = ("MIS", "CO")
LAST_MOMENT: Final = time(23, 59, 59, 999_999)


class Days:
    """Moves the exchange from one day to the next."""

    def __init__(
        self,
        *,
        market: Market,
        accounts: Accounts,
        book: OrderBook,
        portfolios: dict[str, Portfolio],
        engine: Engine,
        intake: Intake,
        turn: Turn,
        now: Callable[[], datetime],
        opening_cash: Decimal,
    ) -> None:
        self._market = market
        self._accounts = accounts
        self._book = book
        self._portfolios = portfolios
        self._engine = engine
        self._intake = intake
        self._turn = turn
        self._now = now
        self._opening_cash = opening_cash
        self._closing: dict[int, Decimal] = {}
        self.on_morning: Callable[[], None] | None = None
        """Told when a day has begun, with book and portfolios as they are then."""
        self.day = market.listing.day
        self._done_until = self._start_of_day()

    def reset(self) -> None:
        """The first morning again: empty book, opening cash, standing holdings. Ledger and numbering go on."""
        with self._turn:
            for order in list(self._book.all_orders()):
                self._engine.close(order)
        for account in self._accounts:
            self._portfolios[account.user_id] = Portfolio(
                cash={"equity": self._opening_cash, "commodity": self._opening_cash},
                holdings=self._morning_holdings(),
            )
        self._begin(parked=())

    def resume(self, day: date) -> None:
        """The day that a journal holds; its events are gone through again, which changes nothing that was done."""
        self.day = day
        self._done_until = self._start_of_day()

    def advance(self) -> None:
        """Does what the table of hours has for the time since the last call."""
        if self._market.sessions == "calendar" and self.day == self._market.listing.day:
            self._catch_up(self._now())

    def end_day(self) -> None:
        """The last moment of the day, while its prices still stand: everything of today that is open ends."""
        if self._market.sessions == "calendar":
            self._catch_up(datetime.combine(self.day, LAST_MOMENT, IST))
        with self._turn:
            self._end_orders(self._book.all_orders())
            self._square_off(None)
        self._closing = {
            position.instrument.instrument_token: self._price(position)
            for portfolio in self._portfolios.values()
            for position in portfolio.positions.values()
        }

    def new_day(self) -> None:
        """The night has passed: another book, and what every account carried over."""
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
            with self._turn:
                self._release(self._book.parked())

    def _begin(self, *, parked: Iterable[Order]) -> None:
        parked = list(parked)
        self._engine.forget_crowd()
        self._book.clear()
        for order in parked:
            self._book.add(order)
        self.day = self._market.listing.day
        self._done_until = self._start_of_day()
        if self.on_morning is not None:
            self.on_morning()

    def _catch_up(self, until: datetime) -> None:
        events = due_events(self.day, after=self._done_until, until=until)
        self._done_until = max(until, self._done_until)
        for event in events:
            with self._turn:
                self._do(event)

    def _do(self, event: Event) -> None:
        """An order that came after the hour waits for the next one, however late the hour is noticed."""
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
        """A parked order waits on, as long as its contract lives."""
        for order in list(orders):
            expiry = order.instrument.expiry
            if order.status != status.AMO_RECEIVED or (expiry is not None and expiry <= self.day):
                self._engine.close(order)

    def _square_off(self, exchanges: frozenset[str] | None) -> None:
        """Intraday orders are cancelled and the positions left closed at the last price, by the broker's orders."""
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
        order = self._intake.accept(user_id, request, position.instrument, {"placed_by": "square-off"})
        self._engine.square_off(order)

    def _price(self, position: Position) -> Decimal:
        """The last price; the day's last one for what is not listed any more."""
        token = position.instrument.instrument_token
        known = self._market.instruments.get(token)
        if known == position.instrument:
            return self._market.last_price(token)
        return self._closing.get(token, position.open_price)

    def _start_of_day(self) -> datetime:
        return datetime.combine(self.day, time(), IST) - timedelta(microseconds=1)

    def _morning_holdings(self) -> list[Holding]:
        found = []
        for exchange, tradingsymbol, quantity in HOLDINGS:
            instrument = self._market.find(exchange, tradingsymbol)
            if instrument is not None and exchange in EQUITY_CASH:
                close = self._market.quote(instrument.instrument_token).close
                found.append(Holding(instrument, quantity, (close * Decimal("0.9")).quantize(Decimal("0.01"))))
        return found
