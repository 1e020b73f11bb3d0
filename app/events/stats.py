"""What the streams count about themselves, for metrics and for the statistics route."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from app.events.protocol import CloseReason


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamStats:
    """One stream of this process at one moment."""

    connections: Mapping[str, int]  # by account for orders; one entry ``ticks`` for ticks
    dropped: Mapping[str, int]  # sockets that the service closed since the start, by reason
    delivered: int  # frames sent since the start


class SocketCounts:
    """The sockets of one stream: ``joined`` have authenticated."""

    def __init__(self) -> None:
        self.joined = 0
        self.delivered = 0
        self.dropped: Counter[CloseReason] = Counter()
        self._empty = asyncio.Event()
        self._empty.set()

    def enter(self) -> None:
        """A socket got a place."""
        self.joined += 1
        self._empty.clear()

    def leave(self) -> None:
        """A socket gave up its place."""
        self.joined -= 1
        if not self.joined:
            self._empty.set()

    async def drained(self, *, timeout: float) -> int:
        """Wait until no socket is left, at most ``timeout`` seconds. Returns how many are."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._empty.wait()
        return self.joined

    def by_reason(self) -> dict[str, int]:
        """Every reason, also those that never happened: a metric that appears late hides its first event."""
        return {reason.text: self.dropped[reason] for reason in CloseReason}
