"""LISTEN and NOTIFY: how one replica wakes another. Hints only: whoever is woken reads the tables, and also polls.

One connection outside every pool listens for the whole process. A notice is sent after its commit, not inside the
transaction (which would serialise all commits), and at most twenty times a second.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import psycopg
from loguru import logger
from psycopg import AsyncConnection, sql

from app.db.postgres import Database
from app.errors import ServiceError
from app.kit.cancellation import end_if_cancelled

CHANNEL = "ticker_orders"
_LEAST_GAP_S = 0.05
_KEEPALIVE_S = 15.0
_RECONNECT_S = 1.0


class Notifications:
    """``send`` is a plain function that never waits; ``run`` delivers what others sent, and sends what we have."""

    def __init__(self, database: Database, *, url: str, on_notice: Callable[[str], None]) -> None:
        self._database = database
        self._url = url
        self._on_notice = on_notice
        self._waiting: set[str] = set()
        self._wake = asyncio.Event()

    def send(self, subject: str) -> None:
        """Tell the other replicas that something about ``subject`` changed; repeated subjects are sent once."""
        self._waiting.add(subject)
        self._wake.set()

    async def run(self) -> None:
        """Lives until cancelled; reconnects by itself."""
        async with asyncio.TaskGroup() as loops:
            loops.create_task(self._listen(), name="notices-listen")
            loops.create_task(self._send_all(), name="notices-send")

    async def _send_all(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            subjects, self._waiting = self._waiting, set()
            try:
                async with self._database.connection() as connection:
                    await connection.execute(
                        "SELECT pg_notify(%s, subject) FROM unnest(%s::text[]) AS subject", (CHANNEL, sorted(subjects))
                    )
            except ServiceError as error:  # the others poll: a lost notice costs them a moment
                logger.debug("notice not sent: {}", error)
            await asyncio.sleep(_LEAST_GAP_S)

    async def _listen(self) -> None:
        while True:
            try:
                await self._listen_once()
            except (psycopg.Error, OSError, TimeoutError) as error:
                end_if_cancelled()
                logger.warning("not listening to other replicas: {}", error)
                await asyncio.sleep(_RECONNECT_S)

    async def _listen_once(self) -> None:
        connection = await AsyncConnection.connect(
            self._url, autocommit=True, connect_timeout=5, application_name="ticker notices"
        )
        async with connection:
            await connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(CHANNEL)))
            self._on_notice("")  # something may have been said while nobody listened
            while True:
                async for notice in connection.notifies(timeout=_KEEPALIVE_S):
                    self._on_notice(notice.payload)
                await connection.execute("SELECT 1")
