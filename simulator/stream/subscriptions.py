"""What one socket is subscribed to and what is due to be sent, in columns over the rows of the day's listing.

No I/O: commands and changes come in, frames go out. A row that changes twice before it is sent is sent once, with its
newest state. That bounds what a slow client costs.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from simulator.market.prices import Ints
from simulator.market.state import State
from simulator.stream.messages import Command
from simulator.stream.packets import Mode, container, encode_batch

MAX_TOKENS = 3_000
_OFF = 0
_MODES: dict[Mode, int] = {"ltp": 1, "quote": 2, "full": 3}


class Subscriptions:
    """One socket's modes. `row_of` gives the row of an instrument token in the market's columns."""

    def __init__(self, row_of: Mapping[int, int]) -> None:
        self._empty(row_of)

    def _empty(self, row_of: Mapping[int, int]) -> None:
        self._row_of = row_of
        self._modes = np.zeros(len(row_of), dtype=np.int8)
        self._due = np.zeros(len(row_of), dtype=np.bool_)
        self._count = 0

    @property
    def count(self) -> int:
        """How many instruments are subscribed."""
        return self._count

    @property
    def rows(self) -> Ints:
        """The rows of the subscribed instruments."""
        return np.flatnonzero(self._modes)

    @property
    def tokens(self) -> Sequence[int]:
        return [token for token, row in self._row_of.items() if self._modes[row]]

    @property
    def waiting(self) -> bool:
        """Whether a further frame is due after `take_frame`: never, because a frame has everything that is due."""
        return False

    def apply(self, command: Command) -> str | None:
        """Carries out a command. Returns the text of an error about the instruments left out, or None."""
        known = [self._row_of[token] for token in dict.fromkeys(command.tokens) if token in self._row_of]
        if command.action == "unsubscribe":
            self._modes[known], self._due[known] = _OFF, False
            self._count = int(np.count_nonzero(self._modes))
            return None
        new = [row for row in known if not self._modes[row]]
        surplus = new[max(0, MAX_TOKENS - self._count) :]
        rows = np.setdiff1d(np.array(known, dtype=np.int64), surplus)
        self._set_mode(rows, command.mode)
        self._due[rows] = True
        self._count = int(np.count_nonzero(self._modes))
        return subscription_error(surplus=len(surplus), unknown=len({*command.tokens} - self._row_of.keys()))

    def _set_mode(self, rows: Ints, mode: Mode | None) -> None:
        """Sets the given mode; without one, `quote` for rows that had none."""
        if mode is not None:
            self._modes[rows] = _MODES[mode]
        else:
            self._modes[rows] = np.where(self._modes[rows] == _OFF, _MODES["quote"], self._modes[rows])

    def mark(self, rows: Ints, last_price_changed: npt.NDArray[np.bool_]) -> bool:
        """Marks the changed rows that are due; returns whether there are any. In mode ltp only a new price counts."""
        modes = self._modes[rows]
        wanted = (modes > _MODES["ltp"]) | ((modes == _MODES["ltp"]) & last_price_changed)
        self._due[rows[wanted]] = True
        return bool(wanted.any())

    def move(self, row_of: Mapping[int, int], *, tokens: Ints) -> None:
        """Changes to a new listing; `tokens` are those of the old rows. Instruments no longer listed are dropped."""
        subscribed = {mode: tokens[self._modes == number].tolist() for mode, number in _MODES.items()}
        self._empty(row_of)
        for mode, mode_tokens in subscribed.items():
            self.apply(Command("mode", tuple(mode_tokens), mode))

    def take_frame(self, state: State) -> tuple[bytes, int] | None:
        """A container with everything that is due, as it is now, and its number of packets; None for nothing."""
        rows = np.flatnonzero(self._due)
        if not rows.size:
            return None
        self._due[rows] = False
        modes = self._modes[rows]
        packets = []
        for mode, number in _MODES.items():
            chosen = rows[modes == number]
            if chosen.size:
                packets.append(encode_batch(state.words[chosen], mode=mode, tradable=state.tradable[chosen]))
        return container(b"".join(packets), count=len(rows)), len(rows)


def subscription_error(*, surplus: int, unknown: int) -> str | None:
    """The text of the `error` message for instruments that could not be subscribed; None when there are none."""
    sentences = []
    if surplus:
        sentences.append(f"Maximum {MAX_TOKENS} instruments allowed per connection; {surplus} not subscribed.")
    if unknown:
        sentences.append(f"{unknown} unknown instrument tokens ignored.")
    return " ".join(sentences) or None
