"""The rooms put together: who is given what, and in which order they start.

Everything that opens and closes is in ``app.bootstrap``; here are only constructors and the callables by which rooms on
one floor meet. The broker comes in as ``BrokerAccount``, so no adapter is named.
"""

from __future__ import annotations

import asyncio
from functools import partial

from redis.asyncio import Redis

from app.api.keys import ApiKeys
from app.api.rate_limits import RateLimits
from app.api.services import Services
from app.broker.port import Feed
from app.composition.event_log import AccountLog, event_recorder
from app.composition.monitoring import build_health, register_metrics
from app.composition.orders import OrderInputs, Orders, build_order_parts, build_orders
from app.composition.parts import Accounts, FeedFanout, Overrides, StreamedTicks, TickPrices
from app.config import Settings
from app.db.leases import Leases, LeaseTimes, Ownership
from app.db.notifications import Notifications
from app.db.postgres import Database
from app.db.redis_keys import RedisKeys
from app.events.event_log import EventLog
from app.events.limits import StreamLimits
from app.events.order_stream import OrderStreamHub
from app.events.tick_stream import TickStreamHub
from app.kit.clock import Clock
from app.kit.ids import IdSource
from app.kit.process import process_name
from app.kit.supervisor import Supervisor
from app.market.calendar.exchange_hours import MarketCalendar
from app.market.calendar.staleness import StalenessCheck
from app.market.history.service import HistoryService
from app.market.instruments.registry import InstrumentRegistry
from app.market.quotes.service import QuoteService
from app.market.subscriptions.feed_control import FeedControl
from app.market.subscriptions.feed_silence import FeedSilence
from app.market.subscriptions.market_events import MarketEvents
from app.market.subscriptions.records import SubscriptionView
from app.market.subscriptions.service import SubscriptionService
from app.market.ticks.pipeline import TickPipeline
from app.market.ticks.publisher import TickPublisher
from app.market.ticks.tick_source import tick_source
from app.ops.health import HealthService
from app.ops.loop_lag import LoopLag
from app.ops.metric_sources import DoubtSampler
from app.ops.metrics import Metrics
from app.orders.risk.limits import RiskLimits
from app.orders.state.engine_settings import EngineSettings
from app.orders.state.wakeups import OrderWakeups
from app.orders.views.queries import OrderQueries


class House:
    """The rooms while they are put together; every attribute is set once, in the order of the module's picture."""

    orders: Orders
    order_stream: OrderStreamHub
    tick_stream: TickStreamHub
    subscriptions: SubscriptionService
    quotes: QuoteService
    health: HealthService

    def __init__(
        self,
        settings: Settings,
        *,
        overrides: Overrides,
        ground: Accounts,
        clock: Clock,
        redis: Redis,
        api_keys: ApiKeys,
    ) -> None:
        self.settings = settings
        self.ground = ground
        self.clock = clock
        self.redis = redis
        self.api_keys = api_keys
        self.ids = IdSource(clock)
        self.log = AccountLog(self.ids)
        self.supervisor = Supervisor()
        self.metrics = Metrics()
        self.loop_lag = LoopLag(clock)
        self.calendar = MarketCalendar(mode=settings.market_calendar)
        self.engine_settings = overrides.engine_settings or EngineSettings.from_settings(settings)
        self.stream_limits = overrides.stream_limits or StreamLimits.from_settings(settings)
        self.limits = RateLimits(settings, redis=redis, clock=clock)
        self.instruments = InstrumentRegistry(ground.database, brokers=ground.brokers, clock=clock)
        self.history = HistoryService(brokers=ground.brokers, instruments=self.instruments)
        self.keys = RedisKeys(settings.redis_prefix)
        self.publisher = TickPublisher(settings.redis_url.get_secret_value(), keys=self.keys)
        self.ticks = TickPipeline(
            self.publisher,
            instruments=self.instruments.by_token,
            source=tick_source(rest_url=settings.kite_rest_url, ws_url=settings.kite_ws_url),
            clock=clock,
            flush_ms=settings.tick_flush_ms,
        )
        self.feeds: dict[str, Feed] = {}
        self.feed_owners: dict[str, Ownership] = {}
        self.owner = process_name(self.ids.code(6))
        self.lease_times = overrides.lease_times or LeaseTimes.lasting(settings.account_lease_s)

    async def build(self, engine_database: Database) -> None:
        await self._build_orders(engine_database)
        self._build_feeds(engine_database)
        self._build_market()
        self._build_streams()
        self.health = build_health(self)
        register_metrics(self, databases=[self.ground.database, engine_database])

    async def start(self) -> None:
        """State first, then the loops that keep it; the feeds last, when everybody who listens is there."""
        await self.instruments.start()
        await self.subscriptions.start()
        start = self.supervisor.start
        start("loop-lag", self.loop_lag.run())
        start("accounts", self.ground.accounts.run())
        start("instruments", self.instruments.run())
        start("tick-publisher", self.publisher.run())
        start("tick-pipeline", self.ticks.run())
        start("subscriptions", self.subscriptions.run())
        start("doubts", self.doubts.run())
        start("notices", self.notices.run())
        self.orders.engine.start(self.supervisor)
        start("order-stream", self.order_stream.run())
        start("tick-stream", self.tick_stream.run())
        for account_id, ownership in self.feed_owners.items():
            start(f"feed-{account_id}", ownership.run())

    async def hand_over(self, *, timeout_s: float) -> None:
        """Send no further order, wait for the answers under way, and let other replicas take the accounts."""
        await self.orders.engine.drain(timeout_s=timeout_s)
        await asyncio.gather(*(ownership.leave() for ownership in self.feed_owners.values()))

    async def _build_orders(self, engine_database: Database) -> None:
        database = self.ground.database
        self.queries = OrderQueries(database=database, clock=self.clock)
        self.order_stream = OrderStreamHub(
            database,
            redis=self.redis,
            keys=self.keys,
            ids=self.ids,
            limits=self.stream_limits,
            snapshot=self.queries.snapshot,
        )
        wakeups = OrderWakeups(self.ground.at_broker, events=self.order_stream)
        self.notices = Notifications(engine_database, url=self.settings.database_dsn, on_notification=wakeups.on_notice)
        inputs = OrderInputs(
            engine_database=engine_database,
            accounts=self.ground.at_broker,
            queries=self.queries,
            limits={
                account_id: RiskLimits.from_settings(self.settings, own=account.own_limits)
                for account_id, account in self.ground.roster.items()
            },
            instruments=self.instruments,
            prices=TickPrices(self.instruments, self.ticks, clock=self.clock),
            wakeups=wakeups,
            replicas=self.notices,
            leases=self.leases(engine_database),
        )
        parts = await build_order_parts(
            database, events=self.log, settings=self.engine_settings, clock=self.clock, ids=self.ids
        )
        self.orders = build_orders(parts, inputs)
        self.doubts = DoubtSampler(self.queries.doubts)

    def leases(self, database: Database) -> Leases:
        return Leases(database=database, owner=self.owner, times=self.lease_times, clock=self.clock)

    def _build_feeds(self, engine_database: Database) -> None:
        for account_id, kite in self.ground.at_broker.items():
            listener = FeedFanout(
                account_id,
                ticks=self.ticks.account(account_id, decode=kite.broker.decode),
                orders=self.orders.wakeups,
            )
            feed = kite.make_feed(listener)
            self.feeds[account_id] = feed
            lease = self.leases(engine_database).lease(f"ticker:{account_id}")
            self.feed_owners[account_id] = Ownership(lease, feed.run, when_unsure="go_on")
            self.ground.accounts.on_new_token(account_id, feed.reconnect_soon)
            self.ground.accounts.on_new_token(account_id, partial(self.orders.wakeups.on_session_changed, account_id))

    def _build_market(self) -> None:
        stale_after_s = self.settings.tick_stale_after_s
        staleness = StalenessCheck(self.calendar, clock=self.clock, stale_after_s=stale_after_s)
        self.subscriptions = SubscriptionService(
            self.ground.database,
            instruments=self.instruments,
            feeds=FeedControl(self.feeds, ticks=self.ticks),
            view=SubscriptionView(feeds=self.feeds, ticks=self.ticks, staleness=staleness),
            silence=FeedSilence(
                ticks=self.ticks, calendar=self.calendar, clock=self.clock, stale_after_s=stale_after_s
            ),
            events=MarketEvents(self.redis, keys=self.keys, clock=self.clock, recorder=event_recorder(self.log)),
        )
        self.quotes = QuoteService(
            ticks=self.ticks,
            instruments=self.instruments,
            brokers=self.ground.brokers,
            redis=self.redis,
            keys=self.keys,
            staleness=staleness,
            clock=self.clock,
        )

    def _build_streams(self) -> None:
        self.tick_stream = TickStreamHub(
            self.redis,
            keys=self.keys,
            limits=self.stream_limits,
            source=StreamedTicks(self.feeds, ticks=self.ticks),
        )
        self.ticks.add_listener(self.tick_stream.on_tick)

    def services(self) -> Services:
        return Services(
            settings=self.settings,
            clock=self.clock,
            supervisor=self.supervisor,
            metrics=self.metrics,
            api_keys=self.api_keys,
            limits=self.limits,
            accounts=self.ground.accounts,
            instruments=self.instruments,
            subscriptions=self.subscriptions,
            quotes=self.quotes,
            history=self.history,
            orders=self.orders.service,
            order_wakeups=self.orders.wakeups,
            operations=self.orders.operators.halts,
            resolutions=self.orders.operators.resolutions,
            withdrawals=self.orders.withdrawals,
            events=EventLog(self.ground.database),
            order_stream=self.order_stream,
            tick_stream=self.tick_stream,
            brokers=self.ground.brokers,
            feeds=self.feeds,
            health=self.health,
        )
