"""What the streams count about themselves; metrics and the statistics route read it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from app.events.protocol import CloseReason


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamStats:
    """One stream at one moment. ``dropped`` (sockets closed by us, by reason) and ``delivered`` only rise.

    ``connections`` is by account for orders, and one entry ``ticks`` for ticks.
    """

    connections: Mapping[str, int]
    dropped: Mapping[str, int]
    delivered: int


class SocketCounts:
    """The sockets of one stream: ``waiting`` have not said who they are, ``joined`` have a place."""

    def __init__(self) -> None:
        self.waiting = 0
        self.joined = 0
        self.delivered = 0
        self.dropped: Counter[CloseReason] = Counter()
        self._nobody = asyncio.Event()
        self._nobody.set()

    def enter(self) -> None:
        self.joined += 1
        self._nobody.clear()

    def leave(self) -> None:
        self.joined -= 1
        if not self.joined:
            self._nobody.set()

    async def drained(self, *, timeout: float) -> int:
        """Wait until nobody is left, at most ``timeout`` seconds; returns how many are."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._nobody.wait()
        return self.joined

    def by_reason(self) -> dict[str, int]:
        """Every reason, also those that never happened: a metric that appears late hides its first event."""
        return {reason.text: self.dropped[reason] for reason in CloseReason}
