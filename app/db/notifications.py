"""LISTEN and NOTIFY: how one replica wakes another. Hints only: the receiver reads the tables, and also polls.

One connection outside every pool listens for the whole process. A notification is sent after its commit, not inside the
transaction (which would serialise all commits), and at most twenty times a second.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import psycopg
from loguru import logger
from psycopg import sql

from app.db.bounded_connection import BoundedConnection
from app.db.database_bounds import DatabaseBounds
from app.db.postgres import Database
from app.errors import ServiceError
from app.kit.cancellation import end_if_cancelled

CHANNEL = "ticker_orders"
_LEAST_GAP_S = 0.05  # between two round trips that send
KEEPALIVE_S = 15.0  # how often a silent connection is checked
_RECONNECT_S = 1.0
_CONNECT_S = 10.0


class Notifications:
    """``send`` is a plain function that never waits; ``run`` sends, and calls ``on_notification`` with what arrives.

    ``on_notification`` gets the subject; an empty one means that any subject may have changed.
    """

    def __init__(
        self,
        database: Database,
        *,
        url: str,
        on_notification: Callable[[str], None],
        keepalive_s: float = KEEPALIVE_S,
        bounds: DatabaseBounds | None = None,
    ) -> None:
        self._database = database
        self._url = url
        self._on_notification = on_notification
        self._keepalive_s = keepalive_s
        self._bounds = bounds or DatabaseBounds()
        self._waiting: set[str] = set()
        self._wake = asyncio.Event()

    def send(self, subject: str) -> None:
        """Notify the other replicas that something about ``subject`` changed; repeated subjects are sent once."""
        self._waiting.add(subject)
        self._wake.set()

    async def run(self) -> None:
        """Lives until cancelled; reconnects by itself."""
        async with asyncio.TaskGroup() as loops:
            loops.create_task(self._listen(), name="notifications-listen")
            loops.create_task(self._send_all(), name="notifications-send")

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
            except ServiceError as error:  # the other replicas poll: a lost notification costs them a moment
                logger.debug("notification not sent: {}", error)
            await asyncio.sleep(_LEAST_GAP_S)

    async def _listen(self) -> None:
        while True:
            try:
                await self._listen_once()
            except (psycopg.Error, OSError, TimeoutError) as error:
                end_if_cancelled()
                logger.warning("not listening for notifications of other replicas: {}", error)
                await asyncio.sleep(_RECONNECT_S)

    async def _listen_once(self) -> None:
        async with asyncio.timeout(_CONNECT_S):  # the name of the server may take longer to find than the server
            connection = await BoundedConnection.connect(
                self._url,
                autocommit=True,
                connect_timeout=self._bounds.connect_s,
                application_name="ticker notifications",
            )
        connection.answer_s = self._bounds.answer_s
        async with connection:
            await connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(CHANNEL)))
            self._on_notification("")  # notifications may have been missed while this process did not listen
            while True:
                async for notification in connection.notifies(timeout=self._keepalive_s):
                    self._on_notification(notification.payload)
                await connection.execute("SELECT 1")
