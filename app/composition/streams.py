"""Builds what goes out while it happens: order events and ticks to sockets, ticks to Redis."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from app.broker.port import Feed
from app.composition.market import Market
from app.composition.parts import Process
from app.events.event_log import EventLog
from app.events.log_signature import LogSigner
from app.events.order_stream import OrderStreamHub
from app.events.resume import Snapshot
from app.events.retention import Retention
from app.events.tick_stream import TickStreamHub
from app.market.subscriptions.feed_silence import RunningFeeds
from app.market.ticks.pipeline import TickPipeline
from app.market.ticks.publisher import TickPublisher

DAY_S = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Streams:
    """Everything that goes out by itself; nothing runs before ``run``."""

    orders: OrderStreamHub  # the sockets of order events
    ticks: TickStreamHub  # the sockets of ticks
    pipeline: TickPipeline  # takes the newest ticks to Redis and to the tick sockets
    publisher: TickPublisher  # the pipeline's connection to Redis
    log: EventLog  # the events of the past
    retention: Retention  # drops those that are too old


class NewestJson(Protocol):
    """The newest ticks in memory."""

    def last_json(self, instrument_token: int) -> bytes | None: ...


class StreamedTicks:
    """What this process knows of the ticks of an instrument: the feeds' subscriptions, and the newest in memory.

    Every replica knows all subscriptions; the ticks of an account come to the one that runs its feed.
    """

    def __init__(self, feeds: Mapping[str, Feed], *, owners: RunningFeeds, newest: NewestJson) -> None:
        self._feeds = feeds
        self._owners = owners
        self._newest = newest

    def is_subscribed(self, instrument_token: int) -> bool:
        return any(instrument_token in feed.subscriptions() for feed in self._feeds.values())

    def is_streamed_here(self, instrument_token: int) -> bool:
        return any(
            self._owners.runs_here(account_id) and instrument_token in feed.subscriptions()
            for account_id, feed in self._feeds.items()
        )

    def last_json(self, instrument_token: int) -> bytes | None:
        return self._newest.last_json(instrument_token)


def build_order_stream(process: Process, *, snapshot: Snapshot) -> OrderStreamHub:
    """The first of the streams: commits of orders wake it. ``snapshot`` is what a new socket begins with."""
    return OrderStreamHub(
        process.database,
        redis=process.redis,
        keys=process.keys,
        ids=process.ids,
        limits=process.stream_limits,
        snapshot=snapshot,
    )


def build_streams(process: Process, market: Market, *, order_stream: OrderStreamHub) -> Streams:
    """The other streams, of what the market's feeds deliver."""
    publisher = TickPublisher(
        process.settings.redis_url.get_secret_value(),
        keys=process.keys,
        reply_timeout_s=process.settings.redis_timeout_s,
    )
    ticks = TickStreamHub(
        process.redis,
        keys=process.keys,
        limits=process.stream_limits,
        source=StreamedTicks(market.feeds, owners=market.feed_owners, newest=market.newest),
    )
    return Streams(
        orders=order_stream,
        ticks=ticks,
        pipeline=TickPipeline(
            market.newest,
            publisher=publisher,
            listeners=[ticks.on_tick],
            clock=process.clock,
            flush_ms=process.settings.tick_flush_ms,
        ),
        publisher=publisher,
        log=EventLog(process.database),
        retention=Retention(
            process.database,
            signer=LogSigner.from_settings(process.settings),
            keep_s=process.settings.event_retention_days * DAY_S,
        ),
    )
