"""The orders of one trading day, of all users: found by id, by user, and by instrument while they rest."""

from collections.abc import Iterable, Sequence

from simulator.exchange.orders.order import Order
from simulator.exchange.orders.status import AMO_RECEIVED, LIVE, OPEN


class OrderBook:
    """Call `track` after every change of an order's status; it updates the indexes. `clear` begins another day."""

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
        """All orders of the user, oldest first, hidden ones included."""
        return self._by_user.get(user_id, [])

    def unfinished(self, user_id: str) -> list[Order]:
        """The user's orders that may still be filled, oldest first."""
        return list(self._unfinished.get(user_id, {}).values())

    def track(self, order: Order) -> None:
        """Updates the indexes of unfinished and of resting orders after a change of `order`."""
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
        """The instruments with at least one resting order."""
        return self._resting.keys()

    def resting(self, token: int) -> list[Order]:
        """The resting orders of an instrument in price-time priority."""
        return by_priority(self._resting.get(token, {}).values())

    def opposing(self, order: Order) -> list[Order]:
        """The open orders of all users on the other side of `order`, in price-time priority."""
        return by_priority(
            other
            for other in self._resting.get(order.instrument.instrument_token, {}).values()
            if other.status == OPEN and not other.excluded_from_matching and is_buy(other) != is_buy(order)
        )

    def all_orders(self) -> Iterable[Order]:
        return self._by_id.values()

    def parked(self) -> list[Order]:
        """After-market orders that wait at the broker for the market to open, oldest first."""
        return [order for order in self._by_id.values() if order.status == AMO_RECEIVED]

    def all_resting(self) -> list[Order]:
        return [order for orders in self._resting.values() for order in orders.values()]

    def clear(self) -> None:
        self._by_id.clear()
        self._by_user.clear()
        self._unfinished.clear()
        self._resting.clear()


def by_priority(orders: Iterable[Order]) -> list[Order]:
    """Best price first. The sort is stable, so that orders at one price stay in the order of their arrival."""
    return sorted(orders, key=lambda order: -order.request.price if is_buy(order) else order.request.price)


def is_buy(order: Order) -> bool:
    """Whether the order buys."""
    return order.request.transaction_type == "BUY"
