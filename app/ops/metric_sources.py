"""Which numbers stand behind which metric?

Each feature counts in plain integers; the functions here register the metrics that read them at each scrape.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol

from app.broker.port import Feed
from app.db.postgres import Database
from app.errors import Unavailable
from app.ops.broker_calls import BrokerCalls, register_broker_metrics
from app.ops.metrics import HistogramSnapshot, Metrics, Samples
from app.ops.trading_health import TradingHealth

DOUBT_SAMPLE_S = 5.0


class TickStats(Protocol):
    """The tick path since the start of the process; ``received`` is by account."""

    @property
    def received(self) -> Mapping[str, int]: ...

    @property
    def published(self) -> int: ...

    @property
    def refused(self) -> int: ...

    @property
    def conflated(self) -> int: ...

    @property
    def feed_lag(self) -> HistogramSnapshot: ...

    @property
    def publish_lag(self) -> HistogramSnapshot: ...


class StreamStats(Protocol):
    """One WebSocket stream: open ``connections`` by account, sockets ``dropped`` since the start by reason."""

    @property
    def connections(self) -> Mapping[str, int]: ...

    @property
    def dropped(self) -> Mapping[str, int]: ...


class DoubtStats(Protocol):
    """How many tasks are in doubt, and the age of the oldest in seconds."""

    @property
    def count(self) -> int: ...

    @property
    def oldest_s(self) -> float: ...


class DoubtSampler:
    """Keeps the doubts of a few seconds ago: they are counted in the database, which no scrape should wait for."""

    def __init__(self, read: Callable[[], Awaitable[DoubtStats]], *, every_s: float = DOUBT_SAMPLE_S) -> None:
        self._read = read
        self._every_s = every_s
        self._last: DoubtStats | None = None

    async def run(self) -> None:
        """Read every few seconds, for as long as the service runs."""
        while True:
            try:
                self._last = await self._read()
            except Unavailable:
                self._last = None  # no sample is better than an outdated one
            await asyncio.sleep(self._every_s)

    def counts(self) -> Samples:
        """The number of doubts; no sample while the database is away."""
        return {} if self._last is None else {(): self._last.count}

    def ages(self) -> Samples:
        """The age of the oldest doubt in seconds; no sample while the database is away."""
        return {} if self._last is None else {(): self._last.oldest_s}


def register_tick_metrics(metrics: Metrics, stats: Callable[[], TickStats], *, active: Callable[[], int]) -> None:
    """Ticks received, published and conflated, their lags, and the ``active`` subscriptions."""
    metrics.add_counter(
        "ticker_ticks_received_total",
        "Ticks that came from the broker.",
        lambda: {(account_id,): count for account_id, count in stats().received.items()},
        labels=["account"],
    )
    metrics.add_counter(
        "ticker_ticks_published_total", "Ticks that Redis has confirmed.", lambda: {(): stats().published}
    )
    metrics.add_counter(
        "ticker_ticks_refused_total",
        "Ticks that Redis has answered with an error, such as no memory or no right to the channel.",
        lambda: {(): stats().refused},
    )
    metrics.add_counter(
        "ticker_ticks_conflated_total",
        "Ticks replaced by a newer one of the same instrument before Redis had them.",
        lambda: {(): stats().conflated},
    )
    metrics.add_histogram(
        "ticker_feed_lag_seconds", "From the exchange's time to receipt.", lambda: {(): stats().feed_lag}
    )
    metrics.add_histogram("ticker_publish_lag_seconds", "From receipt to Redis.", lambda: {(): stats().publish_lag})
    metrics.add_gauge("ticker_active_subscriptions", "Instruments that are streamed now.", lambda: {(): active()})


def register_feed_metrics(metrics: Metrics, feeds: Mapping[str, Feed]) -> None:
    """Connections of the broker feeds, which are by account."""
    metrics.add_gauge(
        "ticker_feed_connected",
        "1 while the account's feed has a socket.",
        lambda: {(account_id,): float(feed.state.connected) for account_id, feed in feeds.items()},
        labels=["account"],
    )
    metrics.add_counter(
        "ticker_feed_reconnects_total",
        "Sockets opened after the first, over all accounts.",
        lambda: {(): sum(feed.state.reconnects for feed in feeds.values())},
    )


def register_stream_metrics(metrics: Metrics, streams: Mapping[str, Callable[[], StreamStats]]) -> None:
    """Open and closed WebSockets. ``streams`` is by name: ``orders`` and ``ticks``."""

    def dropped() -> Samples:
        total: Counter[str] = Counter()
        for stats in streams.values():
            total.update(stats().dropped)
        return {(reason,): count for reason, count in total.items()}

    metrics.add_gauge(
        "ticker_ws_connections",
        "Open WebSockets.",
        lambda: {(name,): sum(stats().connections.values()) for name, stats in streams.items()},
        labels=["stream"],
    )
    metrics.add_counter("ticker_ws_dropped_total", "WebSockets that the service closed.", dropped, labels=["reason"])


def register_doubt_metrics(metrics: Metrics, doubts: DoubtSampler) -> None:
    """Order tasks in doubt, and the age of the oldest."""
    metrics.add_gauge("ticker_orders_in_doubt", "Order tasks whose outcome is not known.", doubts.counts)
    metrics.add_gauge("ticker_orders_in_doubt_oldest_seconds", "Age of the oldest of them.", doubts.ages)


class OrderTaskStats(Protocol):
    """``tasks`` by operation and status, ``batches`` by status, ``account_failures`` by account, ``task_seconds`` by
    operation."""

    @property
    def tasks(self) -> Mapping[tuple[str, str], int]: ...

    @property
    def batches(self) -> Mapping[str, int]: ...

    @property
    def account_failures(self) -> Mapping[str, int]: ...

    def task_seconds(self) -> Mapping[str, HistogramSnapshot]: ...


def register_order_metrics(
    metrics: Metrics,
    numbers: OrderTaskStats,
    *,
    batch_seconds: Callable[[], HistogramSnapshot],
    broker_wait: Callable[[], HistogramSnapshot],
    alarms: Callable[[], Mapping[str, int]],
    breakers: Callable[[], Mapping[tuple[str, str], str]],
) -> None:
    """Tasks, batches, waits for the broker's rate, alarms by kind, and breakers by account and operation."""
    metrics.add_counter(
        "ticker_order_tasks_total",
        "Order tasks by the status that they reached.",
        lambda: {(kind, status): count for (kind, status), count in numbers.tasks.items()},
        labels=["operation", "status"],
    )
    metrics.add_histogram(
        "ticker_order_task_seconds",
        "From the acceptance of an order task that was sent to its known outcome, by an answer or by the order book.",
        lambda: {(operation,): snapshot for operation, snapshot in numbers.task_seconds().items()},
        labels=["operation"],
    )
    metrics.add_counter(
        "ticker_batches_total",
        "Batches by the status that they ended in.",
        lambda: {(status,): count for status, count in numbers.batches.items()},
        labels=["status"],
    )
    metrics.add_histogram(
        "ticker_batch_seconds", "From the acceptance of a batch to its end.", lambda: {(): batch_seconds()}
    )
    metrics.add_histogram(
        "ticker_broker_wait_seconds",
        "Time that an order task, also a change or a cancel, waited for the broker's rate limit.",
        lambda: {(): broker_wait()},
    )
    metrics.add_counter(
        "ticker_order_alarms_total",
        "Alarms for an operator, by kind; each kind has a runbook.",
        lambda: {(kind,): count for kind, count in alarms().items()},
        labels=["kind"],
    )
    metrics.add_counter(
        "ticker_account_failures_total",
        "Errors that ended the loops of an account; they begin anew after a pause.",
        lambda: {(account_id,): count for account_id, count in numbers.account_failures.items()},
        labels=["account"],
    )
    metrics.add_gauge(
        "ticker_order_breaker_open",
        "1 while an account's circuit breaker stops this operation.",
        lambda: {(account, kind): float(state != "closed") for (account, kind), state in breakers().items()},
        labels=["account", "operation"],
    )


def register_account_metrics(
    metrics: Metrics, *, statuses: Callable[[], Sequence[TradingHealth]], reasons: Sequence[str]
) -> None:
    """Which accounts can trade, and for each of the possible ``reasons`` whether it stops one."""
    metrics.add_gauge(
        "ticker_account_can_trade",
        "1 while an order of the account, placed now, would reach the broker.",
        lambda: {(one.account_id,): float(one.can_trade) for one in statuses()},
        labels=["account"],
    )
    metrics.add_gauge(
        "ticker_account_blocked",
        "1 while this reason keeps the account's orders from the broker.",
        lambda: {(one.account_id, str(why)): float(why in one.reasons) for one in statuses() for why in reasons},
        labels=["account", "reason"],
    )


def register_leadership_metrics(metrics: Metrics, led: Mapping[str, Callable[[], int]]) -> None:
    """``led`` counts the accounts that this process leads, by role."""
    metrics.add_gauge(
        "ticker_leader",
        "Accounts that this process leads, by role: sender of their orders, or holder of their feed.",
        lambda: {(role,): count() for role, count in led.items()},
        labels=["role"],
    )


def register_process_metrics(
    metrics: Metrics,
    *,
    databases: Sequence[Database],
    calls: BrokerCalls,
    limit_hits: Callable[[], int],
    loop_lag: Callable[[], Samples],
) -> None:
    """What belongs to no feature: connection errors, requests to the broker, refusals, lag of the event loop."""
    metrics.add_counter(
        "ticker_service_db_connection_errors_total",
        "Times that no connection to the database could be had, or that one failed.",
        lambda: {(): sum(database.connection_errors for database in databases)},
    )
    register_broker_metrics(metrics, calls)
    metrics.add_counter("ticker_rate_limit_hits_total", "Requests answered 429.", lambda: {(): limit_hits()})
    metrics.add_gauge(
        "ticker_event_loop_lag_seconds", "The worst delay of the event loop since the last scrape.", loop_lag
    )
