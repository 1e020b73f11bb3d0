"""An exchange for tests: the real market without price changes, a clock and timers that tests move."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

from simulator.clock import IST
from simulator.exchange.accounts.users import Accounts
from simulator.exchange.exchange import Exchange
from simulator.exchange.orders.order import HistoryRow, Order
from simulator.market.instrument import Instrument
from simulator.market.market import Market, TokenListener

START = datetime(2026, 7, 6, 11, 0, tzinfo=IST)
USER = "SIM001"
OTHER_USER = "SIM002"


class ReusableMarket(Market):
    """A market that several exchanges use one after the other, because building one takes a while."""

    def __init__(self, *, seed: int = 1) -> None:
        self._listeners_of_exchange: list[TokenListener] = []
        super().__init__(seed=seed, now=START, ticks_per_second=0)
        super().on_change(self._notify_exchange)

    def on_change(self, listener: TokenListener) -> None:
        self._listeners_of_exchange.append(listener)

    def forget_exchange(self) -> None:
        """The next exchange gets it without the listeners of the last one."""
        self._listeners_of_exchange.clear()

    def _notify_exchange(self, tokens: Sequence[int]) -> None:
        for listener in self._listeners_of_exchange:
            listener(tokens)


@dataclass(slots=True)
class ManualClock:
    moment: datetime = START

    def now(self) -> datetime:
        return self.moment

    def advance(self, seconds: float) -> None:
        self.moment += timedelta(seconds=seconds)


@dataclass(slots=True)
class Push:
    """One notification of a change of an order."""

    order_id: str
    status: str
    filled_quantity: int
    audience: str


@dataclass(slots=True)
class ExchangeEnvironment:
    """The exchange and its collaborators. Every instrument that a test uses is frozen at a known price."""

    market: Market
    exchange: Exchange
    clock: ManualClock
    pushes: list[Push] = field(default_factory=list)
    timers: list[tuple[float, Callable[[], None]]] = field(default_factory=list)

    def freeze(self, name: str, price: str, *, liquidity: int = 10_000) -> Instrument:
        exchange, _, symbol = name.partition(":")
        instrument = self.exchange.instrument(exchange, symbol)
        token = instrument.instrument_token
        self.exchange.engine.renew_liquidity(token)
        self.market.set_price(token, Decimal(price), frozen=True, liquidity=liquidity)
        return instrument

    def place(self, user_id: str = USER, **changes: object) -> Order:
        return self.exchange.any_order(self.exchange.place(user_id, "regular", order_params(**changes)))

    def fire_timers(self) -> None:
        due, self.timers = self.timers, []
        for _, action in due:
            action()

    def statuses(self, order: Order) -> list[str]:
        return [row.status for row in order.history]


def order_params(**changes: object) -> dict[str, str]:
    """A LIMIT order for 10 INFY, with changes; None removes a field."""
    params: dict[str, object] = {
        "exchange": "NSE",
        "tradingsymbol": "INFY",
        "transaction_type": "BUY",
        "quantity": 10,
        "product": "MIS",
        "order_type": "LIMIT",
        "price": "1500",
        "validity": "DAY",
        **changes,
    }
    return {name: str(value) for name, value in params.items() if value is not None}


def open_environment(
    *, market: ReusableMarket | None = None, cash: int = 10_000_000, seed: int = 1
) -> ExchangeEnvironment:
    """An exchange with INFY frozen at 1500, best ask 1500.00. `market` is used again, without its last exchange."""
    clock = ManualClock()
    market = market or ReusableMarket(seed=seed)
    market.forget_exchange()
    accounts = Accounts(2, seed=seed, started_at=START, session_end="never")
    pushes: list[Push] = []
    timers: list[tuple[float, Callable[[], None]]] = []

    def notify(order: Order, *, state: HistoryRow, as_status: str, audience: str) -> None:
        pushes.append(Push(order.order_id, as_status, state.filled_quantity, audience))

    def call_later(delay: float, action: Callable[[], None]) -> None:
        timers.append((delay, action))

    exchange = Exchange(
        market=market,
        accounts=accounts,
        now=clock.now,
        seed=seed,
        opening_cash=Decimal(cash),
        notify=notify,
        call_later=call_later,
    )
    environment = ExchangeEnvironment(market, exchange, clock, pushes, timers)
    environment.freeze("NSE:INFY", "1500")
    return environment
