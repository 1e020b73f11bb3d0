"""What one socket is sent of a recording: recorded packets of its instruments, cut to its modes, frame by frame.

It takes the place of `Subscriptions` when a recording is replayed. Any token may be subscribed, listed or not, because
the recording may be of another day. A longer packet begins with the shorter ones, so that a mode is a cut.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from simulator.market.prices import Ints
from simulator.market.recorded_packets import INDEX_FULL_BYTES, INDEX_QUOTE_BYTES, LTP_BYTES, QUOTE_BYTES
from simulator.market.state import State
from simulator.stream.messages import Command
from simulator.stream.packets import Mode, container
from simulator.stream.subscriptions import MAX_TOKENS, subscription_error

MAX_WAITING: Final = 1_000
"""Frames that wait for a slow client; a further one removes the oldest."""


class ReplayedSubscriptions:
    """`latest` has the last played packet of each token: a new subscription is answered with it."""

    def __init__(self, latest: Mapping[int, bytes]) -> None:
        self._latest = latest
        self._modes: dict[int, Mode] = {}
        self._last_ltp: dict[int, bytes] = {}  # by token: the packet last sent in mode ltp
        self._frames: deque[tuple[bytes, int]] = deque(maxlen=MAX_WAITING)

    @property
    def count(self) -> int:
        return len(self._modes)

    @property
    def tokens(self) -> Sequence[int]:
        return list(self._modes)

    @property
    def rows(self) -> Ints:
        """Empty: the market simulates no prices for this socket."""
        return np.empty(0, dtype=np.int64)

    @property
    def waiting(self) -> bool:
        return bool(self._frames)

    def apply(self, command: Command) -> str | None:
        """Carries out a command. Returns the text of an error about the instruments left out, or None."""
        tokens = list(dict.fromkeys(command.tokens))
        if command.action == "unsubscribe":
            for token in tokens:
                self._modes.pop(token, None)
                self._last_ltp.pop(token, None)
            return None
        new = [token for token in tokens if token not in self._modes]
        surplus = set(new[max(0, MAX_TOKENS - self.count) :])
        taken = [token for token in tokens if token not in surplus]
        for token in taken:
            self._modes[token] = command.mode or self._modes.get(token, "quote")
            self._last_ltp.pop(token, None)
        self.offer([self._latest[token] for token in taken if token in self._latest])
        return subscription_error(surplus=len(surplus), unknown=0)

    def mark(self, _rows: Ints, _last_price_changed: npt.NDArray[np.bool_]) -> bool:
        """Nothing is due: changes of the market are not sent."""
        return False

    def move(self, _row_of: Mapping[int, int], *, tokens: Ints) -> None:
        """Nothing changes: recorded tokens do not depend on the day's listing."""

    def offer(self, packets: Sequence[bytes]) -> bool:
        """Queues the part of a recorded frame that is subscribed; returns whether there is any."""
        cuts = [cut for packet in packets if (cut := self._cut(packet)) is not None]
        if cuts:
            framed = b"".join(len(cut).to_bytes(2, "big") + cut for cut in cuts)
            self._frames.append((container(framed, count=len(cuts)), len(cuts)))
        return bool(cuts)

    def _cut(self, packet: bytes) -> bytes | None:
        token = int.from_bytes(packet[:4], "big")
        mode = self._modes.get(token)
        if mode is None:
            return None
        if mode != "ltp":
            return packet if mode == "full" else packet[: quote_bytes(packet)]
        cut = packet[:LTP_BYTES]
        if self._last_ltp.get(token) == cut:
            return None
        self._last_ltp[token] = cut
        return cut

    def take_frame(self, _state: State) -> tuple[bytes, int] | None:
        """The oldest waiting frame and its number of packets; None for nothing."""
        return self._frames.popleft() if self._frames else None


def quote_bytes(packet: bytes) -> int:
    """The length of the quote packet at the beginning of a full one; indices have shorter packets."""
    return INDEX_QUOTE_BYTES if len(packet) <= INDEX_FULL_BYTES else QUOTE_BYTES
