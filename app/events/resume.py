"""Where a socket starts: an exact replay from its last event, or the orders of the day. Never a part of either.

The decision and the snapshot are read in one transaction, so that the snapshot is the state at exactly ``head.seq``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from app.db.postgres import Database, Tx
from app.events import event_append_store, event_read_store
from app.events.model import LogHead
from app.events.protocol import CloseReason, Resume, StreamClosed


class Snapshot(Protocol):
    """Reads the orders of the day, which another package knows."""

    async def __call__(self, tx: Tx, account_id: str) -> Sequence[Mapping[str, Any]]:
        """The account's orders of the day, JSON-ready, as this transaction sees them; it may only read."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SocketStart:
    """Replay the events after ``last`` up to ``head.seq``; or (``orders`` given, ``last == head.seq``) send them."""

    head: LogHead
    last: int
    orders: Sequence[Mapping[str, Any]] | None


async def start_of_socket(
    database: Database, account_id: str, *, resume: Resume | None, limit: int, snapshot: Snapshot
) -> SocketStart:
    """How a socket starts that has events up to ``resume``; at most ``limit`` events are replayed.

    The account's log has been opened (``open_head``). Raises StreamClosed when it was removed since, and Unavailable.
    """
    async with database.snapshot() as tx:
        head = await event_read_store.read_head(tx, account_id)
        if head is None:
            raise StreamClosed(CloseReason.RESTART)  # the log was removed since it was opened
        if resume is not None and await _replayable(tx, resume, head=head, limit=limit):
            return SocketStart(head=head, last=resume.seq, orders=None)
        return SocketStart(head=head, last=head.seq, orders=await snapshot(tx, account_id))


async def _replayable(tx: Tx, resume: Resume, *, head: LogHead, limit: int) -> bool:
    if not can_resume(resume, head=head, limit=limit):
        return False
    return resume.seq == head.seq or await event_read_store.has_event(tx, head.account_id, seq=resume.seq + 1)


async def open_head(database: Database, account_id: str, *, epoch: str) -> LogHead:
    """Where the account's log stands; an account without a log gets an empty one, named ``epoch``.

    Raises StreamClosed when the log was removed at the same moment, and Unavailable.
    """
    async with database.transaction() as tx:
        head = await event_read_store.read_head(tx, account_id)
        if head is None:
            await event_append_store.open_log(tx, account_id, epoch=epoch)
            head = await event_read_store.read_head(tx, account_id)
        if head is None:
            raise StreamClosed(CloseReason.RESTART)  # it was removed this very moment
        return head


def can_resume(resume: Resume, *, head: LogHead, limit: int) -> bool:
    """Whether the client's position is in the same log, not ahead of it, and at most ``limit`` events behind."""
    return resume.epoch == head.epoch and 0 <= head.seq - resume.seq <= limit
