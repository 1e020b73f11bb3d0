"""The running process: all parts, the order in which they start, and how another replica takes over.

Everything that opens and closes is in ``app.bootstrap``; the parts are put together by the builders beside this file.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from app.accounts.logins import Logins
from app.api.keys import ApiKeys
from app.api.rate_limits import RateLimits
from app.api.services import Services
from app.composition.accounts import SessionFanout, build_logins
from app.composition.market import Market, TickPrices, build_market
from app.composition.monitoring import MonitoredParts, Monitoring, build_monitoring
from app.composition.orders import OrderInputs, Orders, build_order_parts, build_orders
from app.composition.parts import Accounts, Process
from app.composition.streams import Streams, build_order_stream, build_streams
from app.composition.webhooks import WebhookParts, build_webhooks
from app.db.database_bounds import DatabaseBounds
from app.db.notifications import Notifications
from app.orders.recovery.database_record import RecordStore
from app.orders.recovery.record_stores import FileRecord, RedisRecord
from app.orders.risk.limits import RiskLimits
from app.orders.state.tags import TagSecrets
from app.orders.state.wakeups import OrderWakeups, session_notice
from app.orders.views.queries import OrderQueries


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """Everything of one process. ``start`` starts it, ``hand_over`` lets other replicas go on."""

    process: Process  # what all parts share
    accounts: Accounts  # who is served
    logins: Logins  # change the token of an account
    market: Market  # market data that comes in
    streams: Streams  # order events and ticks that go out
    webhooks: WebhookParts  # events to the endpoints of clients
    orders: Orders  # entry, engine, operators
    notifications: Notifications  # to and from other replicas
    monitoring: Monitoring  # health, metrics, the supervisor of all loops
    api_keys: ApiKeys  # which caller has which key
    limits: RateLimits  # requests of a caller and of an address

    async def start(self) -> None:
        """State first, then the loops that keep it; the feeds last, when everything that listens to them runs."""
        await self.market.instruments.start()
        await self.market.subscriptions.start()
        supervisor = self.monitoring.supervisor
        start = supervisor.start
        start("database-clock", self.process.clock.run(self.process.database))
        start("loop-lag", self.monitoring.loop_lag.run())
        start("accounts", self.logins.run())
        start("instruments", self.market.instruments.run())
        start("tick-publisher", self.streams.publisher.run())
        start("tick-pipeline", self.streams.pipeline.run())
        start("subscriptions", self.market.subscriptions.run())
        start("doubts", self.monitoring.doubts.run())
        start("statuses", self.orders.statuses.run())
        start("notifications", self.notifications.run())
        self.orders.engine.start(supervisor)
        start("order-stream", self.streams.orders.run())
        start("tick-stream", self.streams.ticks.run())
        start("event-retention", self.streams.retention.run())
        start("webhooks", self.webhooks.deliveries.run())
        start("webhook-connections", self.webhooks.connections.run())
        start("webhook-housekeeping", self.webhooks.housekeeping.run())
        for account_id, ownership in self.market.feed_owners.items():
            start(f"feed-{account_id}", ownership.run())

    async def hand_over(self, *, timeout_s: float) -> None:
        """Send no further order, wait for the answers under way, and let other replicas take the accounts."""
        await asyncio.gather(
            self.orders.engine.drain(timeout_s=timeout_s), self.webhooks.deliveries.drain(timeout_s=timeout_s)
        )
        self.webhooks.names.close()
        await self.webhooks.connections.close()
        await asyncio.gather(*(ownership.leave() for ownership in self.market.feed_owners.values()))

    def services(self) -> Services:
        """What the routes use of it."""
        market, streams, orders, monitoring = self.market, self.streams, self.orders, self.monitoring
        return Services(
            settings=self.process.settings,
            clock=self.process.clock,
            accounts=self.accounts.sessions,
            logins=self.logins,
            brokers=self.accounts.brokers,
            feeds=market.feeds,
            instruments=market.instruments,
            subscriptions=market.subscriptions,
            quotes=market.quotes,
            history=market.history,
            orders=orders.service,
            withdrawals=orders.withdrawals,
            mass_cancels=orders.mass_cancels,
            position_closes=orders.position_closes,
            halts=orders.operators.halts,
            resolutions=orders.operators.resolutions,
            order_wakeups=orders.wakeups,
            events=streams.log,
            order_stream=streams.orders,
            tick_stream=streams.ticks,
            webhooks=self.webhooks.service,
            api_keys=self.api_keys,
            rate_limits=self.limits,
            metrics=monitoring.metrics,
            health=monitoring.health,
            supervisor=monitoring.supervisor,
        )


def _notifications(process: Process, *, wakeups: OrderWakeups) -> Notifications:
    return Notifications(
        process.engine_database,
        url=process.settings.database_dsn,
        on_notification=wakeups.on_notice,
        bounds=DatabaseBounds.from_settings(process.settings),
    )


async def build_runtime(process: Process, accounts: Accounts, *, api_keys: ApiKeys) -> Runtime:
    """Each part is given those that exist before it: what wakes (streams of order events), what is woken by the feeds
    (orders' wake-ups), the feeds, what reads them, and the orders. Raises Unavailable."""
    secrets = TagSecrets.from_settings(process.settings)
    queries = OrderQueries(database=process.database, clock=process.clock)
    order_stream = build_order_stream(process, snapshot=queries.snapshot)
    wakeups = OrderWakeups(accounts.at_broker, events=order_stream)
    market = build_market(process, accounts, orders=wakeups)
    streams = build_streams(process, market, order_stream=order_stream)
    notifications = _notifications(process, wakeups=wakeups)
    accounts.sessions.tell_of_refusals(lambda account_id: notifications.send(session_notice(account_id)))
    inputs = OrderInputs(
        engine_database=process.engine_database,
        accounts=accounts.at_broker,
        limits={
            account_id: RiskLimits.from_settings(process.settings, own=account.own_limits)
            for account_id, account in accounts.roster.items()
        },
        queries=queries,
        instruments=market.instruments,
        prices=TickPrices(market.instruments, market.newest, clock=process.clock),
        wakeups=wakeups,
        replicas=notifications,
        leases=process.leases,
        records=_records(process, secrets),
    )
    parts = await build_order_parts(
        process.database,
        events=process.log,
        settings=process.engine_settings,
        clock=process.clock,
        ids=process.ids,
        secrets=secrets,
    )
    orders = build_orders(parts, inputs)
    limits = RateLimits(process.settings, redis=process.redis, clock=process.clock)
    monitored = MonitoredParts(
        process=process,
        accounts=accounts,
        market=market,
        streams=streams,
        webhooks=build_webhooks(process),
        orders=orders,
        limits=limits,
    )
    return Runtime(
        process=process,
        accounts=accounts,
        logins=build_logins(process, accounts, listener=SessionFanout(market.feeds, orders=wakeups), parts=parts),
        market=market,
        streams=streams,
        webhooks=monitored.webhooks,
        orders=orders,
        notifications=notifications,
        monitoring=build_monitoring(monitored),
        api_keys=api_keys,
        limits=limits,
    )


def _records(process: Process, secrets: TagSecrets) -> list[RecordStore]:
    """Where this process and those after it remember the database."""
    records: list[RecordStore] = [RedisRecord(process.redis, keys=process.keys, deployment=secrets.code)]
    path = process.settings.database_record_file
    return records if path is None else [*records, FileRecord(path)]
