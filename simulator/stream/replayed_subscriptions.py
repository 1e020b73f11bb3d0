"""What one socket wants of a recording: recorded packets cut to its tokens and modes, frame by frame, in order.

It stands where `Subscriptions` stands while the simulator makes its own prices. Any token may be subscribed, listed or
not, since a recording may be of another day. The longer packets begin with the shorter ones, so a mode is a cut.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from simulator.market.prices import Ints
from simulator.market.state import State
from simulator.stream.messages import Command
from simulator.stream.packets import Mode, container
from simulator.stream.subscriptions import MAX_TOKENS, complain

MAX_WAITING: Final = 1_000
"""Frames that wait for a slow reader; the oldest make room."""
LTP_BYTES: Final = 8
INDEX_QUOTE_BYTES: Final = 28
INDEX_FULL_BYTES: Final = 32
QUOTE_BYTES: Final = 44


class ReplayedSubscriptions:
    """`latest` has the last packet played of each token, for the snapshot that follows a subscription."""

    def __init__(self, latest: Mapping[int, bytes]) -> None:
        self._latest = latest
        self._modes: dict[int, Mode] = {}
        self._told: dict[int, bytes] = {}  # token and last price as last sent in mode ltp
        self._frames: deque[tuple[bytes, int]] = deque(maxlen=MAX_WAITING)

    @property
    def count(self) -> int:
        return len(self._modes)

    @property
    def tokens(self) -> Sequence[int]:
        return list(self._modes)

    @property
    def rows(self) -> Ints:
        """None: the market has nothing to make for this socket."""
        return np.empty(0, dtype=np.int64)

    @property
    def waiting(self) -> bool:
        return bool(self._frames)

    def apply(self, command: Command) -> str | None:
        """Do what the client asks; the sentence of a complaint, with everything else done, or None."""
        tokens = list(dict.fromkeys(command.tokens))
        if command.action == "unsubscribe":
            for token in tokens:
                self._modes.pop(token, None)
                self._told.pop(token, None)
            return None
        new = [token for token in tokens if token not in self._modes]
        surplus = set(new[max(0, MAX_TOKENS - self.count) :])
        taken = [token for token in tokens if token not in surplus]
        for token in taken:
            self._modes[token] = command.mode or self._modes.get(token, "quote")
            self._told.pop(token, None)
        self.offer([self._latest[token] for token in taken if token in self._latest])
        return complain(surplus=len(surplus), unknown=0)

    def mark(self, _rows: Ints, _last_price_changed: npt.NDArray[np.bool_]) -> bool:
        """Changes of the market itself are not sent."""
        return False

    def move(self, _row_of: Mapping[int, int], *, tokens: Ints) -> None:
        """A new day of the market changes nothing here."""

    def offer(self, packets: Sequence[bytes]) -> bool:
        """One recorded frame; whether something of it is for this socket."""
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
        if self._told.get(token) == cut:
            return None
        self._told[token] = cut
        return cut

    def take_frame(self, _state: State) -> tuple[bytes, int] | None:
        """The oldest frame that waits and its number of packets; None for nothing."""
        return self._frames.popleft() if self._frames else None


def quote_bytes(packet: bytes) -> int:
    return INDEX_QUOTE_BYTES if len(packet) <= INDEX_FULL_BYTES else QUOTE_BYTES
