"""What the routes may use: built by ``app.bootstrap``, handed over by the lifespan's state.

Routes take ``services: ServicesDep`` (``app.api.dependencies``) and nothing else from outside. Types are imported
for the type checker alone, so that this page costs nothing to import from any of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from app.accounts.service import AccountService
    from app.api.keys import ApiKeys
    from app.api.rate_limits import RateLimits
    from app.broker.port import Broker, Feed
    from app.config import Settings
    from app.db.postgres import Database
    from app.events.event_log import EventLog
    from app.events.order_stream import OrderStreamHub
    from app.events.tick_stream import TickStreamHub
    from app.kit.clock import Clock
    from app.kit.ids import IdSource
    from app.kit.supervisor import Supervisor
    from app.market.history.service import HistoryService
    from app.market.instruments.registry import InstrumentService
    from app.market.quotes.service import QuoteService
    from app.market.subscriptions.service import SubscriptionService
    from app.market.ticks.pipeline import TickPipeline
    from app.ops.health import HealthService
    from app.ops.metrics import Metrics
    from app.orders.engine.order_engine import OrderEngine
    from app.orders.entry.service import OrderService
    from app.orders.entry.withdrawal import Withdrawals
    from app.orders.operators.operations import Operations
    from app.orders.operators.resolution import Resolutions


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """Everything that is open while the service runs. ``brokers`` and ``feeds`` are by ``account_id``."""

    settings: Settings
    clock: Clock
    ids: IdSource
    supervisor: Supervisor
    database: Database
    redis: Redis
    metrics: Metrics
    api_keys: ApiKeys
    limits: RateLimits
    accounts: AccountService
    instruments: InstrumentService
    subscriptions: SubscriptionService
    quotes: QuoteService
    history: HistoryService
    ticks: TickPipeline
    orders: OrderService
    order_engine: OrderEngine
    operations: Operations
    resolutions: Resolutions
    withdrawals: Withdrawals
    events: EventLog
    order_stream: OrderStreamHub
    tick_stream: TickStreamHub
    brokers: Mapping[str, Broker]
    feeds: Mapping[str, Feed]
    health: HealthService
