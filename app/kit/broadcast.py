"""One writer, many readers, and no reader can slow another: each reader has a bounded queue of its own.

A reader that falls behind by more than its bound is marked ``overflowed`` and receives nothing further. What happens
then (the socket is closed and its client resumes) is the reader's decision.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Overflowed(Exception):
    """The reader was slower than its queue is long; it has missed items from here on."""


class Mailbox(Generic[T]):
    """A reader's bounded queue. ``take`` gives everything that waits, in order, at once."""

    def __init__(self, *, limit: int) -> None:
        self._items: deque[T] = deque()
        self._limit = limit
        self._ready = asyncio.Event()
        self._take_at_once: Callable[[T], bool] | None = None
        self.overflowed = False

    def offer_first(self, take_at_once: Callable[[T], bool]) -> None:
        """From now on an item before which nothing waits is offered to this function; True: it has taken the item."""
        self._take_at_once = take_at_once

    def put(self, item: T) -> None:
        """Never waits and never raises: a full mailbox marks itself overflowed instead."""
        if self.overflowed or (self._take_at_once is not None and not self._items and self._take_at_once(item)):
            return
        if len(self._items) >= self._limit:
            self.overflowed = True
            self._items.clear()
        else:
            self._items.append(item)
        self._ready.set()

    async def take(self) -> list[T]:
        """Wait for at least one item. Raises Overflowed once items were lost."""
        await self._ready.wait()
        if self.overflowed:
            raise Overflowed
        items = list(self._items)
        self._items.clear()
        self._ready.clear()
        return items


class Broadcast(Generic[T]):
    """Fan-out by topic. ``publish`` is a plain function: it costs one append per reader and never awaits."""

    def __init__(self) -> None:
        self._readers: dict[str, set[Mailbox[T]]] = {}

    def subscribe(self, topic: str, *, limit: int) -> Mailbox[T]:
        """A new reader of ``topic``; at most ``limit`` items wait for it."""
        box: Mailbox[T] = Mailbox(limit=limit)
        self._readers.setdefault(topic, set()).add(box)
        return box

    def unsubscribe(self, topic: str, box: Mailbox[T]) -> None:
        """This reader gets nothing further."""
        readers = self._readers.get(topic)
        if readers is None:
            return
        readers.discard(box)
        if not readers:
            del self._readers[topic]

    def publish(self, topic: str, item: T) -> None:
        """Hand ``item`` to every reader of ``topic``."""
        for box in self._readers.get(topic, ()):
            box.put(item)

    def topics(self) -> list[str]:
        """The topics that have a reader."""
        return list(self._readers)
