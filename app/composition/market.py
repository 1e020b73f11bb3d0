"""Builds market data: the instruments, the feeds and what they have delivered, subscriptions, quotes and candles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Protocol

from app.composition.event_writer import event_recorder
from app.composition.parts import Accounts, Process, RunningFeed
from app.db.ownership import Ownership
from app.kit.clock import Clock
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
from app.market.ticks.newest import NewestTicks
from app.market.ticks.tick_source import tick_source
from app.orders.state.last_prices import LastPrice


@dataclass(frozen=True, slots=True, kw_only=True)
class Market:
    """Everything about market data that comes in. Maps are by account id; nothing runs before ``start`` and ``run``."""

    instruments: InstrumentRegistry  # the broker's dump: lookup and search
    feeds: Mapping[str, RunningFeed]  # the broker's sockets
    feed_owners: FeedOwners  # run a feed while this process holds the account's lease
    newest: NewestTicks  # what the feeds have delivered
    subscriptions: SubscriptionService  # what the feeds are asked for
    quotes: QuoteService  # last values
    history: HistoryService  # candles


class PacketSink(Protocol):
    """The tick half of a feed's listener."""

    def on_packets(self, packets: Sequence[bytes], *, received_at_ms: int) -> None: ...

    def on_connected(self) -> None: ...

    def on_replay(self) -> None: ...


class OrderHints(Protocol):
    """The order half of a feed's listener."""

    def on_order_hint(self, account_id: str) -> None:
        """Something may have changed at the broker."""
        ...

    def on_feed_connected(self, account_id: str) -> None:
        """Pushes of the gap, if any, are lost."""
        ...


class FeedFanout:
    """One account's feed listener: packets to the tick path, order pushes and reconnects to the order engine.

    A push is handed over as a hint without its content: the order book is the truth.
    """

    def __init__(self, account_id: str, *, ticks: PacketSink, orders: OrderHints) -> None:
        self._account_id = account_id
        self._orders = orders
        self._ticks = ticks
        self.on_packets = ticks.on_packets  # bound once: one call less for each frame

    def on_order_update(self, payload: Mapping[str, Any]) -> None:  # noqa: ARG002 - the port's signature
        self._orders.on_order_hint(self._account_id)

    def on_connected(self, *, first: bool) -> None:  # noqa: ARG002
        self._ticks.on_connected()
        self._orders.on_feed_connected(self._account_id)

    def on_replay(self) -> None:
        self._ticks.on_replay()

    def on_disconnected(self, reason: str) -> None:
        """Nothing to do: the feed logs it, and reads of the order book do not depend on it."""


class FeedOwners(dict[str, Ownership]):
    """By account id: what runs a feed while this process holds the account's lease for it."""

    def runs_here(self, account_id: str) -> bool:
        """Whether the account's feed runs in this process now."""
        return self[account_id].working


class TickPrices:
    """The last prices that this process has ticked, for the limits of orders."""

    def __init__(self, instruments: InstrumentRegistry, newest: NewestTicks, *, clock: Clock) -> None:
        self._instruments = instruments
        self._newest = newest
        self._clock = clock

    def last_price(self, exchange: str, tradingsymbol: str) -> LastPrice | None:
        """None where this process streams no such instrument, or nothing has come yet."""
        instrument = self._instruments.find(exchange, tradingsymbol)
        last = None if instrument is None else self._newest.last(instrument.instrument_token)
        if last is None:
            return None
        age_s = self._clock.now().timestamp() - last.received_at_ms / 1000
        return LastPrice(price=Decimal(str(last.tick.last_price)), age_s=age_s)

    def tick_size(self, exchange: str, tradingsymbol: str) -> Decimal | None:
        """None where no such instrument is listed, or the list is not loaded."""
        instrument = self._instruments.find(exchange, tradingsymbol)
        return None if instrument is None else instrument.tick_size


def build_market(process: Process, accounts: Accounts, *, orders: OrderHints) -> Market:
    """``orders`` gets the hints that come over the feeds."""
    settings, clock, brokers = process.settings, process.clock, accounts.brokers
    instruments = InstrumentRegistry(process.database, brokers=brokers, clock=clock)
    newest = NewestTicks(
        {account_id: broker.decode for account_id, broker in brokers.items()},
        instruments=instruments,
        source=tick_source(rest_url=settings.kite_rest_url, ws_url=settings.kite_ws_url),
    )
    feeds = {
        account_id: account.make_feed(FeedFanout(account_id, ticks=newest.accounts[account_id], orders=orders))
        for account_id, account in accounts.at_broker.items()
    }
    feed_owners = FeedOwners(
        {
            account_id: Ownership(process.leases.lease(f"ticker:{account_id}"), feed.run, when_unsure="go_on")
            for account_id, feed in feeds.items()
        }
    )
    calendar = MarketCalendar(mode=settings.market_calendar)
    silence = FeedSilence(
        running=feed_owners, ticks=newest, calendar=calendar, clock=clock, stale_after_s=settings.tick_stale_after_s
    )
    staleness = StalenessCheck(calendar, clock=clock, stale_after_s=settings.tick_stale_after_s)
    subscriptions = SubscriptionService(
        process.database,
        instruments=instruments,
        feeds=FeedControl(feeds, ticks=newest),
        view=SubscriptionView(feeds=feeds, ticks=newest, staleness=staleness),
        silence=silence,
        events=MarketEvents(process.redis, keys=process.keys, clock=clock, recorder=event_recorder(process.log)),
    )
    return Market(
        instruments=instruments,
        feeds=feeds,
        feed_owners=feed_owners,
        newest=newest,
        subscriptions=subscriptions,
        quotes=QuoteService(
            ticks=newest,
            instruments=instruments,
            brokers=brokers,
            redis=process.redis,
            keys=process.keys,
            staleness=staleness,
            clock=clock,
        ),
        history=HistoryService(brokers=brokers, instruments=instruments),
    )
