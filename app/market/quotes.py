"""Last values (skeleton: signatures are final)."""

from __future__ import annotations

from collections.abc import Mapping

from redis.asyncio import Redis

from app.broker.port import Broker
from app.kit.clock import Clock
from app.market.calendar import MarketCalendar
from app.market.instruments import InstrumentService
from app.market.pipeline import TickPipeline


class QuoteService:
    def __init__(
        self,
        *,
        ticks: TickPipeline,
        instruments: InstrumentService,
        brokers: Mapping[str, Broker],
        redis: Redis,
        calendar: MarketCalendar,
        clock: Clock,
        prefix: str,
        stale_after_s: float,
    ) -> None: ...
