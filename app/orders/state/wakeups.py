"""Wake-ups inside one process, for the loops of an account and for clients that wait for an answer.

A wake-up carries no data and may be lost or doubled without harm: each loop reads the database when it is woken, and
polls without a wake-up. They only make the usual case fast.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Protocol

from app.kit.backoff import jittered

IDLE_POLL_S = 5.0
"""Seconds between two polls of an account without open tasks or batches."""


_SESSION = "session/"


def session_notice(account_id: str) -> str:
    """What other replicas are sent when the broker has refused the account's token here: its owner looks for itself."""
    return f"{_SESSION}{account_id}"


class EventReader(Protocol):
    """The order stream, which reads an account's new events after each commit."""

    def wake(self, account_id: str) -> None:
        """Read the account's new events soon. Does not wait."""
        ...


class ChangeListener(Protocol):
    """The order engine, which wakes the loops and the waiting clients after a commit outside of the loops."""

    def changed(self, account_id: str) -> None:
        """Tasks or orders of the account were changed by a commit. Does not wait."""
        ...


class Wakeups:
    """One account's wake-ups: an event for each of its loops, and one for each waiting client.

    ``busy``: the account has open tasks or batches, as far as known (``engine.activity_check`` clears it); only then do
    its loops poll often. ``batches_open``: it has open batches, as far as known; otherwise no change is for their
    runner.
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
        self.exits = asyncio.Event()
        self.busy = True
        self.batches_open = True
        self._waiters: set[asyncio.Event] = set()

    def changed(self) -> None:
        """After each commit that changed the account's tasks or orders: wake loops, clients and the order stream."""
        self.stored()
        for waiter in self._waiters:
            waiter.set()
        self._events.wake(self._account_id)

    def stored(self, *, batch: bool = False) -> None:
        """After a task was stored, here or at another replica; ``batch``: perhaps of a batch not known here yet."""
        self.busy = True
        self.batches_open = self.batches_open or batch
        self.sender.set()
        if self.batches_open:
            self.batches.set()
            self.exits.set()

    def rest_s(self, often_s: float) -> float:
        """Seconds to wait for a wake-up before a poll: about ``often_s`` while anything is open, longer otherwise."""
        longest_s = often_s if self.busy else max(often_s, IDLE_POLL_S)
        return jittered(longest_s, random=self._random())

    def read_book(self) -> None:
        """Let the reconciler read the order book soon: something may have happened at the broker."""
        self.reconciler.set()

    def waiter(self) -> Waiter:
        """For a client that waits for the next change."""
        return Waiter(self._waiters)


class OrderWakeups:
    """The wake-ups of every account of this process, for notices from outside: feed, postback, login, other replicas.

    A notice for an account that this process does not serve is ignored.
    """

    def __init__(self, account_ids: Iterable[str], *, events: EventReader) -> None:
        self.by_account: Mapping[str, Wakeups] = {one: Wakeups(one, events=events) for one in account_ids}

    def on_notice(self, account_id: str) -> None:
        """Another replica stored a task or batch for this account, or saw its token refused (``session_notice``).

        An empty id means any account.
        """
        if account_id.startswith(_SESSION):
            self.on_order_hint(account_id.removeprefix(_SESSION))  # a read shows the owner whether its token is dead
            return
        for one, wakeups in self.by_account.items():
            if account_id in {"", one}:
                wakeups.stored(batch=True)

    def on_order_hint(self, account_id: str) -> None:
        """An order push or a postback arrived: something may have changed at the broker."""
        if account_id in self.by_account:
            self.by_account[account_id].read_book()

    def on_feed_connected(self, account_id: str) -> None:
        """The order pushes since the last connection are lost, so the book is read."""
        self.on_order_hint(account_id)

    def on_session_changed(self, account_id: str) -> None:
        """A new login: held orders may be sent, and the book can be read again."""
        if account_id in self.by_account:
            self.by_account[account_id].sender.set()
            self.by_account[account_id].read_book()


class Waiter:
    """``with wakeups.waiter() as waiter``: ``await waiter.wait(s)`` ends at the next change or after ``s`` seconds."""

    def __init__(self, waiters: set[asyncio.Event]) -> None:
        self._waiters = waiters
        self._event = asyncio.Event()

    def __enter__(self) -> Waiter:
        self._waiters.add(self._event)
        return self

    def __exit__(self, *exc: object) -> None:
        self._waiters.discard(self._event)

    async def wait(self, timeout_s: float) -> None:
        """Until the next change, or for ``timeout_s`` seconds."""
        await wait_for(self._event, timeout_s)


def seconds_to_next(moments: Iterable[datetime], *, now: datetime, at_most_s: float) -> float:
    """Until the first of these moments; 10 ms at least: one that has passed already must not make a loop spin."""
    return min([at_most_s, *(max(0.01, (moment - now).total_seconds()) for moment in moments)])


async def wait_for(event: asyncio.Event, timeout_s: float) -> bool:
    """Wait for an event, at most ``timeout_s`` seconds, and clear it. Returns whether it was set."""
    try:
        async with asyncio.timeout(max(0.0, timeout_s)):
            await event.wait()
    except TimeoutError:
        return False
    event.clear()
    return True
