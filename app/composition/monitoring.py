"""What looks at the rooms from outside: health and metrics, given the callables by which they ask."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from app import __version__
from app.composition.parts import tick_expectation
from app.db.migrate import head_revision
from app.db.postgres import Database
from app.ops.health import HealthService, HealthSources, OrdersHealth, Release
from app.ops.metric_sources import (
    register_doubt_metrics,
    register_feed_metrics,
    register_leadership_metrics,
    register_order_metrics,
    register_process_metrics,
    register_stream_metrics,
    register_tick_metrics,
)
from app.orders.risk.kill_switch_store import list_halts

if TYPE_CHECKING:
    from app.composition.runtime import House


def build_health(house: House) -> HealthService:
    """The health of a house whose rooms are built."""

    async def orders() -> OrdersHealth:
        doubts = await house.queries.doubts()
        async with house.ground.database.connection() as connection:
            halts = await list_halts(connection)
        oldest_s = doubts.oldest_s if doubts.count else None
        return OrdersHealth(in_doubt=doubts.count, oldest_in_doubt_s=oldest_s, halted=bool(halts))

    sources = HealthSources(
        database=house.ground.database,
        redis=house.redis,
        supervisor=house.supervisor,
        feeds=house.feeds,
        registry=house.instruments.status,
        orders=orders,
        token_valid_until=lambda account_id: house.ground.accounts.get(account_id).token_valid_until,
        expects_ticks=tick_expectation(
            house.feeds, instruments=house.instruments.by_token, is_open=house.calendar.is_open, now=house.clock.now
        ),
        leads=lambda account_id: house.feed_owners[account_id].working,
    )
    return HealthService(
        sources,
        release=Release(environment=house.settings.environment, version=__version__, schema_revision=head_revision()),
        stale_after_s=house.settings.tick_stale_after_s,
        clock=house.clock,
    )


def register_metrics(house: House, *, databases: Sequence[Database]) -> None:
    """Let the metrics read each room when they are asked for."""
    register_tick_metrics(house.metrics, house.ticks.stats, active=house.subscriptions.active_count)
    register_feed_metrics(house.metrics, house.feeds)
    register_stream_metrics(house.metrics, {"orders": house.order_stream.stats, "ticks": house.tick_stream.stats})
    register_doubt_metrics(house.metrics, house.doubts)
    counters = house.orders.engine.counters
    register_order_metrics(
        house.metrics,
        counters,
        batch_seconds=counters.batch_seconds.snapshot,
        broker_wait=counters.broker_wait.snapshot,
        alarms=lambda: counters.alarms,
        breakers=house.orders.engine.breaker_states,
    )
    feed_owners = house.feed_owners
    register_leadership_metrics(
        house.metrics,
        {
            "sender": house.orders.engine.owned_accounts,
            "feed": lambda: sum(ownership.working for ownership in feed_owners.values()),
        },
    )
    register_process_metrics(
        house.metrics,
        databases=databases,
        calls=house.ground.calls,
        limit_hits=lambda: house.limits.hits,
        loop_lag=house.loop_lag.samples,
    )
