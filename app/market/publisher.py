"""Ticks to Redis over one connection of our own (skeleton: signatures are final)."""

from __future__ import annotations

from app.kit.clock import Clock


class TickPublisher:
    """``run`` keeps the connection; ``connected`` and ``last_error`` are for health."""

    def __init__(self, url: str, *, prefix: str, clock: Clock) -> None:
        self.connected = False
        self.last_error: str | None = None

    async def run(self) -> None:
        raise NotImplementedError
