"""Orders that have ended, queued for what follows from their end, so that no trade is interrupted."""

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from simulator.exchange.orders.order import Order


class FollowUpQueue:
    """Calls `follow_up` once for each order that ended, in the order of their ends, when no trade is under way."""

    def __init__(self) -> None:
        self.follow_up: Callable[[Order], None] | None = None
        self._ended: deque[Order] = deque()
        self._paused = False

    def order_ended(self, order: Order) -> None:
        """Queues `order`, and works the queue off unless a trade is under way."""
        self._ended.append(order)
        if not self._paused:
            with self.paused():
                pass

    @contextmanager
    def paused(self) -> Iterator[None]:
        """A trade is under way: its fills are all booked before any order follows up. The queue is then worked off."""
        if self._paused:
            yield
            return
        self._paused = True
        try:
            yield
            while self._ended:
                order = self._ended.popleft()
                if self.follow_up is not None:
                    self.follow_up(order)
        finally:
            self._paused = False
