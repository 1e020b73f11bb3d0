"""The parts of one exchange that its packages share."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from simulator.exchange.accounts.portfolio import Portfolio
from simulator.exchange.orders.book import OrderBook
from simulator.exchange.orders.ids import IdGenerator
from simulator.exchange.orders.ledger import Ledger
from simulator.exchange.steps.atomic_step import AtomicStep
from simulator.market.market import Market


@dataclass(frozen=True, slots=True)
class ExchangeParts:
    """Made once for an exchange and given to everything that changes it."""

    market: Market
    """Instruments, quotes and trading hours."""
    book: OrderBook
    """The orders of the day."""
    ids: IdGenerator
    ledger: Ledger
    """The orders of all days."""
    portfolios: dict[str, Portfolio]
    """By user id. A new day puts another portfolio in the place of each."""
    step: AtomicStep
    """Every change happens inside `with step:`."""
    now: Callable[[], datetime]
    """The simulator's clock, aware."""
