"""The event log for readers: pages by sequence number, and where each account's log stands."""

from __future__ import annotations

from collections.abc import Sequence

from app.db.postgres import Database
from app.events import store
from app.events.store import LogHead, StoredEvent

MAX_PAGE = 500


class EventLog:
    """Reads only. Every answer is bounded; a page that is shorter than asked for is the end of the log."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(self, account_id: str, *, after: int, limit: int = MAX_PAGE) -> list[StoredEvent]:
        """Events with ``seq`` above ``after``, oldest first, at most ``limit`` and never more than 500."""
        async with self._database.connection() as connection:
            return await store.read_after(connection, account_id, after=after, limit=min(limit, MAX_PAGE))

    async def head(self, account_id: str) -> LogHead | None:
        """None: the account has never had an event."""
        heads = await self.heads([account_id])
        return heads[0] if heads else None

    async def heads(self, account_ids: Sequence[str]) -> list[LogHead]:
        async with self._database.connection() as connection:
            return await store.read_heads(connection, account_ids)
