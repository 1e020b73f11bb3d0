"""What an order may trade with: the quantities of the simulated quote, as far as they are not used up, and other
users' resting orders."""

from itertools import takewhile

from simulator.exchange.matching.fills import Fill, RestingOrder, Role, match
from simulator.exchange.orders.book import OrderBook, is_buy
from simulator.exchange.orders.order import Order
from simulator.market.quote import DepthLevel, Quote

Levels = tuple[DepthLevel, ...]


class SimulatedLiquidity:
    """Remembers how much of each quote's levels was traded; a quote with other levels offers everything again."""

    def __init__(self, book: OrderBook) -> None:
        self._book = book
        self._taken: dict[tuple[int, str], tuple[Levels, int]] = {}

    def match(self, order: Order, quote: Quote, *, role: Role) -> tuple[list[tuple[Fill, Order | None]], bool]:
        """The fills that `order` gets now, each with the resting order on its other side (None: the quote).

        And whether the next one would be with an order of the same user, which the exchange prevents.
        """
        levels = quote.sell if is_buy(order) else quote.buy
        key = (order.instrument.instrument_token, order.request.transaction_type)
        known_levels, taken = self._taken.get(key, (levels, 0))
        taken = taken if known_levels == levels else 0
        opposing = self._book.opposing(order) if role == "taker" else []
        fills = match(
            levels,
            side=order.request.transaction_type,
            limit=order.request.price,
            quantity=order.unfilled_quantity,
            taken=taken,
            role=role,
            resting=[RestingOrder(other.order_id, other.request.price, other.unfilled_quantity) for other in opposing],
        )
        makers = {other.order_id: other for other in opposing}
        pairs = [(fill, makers.get(fill.maker or "")) for fill in fills]
        allowed = list(takewhile(lambda pair: pair[1] is None or pair[1].user_id != order.user_id, pairs))
        if allowed:
            self._taken[key] = (levels, taken + sum(fill.quantity for fill, maker in allowed if maker is None))
        return allowed, len(allowed) < len(pairs)

    def renew(self, token: int) -> None:
        """The present quote of an instrument offers everything again."""
        self._taken.pop((token, "BUY"), None)
        self._taken.pop((token, "SELL"), None)

    def clear(self) -> None:
        """All quotes offer everything again."""
        self._taken.clear()
