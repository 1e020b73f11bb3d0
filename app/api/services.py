"""What the routes may use: built by the composition, handed over by the lifespan's state.

A route takes ``services: ServicesDep`` (``app.api.dependencies``) and nothing else from outside. The types are imported
for the type checker only, so this module can be imported from everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from app.accounts.logins import Logins
    from app.accounts.sessions import BrokerSessions
    from app.api.keys import ApiKeys
    from app.api.rate_limits import RateLimits
    from app.broker.port import Broker, Feed
    from app.config import Settings
    from app.events.event_log import EventLog
    from app.events.order_stream import OrderStreamHub
    from app.events.tick_stream import TickStreamHub
    from app.kit.clock import Clock
    from app.kit.supervisor import Supervisor
    from app.market.history.service import HistoryService
    from app.market.instruments.registry import InstrumentRegistry
    from app.market.quotes.service import QuoteService
    from app.market.subscriptions.service import SubscriptionService
    from app.ops.health import HealthService
    from app.ops.metrics import Metrics
    from app.orders.entry.mass_cancel import MassCancels
    from app.orders.entry.position_close import PositionCloses
    from app.orders.entry.service import OrderService
    from app.orders.entry.withdrawal import Withdrawals
    from app.orders.operators.halt_and_resume import HaltService
    from app.orders.operators.resolution import Resolutions
    from app.orders.state.wakeups import OrderWakeups
    from app.webhooks.service import Webhooks


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """Everything that routes and streams use, complete while the service runs."""

    settings: Settings  # as they were at the start
    clock: Clock  # the one clock of this process

    # accounts at their broker
    accounts: BrokerSessions  # which accounts there are, and the token in force of each
    logins: Logins  # change that token
    brokers: Mapping[str, Broker]  # by account: reads that are passed through
    feeds: Mapping[str, Feed]  # by account: is it connected?

    # market data
    instruments: InstrumentRegistry  # search and lookup
    subscriptions: SubscriptionService  # what is streamed, for which owner
    quotes: QuoteService  # last values
    history: HistoryService  # candles

    # orders
    orders: OrderService  # place, modify, cancel, batches; ``orders.queries`` reads
    withdrawals: Withdrawals  # take a placement back
    mass_cancels: MassCancels  # cancel what matches a filter
    position_closes: PositionCloses  # close positions that match a filter
    halts: HaltService  # an operator's halt and resume, and the audit trail
    resolutions: Resolutions  # an operator's decision about a doubt
    order_wakeups: OrderWakeups  # takes the hint of a postback

    # events
    events: EventLog  # GET /events
    order_stream: OrderStreamHub  # the readers of order events
    tick_stream: TickStreamHub  # the readers of ticks
    webhooks: Webhooks  # endpoints that events are sent to

    # who may call, how often, and how the process is
    api_keys: ApiKeys  # which caller has which key
    rate_limits: RateLimits  # requests of a caller and of an address
    metrics: Metrics  # what Prometheus scrapes
    health: HealthService  # health and the platform's probes
    supervisor: Supervisor  # the background tasks; one that fails stops the process
