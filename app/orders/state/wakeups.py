"""Wake-ups inside one process: who should look again, and who waits for an answer.

Signals carry no data and may be lost or doubled without harm: everything that is woken reads the database, and
everything also polls. They only make the common case fast.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from app.kit.backoff import jittered

IDLE_POLL_S = 5.0
"""How often an account with nothing open is looked at even without a wake-up."""


class EventReader(Protocol):
    """What reads the account's events after each commit: the order stream."""

    def wake(self, account_id: str) -> None: ...


class ChangeListener(Protocol):
    """What wakes the loops and the waiting callers after a commit outside of the loops."""

    def changed(self, account_id: str) -> None: ...


class Wakeups:
    """One account's wake-ups. ``changed`` is called after each commit that touched the account's orders.
    ``events`` is woken then, too.

    ``busy``: it has open tasks or batches, as far as known (see ``watch``); only then is it worth polling often.
    ``batches_open``: it has open batches, as far as known; without one, no change concerns their runner.
    """

    def __init__(
        self,
        account_id: str,
        *,
        events: EventReader,
        random_number: Callable[[], float] = random.random,
    ) -> None:
        self._account_id = account_id
        self._events = events
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
        self._events.wake(self._account_id)

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


class OrderWakeups:
    """The wake-ups of every account of this process, for what comes from outside: feed, postback, login, replica.

    An account that this process does not serve is ignored.
    """

    def __init__(self, account_ids: Iterable[str], *, events: EventReader) -> None:
        self.by_account: Mapping[str, Wakeups] = {one: Wakeups(one, events=events) for one in account_ids}

    def on_notice(self, account_id: str) -> None:
        """Another replica stored something for this account; an empty name means any."""
        for one, wakeups in self.by_account.items():
            if account_id in {"", one}:
                wakeups.stored(batch=True)

    def on_order_hint(self, account_id: str) -> None:
        """An order push or a postback arrived: something may have changed at the broker."""
        if account_id in self.by_account:
            self.by_account[account_id].look()

    def on_feed_connected(self, account_id: str) -> None:
        """Pushes of the gap are lost: read the book."""
        self.on_order_hint(account_id)

    def on_session_changed(self, account_id: str) -> None:
        """A new login: held orders may go, and the book can be read again."""
        if account_id in self.by_account:
            self.by_account[account_id].sender.set()
            self.by_account[account_id].look()


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
