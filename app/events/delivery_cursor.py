"""How far the event log of one account was handed to sockets and to Redis: no clock, no connection.

An account's log is read once for two kinds of readers: the sockets of this process, and the other replicas, which get
hints through Redis about events that this process committed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import msgspec

from app.events.model import LogHead

HINTS_KEPT = 1000  # events further behind than this are not published to Redis any more


@dataclass(slots=True)
class DeliveryCursor:
    """Where one account's log has to be read on. Every number is a ``seq`` of that log."""

    account_id: str
    epoch: str = ""
    """The log that ``delivered`` counts in."""

    delivered: int = 0
    """Everything up to here was put into the mailboxes of the sockets. It only means something while ``live``."""

    relayed: int = 0
    """Hints up to here are known to have gone to Redis, from this process or from another one."""

    live: bool = False
    """At least one socket reads."""

    woken: bool = False
    """This process committed events that it has not read back yet: they have to be published."""

    sockets: int = 0
    """Sockets that have a place, the one that is just joining included."""

    opening: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held while the first socket sets the cursor, so that a second one does not set it again."""

    def read_after(self) -> int | None:
        """The ``seq`` after which the log must be read next; None when there is no reason to read."""
        wanted = [self.relayed] if self.woken else []
        wanted += [self.delivered] if self.live else []
        return min(wanted, default=None)

    def go_live(self, head: LogHead) -> None:
        """The first socket joins: it gets what comes after ``head``."""
        self.epoch, self.delivered, self.live = head.epoch, head.seq, True

    def leave(self) -> None:
        """One socket less. After the last one ``delivered`` stands still, so it says nothing to the next socket."""
        self.sockets -= 1
        self.live = self.live and self.sockets > 0

    def hear_hint(self, seq: int) -> bool:
        """Some process published event ``seq``; True when the log should be read because of it."""
        if not self.woken:
            self.relayed = max(self.relayed, seq)
        return self.live and seq > self.delivered

    def remember_head(self, seq: int) -> None:
        """The log ends at ``seq``: no hint beyond it can be true, and events long before it are no hint any more."""
        self.relayed = min(max(self.relayed, seq - HINTS_KEPT), seq)


@dataclass(frozen=True, slots=True)
class Position:
    """Where a live cursor was before the heads were read."""

    epoch: str
    delivered: int


Lag: TypeAlias = Literal["level", "behind", "lost"]
"""``behind``: the log has more. ``lost``: this is no longer the log that the sockets were reading."""


def compare(cursor: DeliveryCursor, *, before: Position, heads: Mapping[str, LogHead]) -> Lag:
    """How ``cursor`` compares with the head of its log, by account in ``heads``.

    ``before`` was taken before the heads were read: the cursor may have advanced beyond them meanwhile.
    """
    if not cursor.live or cursor.epoch != before.epoch:
        return "level"
    head = heads.get(cursor.account_id)
    if head is None or head.epoch != before.epoch or head.seq < before.delivered:
        return "lost"
    return "behind" if head.seq > cursor.delivered else "level"


class _Hint(msgspec.Struct):
    seq: int


def hinted_seq(data: bytes) -> int | None:
    """The ``seq`` of a message from Redis; None when the message is no event."""
    try:
        return msgspec.json.decode(data, type=_Hint).seq
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
