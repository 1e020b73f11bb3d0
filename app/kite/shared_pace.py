"""The pace of an account's reads over all replicas. The broker counts them together, whichever process sends them.

Each process keeps a pace of its own first; this one comes after it. While the count cannot be reached, a process reads
at a quarter of the pace, so that a few of them together still stay below the limit.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

from loguru import logger

from app.errors import ServiceError
from app.kit.answer_time import answering_within, seconds_left
from app.kit.clock import Clock
from app.kite.pace import Spacing

COUNT_S = 0.5
"""What a read waits for the count."""

WITHOUT_COUNT_S = 5.0
"""How long a count that did not answer is left alone."""

AHEAD_S = 0.3
"""How far ahead a read that may wait takes its slot: one of the order book comes after so many at most."""

AGAIN_S = 0.1
"""Between two attempts to take a slot."""

SLOWER = 4
"""How much slower a process reads that cannot see what the others read."""


class ReadCount(Protocol):
    """Counts requests over all replicas."""

    async def reserve(self, name: str, *, emission_s: float, burst: int, within_s: float) -> float | None:
        """Seconds until the next request of this name may go, which is counted; None: not within that time.

        Raises ServiceError when it cannot be known.
        """
        ...


class SharedPace:
    """The pace of one kind of an account's reads; ``wait`` returns when the next one may go."""

    def __init__(self, count: ReadCount, *, name: str, emission_s: float, burst: int, clock: Clock) -> None:
        self._count = count
        self._name = name
        self._emission_s = emission_s
        self._burst = burst
        self._clock = clock
        self._alone = Spacing(emission_s * SLOWER)
        self._count_again_at = 0.0
        self._patient = asyncio.Lock()

    async def wait(self, *, urgent: bool, until: float) -> bool:
        """Wait until the next read may go; returns False when it may not before ``until`` (monotonic seconds).

        ``urgent``: it goes before others of this process that wait.
        """
        if urgent:
            return await self._take(until=until, ahead_s=until - self._clock.monotonic())
        async with self._patient:
            return await self._take(until=until, ahead_s=AHEAD_S)

    async def _take(self, *, until: float, ahead_s: float) -> bool:
        while (left := until - self._clock.monotonic()) > 0:
            wait_s = await self._reserve(within_s=min(left, ahead_s))
            if wait_s is not None:
                await asyncio.sleep(wait_s)
                return True
            await asyncio.sleep(min(left, AGAIN_S))
        return False

    async def _reserve(self, *, within_s: float) -> float | None:
        now = self._clock.monotonic()
        if now >= self._count_again_at:
            try:
                with answering_within(min(COUNT_S, seconds_left())):
                    return await self._count.reserve(
                        self._name, emission_s=self._emission_s, burst=self._burst, within_s=within_s
                    )
            except ServiceError as error:
                logger.bind(action="count_reads", reason=error.message).warning(
                    "reads are not counted, so they go slower"
                )
                now = self._clock.monotonic()
                self._count_again_at = now + WITHOUT_COUNT_S
        ready_at = self._alone.ready_at(now)
        if ready_at > now + within_s:
            return None
        self._alone.take(now)
        return ready_at - now
