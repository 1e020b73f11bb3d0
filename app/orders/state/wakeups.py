"""Wake-ups inside one process: who should look again, and who waits for an answer.

Signals carry no data and may be lost or doubled without harm: everything that is woken reads the database, and
everything also polls. They only make the common case fast.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

from app.kit.backoff import jittered

IDLE_POLL_S = 5.0
"""How often an account with nothing open is looked at even without a wake-up."""


class Wakeups:
    """One account's wake-ups. ``changed`` is called after each commit that touched the account's orders.

    ``busy``: it has open tasks or batches, as far as known (see ``watch``); only then is it worth polling often.
    ``batches_open``: it has open batches, as far as known; without one, no change concerns their runner.
    """

    def __init__(
        self,
        account_id: str,
        *,
        on_change: Callable[[str], None],
        random_number: Callable[[], float] = random.random,
    ) -> None:
        self._account_id = account_id
        self._on_change = on_change
        self._random = random_number
        self.sender = asyncio.Event()
        self.reconciler = asyncio.Event()
        self.batches = asyncio.Event()
        self.busy = True
        self.batches_open = True
        self._waiters: set[asyncio.Event] = set()

    def changed(self) -> None:
        self.stored()
        for waiter in self._waiters:
            waiter.set()
        self._on_change(self._account_id)

    def stored(self, *, batch: bool = False) -> None:
        """A task was stored, here or at another replica; ``batch``: it may belong to one that nobody looked at yet."""
        self.busy = True
        self.batches_open = self.batches_open or batch
        self.sender.set()
        if self.batches_open:
            self.batches.set()

    def rest_s(self, often_s: float) -> float:
        """How long to wait for a wake-up, which may be lost: about ``often_s`` while anything is open, longer else."""
        longest_s = often_s if self.busy else max(often_s, IDLE_POLL_S)
        return jittered(longest_s, random=self._random())

    def look(self) -> None:
        """Something may have happened at the broker: read the book soon."""
        self.reconciler.set()

    def waiter(self) -> Waiter:
        return Waiter(self._waiters)


class Waiter:
    """``with signals.waiter() as waiter``: ``await waiter.wait(s)`` ends at the next change or after ``s`` seconds."""

    def __init__(self, waiters: set[asyncio.Event]) -> None:
        self._waiters = waiters
        self._event = asyncio.Event()

    def __enter__(self) -> Waiter:
        self._waiters.add(self._event)
        return self

    def __exit__(self, *exc: object) -> None:
        self._waiters.discard(self._event)

    async def wait(self, timeout_s: float) -> None:
        await wait_for(self._event, timeout_s)


async def wait_for(event: asyncio.Event, timeout_s: float) -> bool:
    """Wait for a signal or the time's end, and take the signal; returns whether there was one."""
    try:
        async with asyncio.timeout(max(0.0, timeout_s)):
            await event.wait()
    except TimeoutError:
        return False
    event.clear()
    return True
