"""Counts the reads that all replicas send to the broker for one account, in the database that they share."""

from __future__ import annotations

from app.db import read_pace_store
from app.db.postgres import Database


class DatabaseReadCount:
    """Implements ``app.kite.shared_pace.ReadCount``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def reserve(self, name: str, *, emission_s: float, burst: int, within_s: float) -> float | None:
        """Seconds until the next request of this name may go; None: not within that time. Raises Unavailable."""
        async with self._database.connection() as connection:
            return await read_pace_store.reserve(
                connection, name, emission_s=emission_s, burst=burst, within_s=within_s
            )
