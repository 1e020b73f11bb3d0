"""What follows from an order's end, one after another and never in the middle of a trade."""

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from simulator.exchange.orders.order import Order


class Following:
    """Ends are queued; `then` is told of each when no trade is under way, in their order."""

    def __init__(self) -> None:
        self.then: Callable[[Order], None] | None = None
        self._ended: deque[Order] = deque()
        self._busy = False

    def ended(self, order: Order) -> None:
        self._ended.append(order)
        if not self._busy:
            with self.held():
                pass

    @contextmanager
    def held(self) -> Iterator[None]:
        """A trade is under way: an order has all its fills before anything follows from them."""
        if self._busy:
            yield
            return
        self._busy = True
        try:
            yield
            while self._ended:
                order = self._ended.popleft()
                if self.then is not None:
                    self.then(order)
        finally:
            self._busy = False
