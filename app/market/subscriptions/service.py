"""Subscriptions: what owners want is stored, and the feeds are asked for the difference.

A change is committed to PostgreSQL first and applied to the feeds after. A restart, and every other replica, arrives at
the same state from the table. Adding one instrument never touches another.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from loguru import logger

from app.broker.market import Mode
from app.broker.port import TOKENS_PER_SOCKET
from app.db.postgres import Database, Tx
from app.errors import NotFound, ServiceError
from app.market.instruments.registry import InstrumentRegistry
from app.market.subscriptions import desired_state
from app.market.subscriptions import subscription_store as store
from app.market.subscriptions.allocation import allocate
from app.market.subscriptions.committed import CommittedSubscriptions
from app.market.subscriptions.feed_control import FeedControl
from app.market.subscriptions.feed_silence import FeedSilence, FeedTransition
from app.market.subscriptions.market_events import MarketEvents, MarketEventType
from app.market.subscriptions.model import NewSubscription, StreamKey, Subscription, SubscriptionRequest
from app.market.subscriptions.records import SubscriptionRecord, SubscriptionView

API_OWNER = "api"
"""Owns what ``POST /subscriptions`` adds."""

POLL_S = 2.0
"""How soon the change of another replica arrives, and how often the feeds are checked for silence."""

UNRECORDED = 1000
"""Feeds that fell silent or recovered while the database was away; beyond that the oldest are dropped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SetResult:
    """What a request changed. ``outcomes`` are in its order: the record, or the error that says why there is none."""

    outcomes: tuple[SubscriptionRecord | ServiceError, ...]
    changed: int
    removed: int


class SubscriptionService:
    """In memory is exactly what is committed at one version; every write starts by making sure of that."""

    def __init__(
        self,
        database: Database,
        *,
        instruments: InstrumentRegistry,
        feeds: FeedControl,
        view: SubscriptionView,
        silence: FeedSilence,
        events: MarketEvents,
        capacity: int = TOKENS_PER_SOCKET,
    ) -> None:
        self._database = database
        self._instruments = instruments
        self._feeds = feeds
        self._view = view
        self._silence = silence
        self._events = events
        self._capacity = capacity
        self._writing = asyncio.Lock()
        self._committed = CommittedSubscriptions(instruments)
        self._unrecorded: deque[tuple[str, FeedTransition]] = deque(maxlen=UNRECORDED)

    async def start(self) -> None:
        """Read the desired state and hand it to the feeds; to be called before the feeds run. Raises Unavailable."""
        await self.follow()
        self._instruments.add_listener(self.reconcile)

    async def run(self) -> None:
        """Publish events, follow other replicas, check the feeds for silence; until cancelled."""
        while True:
            await self._events.wait(timeout=POLL_S)
            for step in (self.check_feeds, self.follow):  # a feed may fall silent while the database is away
                try:
                    await step()
                except ServiceError as error:
                    logger.warning("subscriptions not brought up to date: {}", error.message)
            await self._events.flush()

    async def check_feeds(self) -> None:
        """Record and announce each feed that went silent or recovered since the last check.

        Raises Unavailable; what could not be recorded is recorded by a later check.
        """
        for account_id, feed in self._feeds:
            exchanges = self._committed.exchanges_of(account_id)
            transition = self._silence.check(account_id, feed=feed, exchanges=exchanges)
            if transition is None:
                continue
            logger.bind(account_id=account_id, **transition.data).warning("{}", transition.type)
            self._events.announce(transition.type, account_id=account_id, data=transition.data)
            self._unrecorded.append((account_id, transition))
        while self._unrecorded:
            account_id, transition = self._unrecorded[0]
            async with self._database.transaction() as tx:
                await self._events.record(tx, transition.type, account_id=account_id, data=transition.data)
            self._unrecorded.popleft()

    def feed_is_silent(self, account_id: str) -> bool:
        """Whether the account's feed runs here, should have ticked, and did not."""
        return self._silence.is_silent(account_id)

    async def follow(self) -> None:
        """Take over what other replicas have changed, and make each feed want what is desired. Raises Unavailable."""
        async with self._writing, self._database.connection() as connection:
            version = await store.read_version(connection)
            await self._catch_up(connection, version=version)
        self._feeds.apply(self._committed.desired.values())

    async def subscribe(
        self, owner: str, requests: Sequence[SubscriptionRequest], *, accounts: Collection[str] | None = None
    ) -> SetResult:
        """Add to what ``owner`` wants, or change modes; an outcome per request. Repeating one is no error.

        ``accounts`` are those that may be used; None: all. Raises Unavailable.
        """
        return await self._change(owner, requests, accounts=accounts, others="kept")

    async def replace_set(
        self, owner: str, requests: Sequence[SubscriptionRequest], *, accounts: Collection[str] | None = None
    ) -> SetResult:
        """Make the requests the whole of what ``owner`` wants: its other subscriptions end. Raises Unavailable."""
        return await self._change(owner, requests, accounts=accounts, others="removed")

    async def unsubscribe(self, owner: str, *, instrument_token: int, account_id: str | None = None) -> list[str]:
        """End one owner's subscription at every account, or at one. Returns the owners that remain.

        Raises NotFound when this owner has no such subscription, and Unavailable.
        """
        async with self._writing:
            async with self._database.transaction() as tx:
                await self._lock(tx)
                streams = self._committed.find(owner, instrument_token=instrument_token, account_id=account_id)
                if not streams:
                    raise NotFound("subscription", str(instrument_token))
                await self._write(tx, owner, upsert=(), remove=streams)
            self._adopt(owner, stored=(), removed=streams)
        return self._committed.owners_of(streams)

    def records(self) -> list[SubscriptionRecord]:
        """Every subscribed instrument, by exchange and symbol."""
        by_symbol = sorted(self._committed.desired.items(), key=lambda pair: (pair[0][1], pair[0]))
        return [self._view.record(item) for _, item in by_symbol]

    def active_count(self) -> int:
        """Instruments that are streamed now: asked of the broker on a live socket, over all accounts."""
        return self._feeds.active_count()

    def reconcile(self) -> None:
        """Make each feed want what is desired; also after a refresh of the instruments, when tokens may be others."""
        self._committed.recombine()
        self._feeds.apply(self._committed.desired.values())

    async def _change(
        self,
        owner: str,
        requests: Sequence[SubscriptionRequest],
        *,
        accounts: Collection[str] | None,
        others: Literal["kept", "removed"],
    ) -> SetResult:
        # one writer of this process at a time: memory follows the commits in their order
        async with self._writing:
            async with self._database.transaction() as tx:
                # the lock on the version row makes this the only writer over all replicas, and memory current: what is
                # decided below is decided on what is committed
                await self._lock(tx)
                present = self._committed.modes_of(owner)
                streams = allocate(
                    requests,
                    owner=owner,
                    desired=self._committed.desired,
                    accounts=self._feeds.accounts(among=accounts),
                    capacity=self._capacity,
                    given_up=() if others == "kept" else present,
                )
                # a request that cannot be met is its own outcome; it does not keep the others from being stored
                wanted = {
                    stream: request.mode
                    for request, stream in zip(requests, streams, strict=True)
                    if not isinstance(stream, ServiceError)
                }
                # only differences are written: repeating a request costs no row, no event and no message to the broker
                change = desired_state.plan_set(present, {**present, **wanted} if others == "kept" else wanted)
                stored = await self._write(tx, owner, upsert=_rows(change.upsert, requests), remove=change.remove)
            # after the commit: a feed is never asked for what may yet be rolled back
            self._adopt(owner, stored=stored, removed=change.remove)
        return SetResult(
            outcomes=tuple(
                stream if isinstance(stream, ServiceError) else self._view.record(self._committed.desired[stream])
                for stream in streams
            ),
            changed=len(stored),
            removed=len(change.remove),
        )

    async def _lock(self, tx: Tx) -> None:
        await self._catch_up(tx, version=await store.lock_version(tx))

    async def _catch_up(self, tx: Tx, *, version: int) -> None:
        if version != self._committed.version:
            self._committed.replace(await store.read_all(tx), version=version)

    async def _write(
        self, tx: Tx, owner: str, *, upsert: Sequence[NewSubscription], remove: Sequence[StreamKey]
    ) -> list[Subscription]:
        """Store, write the events, and count the version up. Nothing to change: nothing is written."""
        if not upsert and not remove:
            return []
        stored = await store.upsert(tx, owner, upsert) if upsert else []
        if remove:
            await store.remove(tx, owner, remove)
        for account_id, data in _events(owner, stored=stored, removed=remove):
            await self._events.record(tx, MarketEventType.SUBSCRIPTION_CHANGED, account_id=account_id, data=data)
        await store.bump_version(tx)
        return stored

    def _adopt(self, owner: str, *, stored: Sequence[Subscription], removed: Sequence[StreamKey]) -> None:
        """What was committed becomes what is in memory, and the feeds are asked for the difference."""
        if not stored and not removed:
            return
        self._committed.apply(owner, stored=stored, removed=removed)
        self._feeds.apply(self._committed.desired.values())
        for account_id, data in _events(owner, stored=stored, removed=removed):
            self._events.announce(MarketEventType.SUBSCRIPTION_CHANGED, account_id=account_id, data=data)


def _rows(modes: Mapping[StreamKey, Mode], requests: Iterable[SubscriptionRequest]) -> list[NewSubscription]:
    tokens = {request.key: request.instrument.instrument_token for request in requests}
    return [
        NewSubscription(stream=stream, instrument_token=tokens[stream[1]], requested_mode=mode)
        for stream, mode in modes.items()
    ]


def _events(
    owner: str, *, stored: Sequence[Subscription], removed: Sequence[StreamKey]
) -> list[tuple[str, dict[str, Any]]]:
    """By account, the ``data`` of its ``subscription_changed``."""
    events: dict[str, dict[str, Any]] = {}
    for account_id in sorted({one.account_id for one in stored} | {stream[0] for stream in removed}):
        events[account_id] = {
            "owner": owner,
            "subscribed": [":".join(one.key) for one in stored if one.account_id == account_id],
            "unsubscribed": [":".join(stream[1]) for stream in removed if stream[0] == account_id],
        }
    return list(events.items())
