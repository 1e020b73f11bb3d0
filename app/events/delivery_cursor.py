"""How far one account was served: the bookkeeping of the order stream, without a clock or a wire."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import msgspec

from app.events.model import LogHead

HINTS_KEPT = 1000  # events further behind than this are not published to Redis any more


@dataclass(slots=True)
class DeliveryCursor:
    """``cursor`` is how far the sockets were served, ``relayed`` how far hints are known to have gone to Redis.

    ``live``: the cursor means something, because at least one socket reads. ``woken``: this process committed events
    that it has not read back yet.
    """

    account_id: str
    epoch: str = ""
    cursor: int = 0
    relayed: int = 0
    live: bool = False
    woken: bool = False
    sockets: int = 0
    opening: asyncio.Lock = field(default_factory=asyncio.Lock)

    def read_after(self) -> int | None:
        """Where to read on; None when nobody wants to know."""
        wanted = [self.relayed] if self.woken else []
        wanted += [self.cursor] if self.live else []
        return min(wanted, default=None)

    def go_live(self, head: LogHead) -> None:
        self.epoch, self.cursor, self.live = head.epoch, head.seq, True

    def leave(self) -> None:
        """One socket less; the cursor of nobody means nothing."""
        self.sockets -= 1
        self.live = self.live and self.sockets > 0

    def heard(self, seq: int) -> bool:
        """Somebody published event ``seq``; True when it is worth a look into the log."""
        if not self.woken:
            self.relayed = max(self.relayed, seq)
        return self.live and seq > self.cursor

    def remember_head(self, seq: int) -> None:
        """Nobody can have published more than there is, and what is long past is no hint."""
        self.relayed = min(max(self.relayed, seq - HINTS_KEPT), seq)


@dataclass(frozen=True, slots=True)
class Position:
    """Where a live feed stood before the heads were read."""

    epoch: str
    cursor: int


def compare(
    feed: DeliveryCursor, *, before: Position, heads: Mapping[str, LogHead]
) -> Literal["level", "behind", "lost"]:
    """``lost``: this is no longer the log that the sockets were reading.

    ``before`` was taken before the heads were read: meanwhile the feed may have advanced beyond them.
    """
    if not feed.live or feed.epoch != before.epoch:
        return "level"
    head = heads.get(feed.account_id)
    if head is None or head.epoch != before.epoch or head.seq < before.cursor:
        return "lost"
    return "behind" if head.seq > feed.cursor else "level"


class _Hint(msgspec.Struct):
    seq: int


def hinted_seq(data: bytes) -> int | None:
    """The ``seq`` of a message from Redis; None when it is none of ours."""
    try:
        return msgspec.json.decode(data, type=_Hint).seq
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
