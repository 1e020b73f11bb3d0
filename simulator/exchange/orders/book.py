"""The day's orders and the numbers given to them. Orders of all users, found by id, by user and by what rests."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from simulator.exchange.orders.order import AMO_RECEIVED, LIVE, OPEN, HistoryRow, Order, Trade
from simulator.exchange.orders.rows import order_row

ORDER_ID_BASE = 2_000_000_000_000_000_000
EXCHANGE_ORDER_ID_BASE = 1_000_000_000_000_000
TRIGGER_ID_BASE = 100_000_000
SEED_SPAN = 10**9
IDS_PER_SEED = 10**8


@dataclass(slots=True)
class Counts:
    """How many ids of each kind were given; they never go back."""

    orders: int = 0
    exchange_orders: int = 0
    trades: int = 0
    triggers: int = 0
    alerts: int = 0


class Numbers:
    """Ids from the seed and a count, so that the same seed and requests give the same ids.

    Order ids have 19 digits as Kite's have since 2025; nobody may read a date from them.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed % SEED_SPAN
        self.counts = Counts()

    def order_id(self) -> str:
        self.counts.orders += 1
        return str(ORDER_ID_BASE + self._seed * IDS_PER_SEED + self.counts.orders)

    def exchange_order_id(self) -> str:
        self.counts.exchange_orders += 1
        return str(EXCHANGE_ORDER_ID_BASE + self._seed * 10**6 + self.counts.exchange_orders)

    def trade_id(self) -> str:
        self.counts.trades += 1
        return str(10_000_000 + self.counts.trades)

    def trigger_id(self) -> int:
        self.counts.triggers += 1
        return TRIGGER_ID_BASE + self.counts.triggers

    def alert_id(self) -> str:
        self.counts.alerts += 1
        digest = hashlib.sha256(f"{self._seed}:alert:{self.counts.alerts}".encode()).digest()
        return str(UUID(bytes=digest[:16], version=4))


class OrderBook:
    """Orders of one trading day. `clear` starts another."""

    def __init__(self) -> None:
        self._by_id: dict[str, Order] = {}
        self._by_user: dict[str, list[Order]] = {}
        self._unfinished: dict[str, dict[str, Order]] = {}
        self._resting: dict[int, dict[str, Order]] = {}

    def add(self, order: Order) -> None:
        self._by_id[order.order_id] = order
        self._by_user.setdefault(order.user_id, []).append(order)
        self._unfinished.setdefault(order.user_id, {})[order.order_id] = order

    def find(self, order_id: str) -> Order | None:
        return self._by_id.get(order_id)

    def of_user(self, user_id: str) -> Sequence[Order]:
        """All of the user's orders, oldest first, also those that the book does not show yet."""
        return self._by_user.get(user_id, [])

    def unfinished(self, user_id: str) -> list[Order]:
        """The user's orders that may still be filled, oldest first."""
        return list(self._unfinished.get(user_id, {}).values())

    def track(self, order: Order) -> None:
        """Keeps the indexes of unfinished and of resting orders true after a change of `order`."""
        if order.terminal:
            self._unfinished[order.user_id].pop(order.order_id, None)
        token = order.instrument.instrument_token
        if order.status in LIVE:
            self._resting.setdefault(token, {})[order.order_id] = order
            return
        resting = self._resting.get(token)
        if resting is not None and resting.pop(order.order_id, None) is not None and not resting:
            del self._resting[token]

    def resting_tokens(self) -> Iterable[int]:
        return self._resting.keys()

    def resting(self, token: int) -> list[Order]:
        """Price first, then time: the orders of an instrument in the order in which they are met."""
        return by_priority(self._resting.get(token, {}).values())

    def opposing(self, order: Order) -> list[Order]:
        """Other users' live orders that stand against `order`, best price first, then time."""
        return by_priority(
            other
            for other in self._resting.get(order.instrument.instrument_token, {}).values()
            if other.user_id != order.user_id and other.status == OPEN and not other.held
            if is_buy(other) != is_buy(order)
        )

    def all_orders(self) -> Iterable[Order]:
        return self._by_id.values()

    def parked(self) -> list[Order]:
        """Orders that wait at the broker for the market to open, oldest first."""
        return [order for order in self._by_id.values() if order.status == AMO_RECEIVED]

    def all_resting(self) -> list[Order]:
        return [order for orders in self._resting.values() for order in orders.values()]

    def clear(self) -> None:
        self._by_id.clear()
        self._by_user.clear()
        self._unfinished.clear()
        self._resting.clear()


def by_priority(orders: Iterable[Order]) -> list[Order]:
    """The sort is stable: at one price the order in which they came."""
    return sorted(orders, key=lambda order: -order.request.price if is_buy(order) else order.request.price)


def is_buy(order: Order) -> bool:
    return order.request.transaction_type == "BUY"


def book_rows(orders: Iterable[Order], *, now: datetime) -> list[dict[str, object]]:
    """`GET /orders`: what is visible, as it stands."""
    return [order_row(order, order.snapshot(now)) for order in orders if not order.hidden]


def book_rows_at(orders: Iterable[Order], *, moment: datetime) -> list[dict[str, object]]:
    """The book as it was at `moment`: what a lagging replica would answer."""
    rows = []
    for order in orders:
        state = state_at(order, moment)
        if state is not None and not order.hidden:
            rows.append(order_row(order, state))
    return rows


def state_at(order: Order, moment: datetime) -> HistoryRow | None:
    past = [row for row in order.history if row.at <= moment]
    return past[-1] if past else None


def trades_of(orders: Iterable[Order]) -> list[tuple[Order, Trade]]:
    """Every fill, in the order of time."""
    pairs = [(order, trade) for order in orders if not order.hidden for trade in order.trades]
    return sorted(pairs, key=lambda pair: (pair[1].at, int(pair[1].trade_id)))
