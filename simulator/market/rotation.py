"""Which instruments tick next: rows in a seeded order, taken round-robin, and what else changes in the same step."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from simulator.market.prices import Ints


class Rotation:
    """Takes every row of a set once before any a second time. Fractions of a row are carried over to the next call."""

    def __init__(self, rows: Ints, *, random: np.random.Generator) -> None:
        self._order = random.permutation(rows)
        self._position = 0
        self._carry = 0.0

    @property
    def size(self) -> int:
        return len(self._order)

    def take(self, amount: float) -> Ints:
        """The next `amount` rows, each at most once; what exceeds the set is dropped, not carried over."""
        due = self._carry + amount
        count = min(int(due), self.size)
        self._carry = due - int(due)
        if count == 0:
            return self._order[:0]
        chosen = self._order.take(np.arange(self._position, self._position + count), mode="wrap")
        self._position = (self._position + count) % self.size
        return chosen


def join_changes(
    rows: Ints, changed: npt.NDArray[np.bool_], *, started: Ints, pending: Mapping[int, bool]
) -> tuple[Ints, npt.NDArray[np.bool_]]:
    """Adds rows whose session has started, and rows that the exchange traded, to those that a step has changed.

    The flags say whose last price moved.
    """
    traded = np.array(list(pending), dtype=np.int64)
    moved = np.concatenate((rows[changed], started, traded[np.array(list(pending.values()), dtype=np.bool_)]))
    together = np.unique(np.concatenate((rows, started, traded)))
    return together, np.isin(together, moved)
