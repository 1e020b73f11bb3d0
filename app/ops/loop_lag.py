"""How late does the event loop run? The first sign that something blocks it, or that one core is not enough."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from app.kit.clock import Clock


class LoopLag:
    """Sleeps for ``every_s`` seconds again and again, and keeps by how much it woke too late at worst."""

    def __init__(self, clock: Clock, *, every_s: float = 0.25) -> None:
        self._clock = clock
        self._every_s = every_s
        self._worst_s = 0.0

    async def run(self) -> None:
        """Measure for as long as the service runs."""
        while True:
            due = self._clock.monotonic() + self._every_s
            await asyncio.sleep(self._every_s)
            self._worst_s = max(self._worst_s, self._clock.monotonic() - due)

    def samples(self) -> Mapping[tuple[str, ...], float]:
        """The worst lag since the last call, in seconds: a stall between two scrapes must not go unseen."""
        worst, self._worst_s = self._worst_s, 0.0
        return {(): worst}
