"""Subscriptions: owners say what they want, it is stored, and the feeds are told the difference.

A change is committed to PostgreSQL first and applied to the feed after; a restart, and every other replica, arrives at
the same state from the table. Adding one instrument never touches another.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from loguru import logger
from redis.asyncio import Redis

from app.broker.market import Mode
from app.broker.port import Feed
from app.db.postgres import Database, Tx
from app.db.redis_keys import RedisKeys
from app.errors import Gone, NotFound, ServiceError
from app.kit.clock import Clock
from app.market.calendar.exchange_hours import MarketCalendar
from app.market.instruments.registry import InstrumentService
from app.market.subscriptions import desired_state
from app.market.subscriptions import subscription_store as store
from app.market.subscriptions.allocation import Wish, place_wishes
from app.market.subscriptions.announcements import Announcer
from app.market.subscriptions.desired_state import Desired, Place, Want
from app.market.subscriptions.feed_silence import FeedWatch
from app.market.subscriptions.records import SubscriptionRecord, SubscriptionView
from app.market.ticks.pipeline import TickPipeline

RecordEvent: TypeAlias = Callable[[Tx, str, str, Mapping[str, Any]], Awaitable[None]]
"""``(tx, account_id, type, data)``: writes one event of the account's log in the caller's transaction."""

API_OWNER = "api"
POLL_S = 2.0
CAPACITY = 3000
"""Instruments an account: what Kite takes on one socket (https://kite.trade/docs/connect/v3/websocket/)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SetResult:
    """``outcomes`` are in the order of the wishes: the record, or why not."""

    outcomes: tuple[SubscriptionRecord | ServiceError, ...]
    changed: int
    removed: int


class SubscriptionService:
    """In memory is exactly what is committed at ``_version``; every write starts by making sure of that."""

    def __init__(
        self,
        database: Database,
        *,
        redis: Redis,
        instruments: InstrumentService,
        feeds: Mapping[str, Feed],
        ticks: TickPipeline,
        calendar: MarketCalendar,
        clock: Clock,
        keys: RedisKeys,
        stale_after_s: float,
        record_event: RecordEvent | None = None,
        capacity: int = CAPACITY,
    ) -> None:
        self._database = database
        self._instruments = instruments
        self._feeds = feeds
        self._ticks = ticks
        self._announcer = Announcer(redis, keys=keys, clock=clock)
        self._watch = FeedWatch(ticks=ticks, calendar=calendar, clock=clock, stale_after_s=stale_after_s)
        self._view = SubscriptionView(
            feeds=feeds, ticks=ticks, calendar=calendar, clock=clock, stale_after_s=stale_after_s
        )
        self._record_event = record_event
        self._capacity = capacity
        self._writing = asyncio.Lock()
        self._version = -1
        self._wants: dict[tuple[str, Place], Want] = {}
        self._desired: dict[Place, Desired] = {}
        self._streamed: dict[str, set[int]] = {}

    async def start(self) -> None:
        """Read the desired state and hand it to the feeds; call it before the feeds run. Raises Unavailable."""
        await self.follow()
        self._instruments.on_change.append(self.reconcile)

    async def run(self) -> None:
        """Tell what changed, follow other replicas, watch the feeds for silence; until cancelled."""
        while True:
            await self._announcer.wait(timeout=POLL_S)
            try:
                await self.follow()
                await self.watch_feeds()
            except ServiceError as error:
                logger.warning("subscriptions: {}", error.message)
            await self._announcer.flush()

    async def watch_feeds(self) -> None:
        """Record and announce every feed that went silent or came back since the last look. Raises Unavailable."""
        for account_id, feed in list(self._feeds.items()):
            turn = self._watch.check(account_id, feed=feed, exchanges=self.exchanges(account_id))
            if turn is None:
                continue
            logger.warning("{}: {} {}", turn.type, account_id, turn.data)
            self._announcer.announce(turn.type, account_id=account_id, data=turn.data)
            if self._record_event is not None:
                async with self._database.transaction() as tx:
                    await self._record_event(tx, account_id, turn.type, turn.data)

    async def follow(self) -> None:
        """Take over what other replicas have changed, and make each feed want what is desired."""
        async with self._writing, self._database.connection() as connection:
            version = await store.read_version(connection)
            if version != self._version:
                await self._reload(connection, version=version)
        self._tell_feeds()

    async def subscribe(
        self, owner: str, wishes: Sequence[Wish], *, accounts: Collection[str] | None = None
    ) -> SetResult:
        """Add to what ``owner`` wants, or change modes; an outcome per wish. Repeating is no error.

        ``accounts`` are those that may be used; None: all.
        """
        return await self._change(owner, wishes, accounts=accounts, others="kept")

    async def replace_set(
        self, owner: str, wishes: Sequence[Wish], *, accounts: Collection[str] | None = None
    ) -> SetResult:
        """Make the wishes the whole of what ``owner`` wants; what it wanted beside them is taken back."""
        return await self._change(owner, wishes, accounts=accounts, others="removed")

    async def unsubscribe(self, owner: str, *, instrument_token: int, account_id: str | None = None) -> list[str]:
        """Take back one want at every account, or at one. Returns who still wants the instrument.

        Raises NotFound when this owner does not want it.
        """
        async with self._writing:
            async with self._database.transaction() as tx:
                await self._lock(tx)
                places = [
                    place
                    for (who, place), want in self._wants.items()
                    if who == owner
                    and account_id in {None, place[0]}
                    and instrument_token in {want.instrument_token, self._desired[place].token}
                ]
                if not places:
                    raise NotFound("subscription", str(instrument_token))
                await self._write(tx, owner, upsert=(), remove=places)
            self._adopt(owner, stored=(), removed=places)
        return sorted({name for place in places if place in self._desired for name in self._desired[place].owners})

    def records(self) -> list[SubscriptionRecord]:
        """Every wanted instrument, by exchange and symbol."""
        return [
            self._view.record(item) for _, item in sorted(self._desired.items(), key=lambda pair: (pair[0][1], pair[0]))
        ]

    def is_subscribed(self, instrument_token: int) -> bool:
        """Whether any account streams, or is to stream, this instrument."""
        return any(instrument_token in tokens for tokens in self._streamed.values())

    def count(self, account_id: str) -> int:
        """Instruments that are wanted of one account."""
        return len(self._streamed.get(account_id, ()))

    def active_count(self) -> int:
        """Instruments that are streamed now: asked of the broker on a live socket, over all accounts."""
        return sum(len(feed.subscriptions()) for feed in self._feeds.values() if feed.state.connected)

    def exchanges(self, account_id: str) -> set[str]:
        """The exchanges of what is wanted of one account."""
        return {key[0] for account, key in self._desired if account == account_id}

    def reconcile(self) -> None:
        """Make each feed want what is desired; also after a refresh of the instruments, when tokens may be others."""
        self._desired = desired_state.add_up(self._wants.values(), token_of=self._token_of)
        self._tell_feeds()

    def _tell_feeds(self) -> None:
        for account_id in self._feeds:
            self._tell_feed(account_id, desired_state.modes_of(self._desired.values(), account_id=account_id))

    async def _change(
        self,
        owner: str,
        wishes: Sequence[Wish],
        *,
        accounts: Collection[str] | None,
        others: Literal["kept", "removed"],
    ) -> SetResult:
        async with self._writing:
            async with self._database.transaction() as tx:
                await self._lock(tx)
                present = {place: want.requested_mode for (who, place), want in self._wants.items() if who == owner}
                places = place_wishes(
                    wishes,
                    owner=owner,
                    desired=self._desired,
                    accounts=[name for name in self._feeds if accounts is None or name in accounts],
                    capacity=self._capacity,
                    given_up=() if others == "kept" else present,
                )
                wanted = {
                    place: wish.mode
                    for wish, place in zip(wishes, places, strict=True)
                    if not isinstance(place, ServiceError)
                }
                change = desired_state.plan_set(present, {**present, **wanted} if others == "kept" else wanted)
                tokens = {wish.key: wish.instrument.instrument_token for wish in wishes}
                rows = [
                    store.NewWant(place=place, instrument_token=tokens[place[1]], requested_mode=mode)
                    for place, mode in change.upsert.items()
                ]
                stored = await self._write(tx, owner, upsert=rows, remove=change.remove)
            self._adopt(owner, stored=stored, removed=change.remove)
        return SetResult(
            outcomes=tuple(
                place if isinstance(place, ServiceError) else self._view.record(self._desired[place])
                for place in places
            ),
            changed=len(stored),
            removed=len(change.remove),
        )

    async def _lock(self, tx: Tx) -> None:
        version = await store.lock_version(tx)
        if version != self._version:
            await self._reload(tx, version=version)

    async def _reload(self, tx: Tx, *, version: int) -> None:
        self._wants = {(want.owner, (want.account_id, want.key)): want for want in await store.read_all(tx)}
        self._version = version
        self._desired = desired_state.add_up(self._wants.values(), token_of=self._token_of)

    async def _write(
        self, tx: Tx, owner: str, *, upsert: Sequence[store.NewWant], remove: Sequence[Place]
    ) -> list[Want]:
        """Store, write the events, and count the version up. Nothing to change: nothing is written."""
        if not upsert and not remove:
            return []
        stored = await store.upsert(tx, owner, upsert) if upsert else []
        if remove:
            await store.remove(tx, owner, remove)
        if self._record_event is not None:
            for account_id, data in _events(owner, stored=stored, removed=remove):
                await self._record_event(tx, account_id, "subscription_changed", data)
        await store.bump_version(tx)
        return stored

    def _adopt(self, owner: str, *, stored: Sequence[Want], removed: Sequence[Place]) -> None:
        """What was committed becomes what is in memory, and the feeds are told the difference."""
        if not stored and not removed:
            return
        for place in removed:
            self._wants.pop((owner, place), None)
        self._wants.update({(owner, (want.account_id, want.key)): want for want in stored})
        self._version += 1
        self.reconcile()
        for account_id, data in _events(owner, stored=stored, removed=removed):
            self._announcer.announce("subscription_changed", account_id=account_id, data=data)

    def _tell_feed(self, account_id: str, desired: Mapping[int, Mode]) -> None:
        feed = self._feeds[account_id]
        change = desired_state.plan_feed(desired, feed.subscriptions())
        if change.subscribe:
            feed.subscribe(change.subscribe)
        if change.unsubscribe:
            feed.unsubscribe(change.unsubscribe)
            self._ticks.forget(account_id, change.unsubscribe)
        self._streamed[account_id] = set(desired)

    def _token_of(self, want: Want) -> int | None:
        """Today's token by symbol; with no instruments known at all, the stored one must do."""
        instrument = self._instruments.find(want.exchange, want.tradingsymbol)
        if instrument is None:
            return None if self._instruments.by_token() else want.instrument_token
        try:
            return self._instruments.must_live(instrument).instrument_token
        except Gone:
            return None


def _events(owner: str, *, stored: Sequence[Want], removed: Sequence[Place]) -> list[tuple[str, dict[str, Any]]]:
    """The data of ``subscription_changed``, by account."""
    events: dict[str, dict[str, Any]] = {}
    for account_id in sorted({want.account_id for want in stored} | {place[0] for place in removed}):
        events[account_id] = {
            "owner": owner,
            "subscribed": [":".join(want.key) for want in stored if want.account_id == account_id],
            "unsubscribed": [":".join(place[1]) for place in removed if place[0] == account_id],
        }
    return list(events.items())
