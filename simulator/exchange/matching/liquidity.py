"""The other side of the market: the simulated crowd's levels, used up as they are traded, and other users' orders."""

from simulator.exchange.matching.fills import Fill, Resting, Stance, match
from simulator.exchange.orders.book import OrderBook, is_buy
from simulator.exchange.orders.order import Order
from simulator.market.quote import DepthLevel, Quote

Levels = tuple[DepthLevel, ...]


class Crowd:
    """Remembers how much of each side's present levels is gone; a book that differs is a new one."""

    def __init__(self, book: OrderBook) -> None:
        self._book = book
        self._taken: dict[tuple[int, str], tuple[Levels, int]] = {}

    def meet(self, order: Order, quote: Quote, *, stance: Stance) -> list[tuple[Fill, Order | None]]:
        """What `order` gets now, each fill with the resting order on its other side (None: the crowd)."""
        levels = quote.sell if is_buy(order) else quote.buy
        key = (order.instrument.instrument_token, order.request.transaction_type)
        seen, taken = self._taken.get(key, (levels, 0))
        taken = taken if seen == levels else 0
        facing = self._book.opposing(order) if stance == "arriving" else []
        fills = match(
            levels,
            side=order.request.transaction_type,
            limit=order.request.price,
            quantity=order.unfilled_quantity,
            taken=taken,
            stance=stance,
            resting=[Resting(other.order_id, other.request.price, other.unfilled_quantity) for other in facing],
        )
        taken += sum(fill.quantity for fill in fills if fill.maker is None)
        if fills:
            self._taken[key] = (levels, taken)
        makers = {other.order_id: other for other in facing}
        return [(fill, makers.get(fill.maker or "")) for fill in fills]

    def renew(self, token: int) -> None:
        """It will offer again everything that its book shows."""
        self._taken.pop((token, "BUY"), None)
        self._taken.pop((token, "SELL"), None)

    def clear(self) -> None:
        self._taken.clear()
