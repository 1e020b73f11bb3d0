"""Subscriptions: what is wanted, what is streamed (skeleton: signatures are final)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from redis.asyncio import Redis

from app.broker.port import Feed
from app.db.postgres import Database, Tx
from app.kit.clock import Clock
from app.market.calendar import MarketCalendar
from app.market.instruments import InstrumentService
from app.market.pipeline import TickPipeline

RecordEvent = Callable[[Tx, str, str, Mapping[str, Any]], Awaitable[None]]
"""``(tx, account_id, type, data)``: writes one event of the account's log in the caller's transaction."""


class SubscriptionService:
    def __init__(
        self,
        database: Database,
        *,
        redis: Redis,
        instruments: InstrumentService,
        feeds: Mapping[str, Feed],
        ticks: TickPipeline,
        calendar: MarketCalendar,
        clock: Clock,
        prefix: str,
        stale_after_s: float,
        record_event: RecordEvent | None = None,
        capacity: int = 3000,
    ) -> None: ...

    async def start(self) -> None:
        """Read the desired state and hand it to the feeds; call before the feeds run."""

    async def run(self) -> None:
        """Follow other replicas' changes, watch for silence, publish ``feed_stale`` and ``feed_recovered``."""

    def active_count(self) -> int:
        """Instruments that are streamed now, over all accounts."""
        raise NotImplementedError
