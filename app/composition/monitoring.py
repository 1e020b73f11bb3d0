"""Builds what looks at the process from outside: health and metrics."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from app import __version__
from app.api.rate_limits import RateLimits
from app.composition.market import Market
from app.composition.orders import Orders
from app.composition.parts import Accounts, Process
from app.composition.streams import Streams
from app.composition.webhooks import WebhookParts
from app.db.leases import held_leases
from app.db.migrate import head_revision
from app.kit.supervisor import Supervisor
from app.ops.health import HealthService, HealthSources, OrdersHealth, Release
from app.ops.loop_lag import LoopLag
from app.ops.metric_sources import (
    DoubtSampler,
    register_account_metrics,
    register_doubt_metrics,
    register_feed_metrics,
    register_leadership_metrics,
    register_order_metrics,
    register_process_metrics,
    register_stream_metrics,
    register_tick_metrics,
)
from app.ops.metrics import Metrics
from app.ops.webhook_metrics import register_webhook_metrics
from app.orders.risk.halt_store import list_halts
from app.orders.state.alarms import Alarm
from app.orders.state.trading_reasons import Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class MonitoredParts:
    """What health and metrics read."""

    process: Process  # databases and Redis: can they be reached?
    accounts: Accounts  # until when tokens are valid, requests to the broker
    market: Market  # feeds, instruments, subscriptions
    streams: Streams  # ticks published, open sockets
    webhooks: WebhookParts  # deliveries
    orders: Orders  # doubts, tasks, breakers
    limits: RateLimits  # requests refused


@dataclass(frozen=True, slots=True, kw_only=True)
class Monitoring:
    """How the process is; the samplers run like any other loop."""

    supervisor: Supervisor  # the background tasks, and whether one has failed
    metrics: Metrics  # what Prometheus scrapes
    health: HealthService  # health and the platform's probes
    loop_lag: LoopLag  # samples the event loop
    doubts: DoubtSampler  # samples the tasks in doubt


class AccountStates:
    """What the parts know of one account."""

    def __init__(self, parts: MonitoredParts) -> None:
        self._sessions = parts.accounts.sessions
        self._market = parts.market

    def token_valid_until(self, account_id: str) -> datetime | None:
        return self._sessions.get(account_id).token_valid_until

    def feed_is_silent(self, account_id: str) -> bool:
        return self._market.subscriptions.feed_is_silent(account_id)

    def leads(self, account_id: str) -> bool:
        return self._market.feed_owners[account_id].working


class OrderStates:
    """What is in doubt, whether anything is halted, and which feeds no replica runs, over all accounts."""

    def __init__(self, parts: MonitoredParts) -> None:
        self._database = parts.process.database
        self._queries = parts.orders.service.queries
        self._feeds = {ownership.lease.name: account_id for account_id, ownership in parts.market.feed_owners.items()}

    async def read(self) -> OrdersHealth:
        doubts = await self._queries.doubts()
        async with self._database.connection() as connection:
            halts = await list_halts(connection)
            led = await held_leases(connection, list(self._feeds))
        oldest_s = doubts.oldest_s if doubts.count else None
        return OrdersHealth(
            in_doubt=doubts.count,
            oldest_in_doubt_s=oldest_s,
            halted=bool(halts),
            unled_feeds=[account_id for name, account_id in self._feeds.items() if name not in led],
        )


def build_monitoring(parts: MonitoredParts) -> Monitoring:
    """Health and metrics of these parts; nothing of them is asked before a request is."""
    supervisor, metrics = Supervisor(), Metrics()
    loop_lag, doubts = LoopLag(parts.process.clock), DoubtSampler(parts.orders.service.queries.doubts)
    _register_metrics(metrics, parts, loop_lag=loop_lag, doubts=doubts)
    return Monitoring(
        supervisor=supervisor,
        metrics=metrics,
        health=_build_health(parts, supervisor=supervisor),
        loop_lag=loop_lag,
        doubts=doubts,
    )


def _build_health(parts: MonitoredParts, *, supervisor: Supervisor) -> HealthService:
    process = parts.process
    sources = HealthSources(
        database=process.database,
        engine_database=process.engine_database,
        redis=process.redis,
        tick_refusal=lambda: parts.streams.publisher.refusal.code,
        supervisor=supervisor,
        feeds=parts.market.feeds,
        registry=parts.market.instruments,
        orders=OrderStates(parts),
        trading=parts.orders.statuses,
        accounts=AccountStates(parts),
    )
    return HealthService(
        sources,
        release=Release(environment=process.settings.environment, version=__version__, schema_revision=head_revision()),
        clock=process.clock,
    )


def _register_metrics(metrics: Metrics, parts: MonitoredParts, *, loop_lag: LoopLag, doubts: DoubtSampler) -> None:
    """Let the metrics read each part when they are scraped."""
    process, market, streams, engine = parts.process, parts.market, parts.streams, parts.orders.engine
    register_tick_metrics(metrics, streams.pipeline.stats, active=market.subscriptions.active_count)
    register_feed_metrics(metrics, market.feeds)
    register_stream_metrics(metrics, {"orders": streams.orders.stats, "ticks": streams.ticks.stats})
    register_webhook_metrics(
        metrics, counts=lambda: parts.webhooks.deliveries.counts, backlog=parts.webhooks.housekeeping.backlog
    )
    register_doubt_metrics(metrics, doubts)
    counters = engine.counters
    register_order_metrics(
        metrics,
        counters,
        batch_seconds=counters.batch_seconds.snapshot,
        broker_wait=counters.broker_wait.snapshot,
        alarms=lambda: dict.fromkeys(map(str, Alarm), 0) | counters.alarms,  # an increase begins at a sample of 0
        breakers=engine.breaker_states,
    )
    register_account_metrics(metrics, statuses=parts.orders.statuses.known, reasons=tuple(Reason))
    register_leadership_metrics(
        metrics,
        {
            "sender": engine.owned_accounts,
            "feed": lambda: sum(ownership.working for ownership in market.feed_owners.values()),
        },
    )
    register_process_metrics(
        metrics,
        databases=[process.database, process.engine_database],
        calls=parts.accounts.calls,
        limit_hits=lambda: parts.limits.hits,
        loop_lag=loop_lag.samples,
    )
