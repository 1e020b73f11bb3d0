"""What happens to deliveries beside the tries: old news, endpoints that are disabled, entries that have grown old."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from loguru import logger

from app.db.postgres import Database
from app.errors import ServiceError
from app.webhooks import delivery_store, endpoint_store

EVERY_S = 5.0
ROWS_AT_ONCE = 1000
KEEP_S = 7 * 86400.0
"""How long the log of deliveries goes back that are over."""

PAUSED_S = 30 * 86400.0
"""How long an endpoint may be paused while something is due; its deliveries, and the events that they need, are kept
that long. Then it is disabled."""

BACKLOG_COUNTED = 100_000

REPLACEABLE = (
    "order_placed", "order_updated", "feed_stale", "feed_recovered", "token_expiring", "subscription_changed",
    "instruments_changed",
)  # fmt: skip
"""Types whose old news an ``events_gap`` may stand for: never the end of an order, a doubt, or the end of a batch."""

GAP = "events_gap"


class Housekeeping:
    """``run`` lives as long as the service, in every process; they skip each other's rows."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._backlog: int | None = None

    async def run(self) -> None:
        """Every few seconds, for as long as the service runs."""
        while True:
            try:
                await self.clean()
            except ServiceError as error:
                self._backlog = None  # no sample is better than an outdated one
                logger.debug("webhook deliveries not cleaned: {}", error)
            await asyncio.sleep(EVERY_S)

    async def clean(self) -> None:
        """One round. Raises Unavailable."""
        async with self._database.connection() as connection:
            await delivery_store.replace_old_news(connection, types=REPLACEABLE, gap=GAP, limit=ROWS_AT_ONCE)
            for webhook_id in await endpoint_store.disable_forgotten(connection, keep_s=PAUSED_S):
                logger.bind(webhook_id=webhook_id).error("a webhook is disabled: it was paused for too long")
            await delivery_store.end_of_disabled(connection, limit=ROWS_AT_ONCE)
            await delivery_store.prune(connection, keep_s=KEEP_S, limit=ROWS_AT_ONCE)
            self._backlog = await delivery_store.backlog(connection, limit=BACKLOG_COUNTED)

    def backlog(self) -> Mapping[tuple[str, ...], float]:
        """Deliveries that wait, over all endpoints, as of the last round; no sample while the database is away."""
        return {} if self._backlog is None else {(): self._backlog}
