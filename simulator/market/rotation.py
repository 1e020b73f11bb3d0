"""Whose turn it is to tick: a seeded order that is walked round and round at a given pace."""

import numpy as np

from simulator.market.prices import Ints


class Rotation:
    """Gives every row of a set its turn before any has a second one. Fractions of a turn are carried over."""

    def __init__(self, rows: Ints, *, random: np.random.Generator) -> None:
        self._order = random.permutation(rows)
        self._position = 0
        self._carry = 0.0

    @property
    def size(self) -> int:
        return len(self._order)

    def take(self, turns: float) -> Ints:
        """The next `turns` rows, at most the whole set once: what cannot be given now is not owed later."""
        due = self._carry + turns
        count = min(int(due), self.size)
        self._carry = due - int(due)
        if count == 0:
            return self._order[:0]
        chosen = self._order.take(np.arange(self._position, self._position + count), mode="wrap")
        self._position = (self._position + count) % self.size
        return chosen
