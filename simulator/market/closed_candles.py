"""Today's minutes that are over and have been shown: a candle that a client has seen closed never changes again."""

from collections import OrderedDict
from threading import Lock

import numpy as np
import numpy.typing as npt

Key = tuple[int, str, int]
"""Instrument token, whether a future's contract or continuous series, and the day's first moment in epoch seconds."""
Columns = dict[str, npt.NDArray[np.int64]]

MAX_DAYS = 128
"""Days of instruments that are remembered; the one that was asked for longest ago goes first. At most 80 kB each."""


class ClosedCandles:
    """Used from threads."""

    def __init__(self) -> None:
        self._days: OrderedDict[Key, Columns] = OrderedDict()
        self._lock = Lock()

    def get(self, key: Key) -> Columns | None:
        """What is remembered of the day, in the order of time."""
        with self._lock:
            known = self._days.get(key)
            if known is not None:
                self._days.move_to_end(key)
            return known

    def remember(self, key: Key, columns: Columns) -> None:
        """These minutes are the day's so far; minutes that are remembered already come later, never fewer."""
        with self._lock:
            known = self._days.get(key)
            if known is None or len(known["start"]) < len(columns["start"]):
                self._days[key] = columns
            self._days.move_to_end(key)
            while len(self._days) > MAX_DAYS:
                self._days.popitem(last=False)
