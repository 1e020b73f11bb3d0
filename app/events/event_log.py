"""The event log for readers: pages by sequence number, and where each account's log stands."""

from __future__ import annotations

from app.db.postgres import Database
from app.events import event_read_store
from app.events.model import LogHead, StoredEvent

MAX_PAGE = 500


class EventLog:
    """Reads only. Every answer is bounded; a page shorter than its limit is the end of the log. Raises Unavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(self, account_id: str, *, after: int, limit: int = MAX_PAGE) -> list[StoredEvent]:
        """Events with ``seq`` above ``after``, oldest first, at most ``limit`` and never more than 500."""
        async with self._database.connection() as connection:
            return await event_read_store.read_after(connection, account_id, after=after, limit=min(limit, MAX_PAGE))

    async def head(self, account_id: str) -> LogHead | None:
        """Where the account's log stands; None when the account has never had an event."""
        async with self._database.connection() as connection:
            return await event_read_store.read_head(connection, account_id)

    async def oldest(self, account_id: str) -> int | None:
        """The ``seq`` of the oldest event that is kept; None when there is none."""
        async with self._database.connection() as connection:
            return await event_read_store.oldest_seq(connection, account_id)

    async def all_heads(self) -> list[LogHead]:
        """Where every log stands, one entry for each account."""
        async with self._database.connection() as connection:
            return await event_read_store.read_all_heads(connection)
