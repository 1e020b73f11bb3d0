"""The order stream: events of the log to every socket of their account, each exactly once and in order.

The log in PostgreSQL is the truth. Three things say that there may be something new (a commit in this process, a hint
through Redis from another one, a look at the heads each second); what is new is then read from the log, once per
account, rendered once, and handed to all sockets. So a lost, doubled, late or forged hint changes nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from loguru import logger
from redis.asyncio import Redis

from app.db.postgres import Database
from app.db.redis_keys import RedisKeys
from app.errors import Unavailable
from app.events.delivery_cursor import DeliveryCursor, Position, compare, hinted_seq
from app.events.event_log import MAX_PAGE, EventLog
from app.events.limits import StreamLimits
from app.events.model import LogHead, StoredEvent
from app.events.order_reader import EventItem, Goodbye, Heartbeat, Item, OrderReader
from app.events.outage import Outage
from app.events.protocol import CloseReason, Resume, StreamClosed, event_frame
from app.events.recovery import Snapshot, open_head, recover
from app.events.redis_bus import HintRelay, RedisListener
from app.events.stats import SocketCounts, StreamStats
from app.kit.broadcast import Broadcast
from app.kit.ids import IdSource

RECOVERIES = 4  # snapshots and replays that start at once: a storm of reconnects must not take the whole pool
RETRY_S = 0.5
EPOCH_LENGTH = 12


class OrderStreamHub:
    """Per account: the sockets, and how far the log was handed to them. ``run`` is its background loop."""

    def __init__(
        self,
        database: Database,
        *,
        redis: Redis,
        keys: RedisKeys,
        ids: IdSource,
        limits: StreamLimits,
        snapshot: Snapshot,
    ) -> None:
        self._database = database
        self._log = EventLog(database)
        self._keys = keys
        self._ids = ids
        self._snapshot = snapshot
        self._feeds: dict[str, DeliveryCursor] = {}
        self._readers: Broadcast[Item] = Broadcast()
        self._dirty: dict[str, None] = {}
        self._something_dirty = asyncio.Event()
        self._recoveries = asyncio.Semaphore(RECOVERIES)
        self._page = max(1, min(MAX_PAGE, limits.queue_length // 4))  # a page alone must never overflow a queue
        self._closing = False
        self._relay = HintRelay(redis)
        self._listener = RedisListener(
            redis, name="hearing order events", wanted=self._channels, on_message=self._on_hint
        )
        self.limits = limits
        self.counts = SocketCounts()

    def wake(self, account_id: str) -> None:
        """Say that this process committed events of ``account_id``. Returns at once; needless calls cost little."""
        self._feed(account_id).woken = True
        self._mark(account_id)

    async def run(self) -> None:
        """Hand out events until cancelled. An outage of PostgreSQL or Redis is waited for, not fatal."""
        async with asyncio.TaskGroup() as loops:
            for loop in (self._deliver, self._poll, self._beat, self._relay.run, self._listener.run):
                loops.create_task(loop())

    @asynccontextmanager
    async def join(self, account_id: str, *, resume: Resume | None) -> AsyncIterator[OrderReader]:
        """A socket's place in the stream. Raises StreamClosed (limit, restart) and Unavailable.

        The account exists and the caller may read it. The place is counted from here, the handshake included.
        """
        feed = self._enter(account_id)
        try:
            await self._go_live(feed)
            box = self._readers.subscribe(account_id, limit=self.limits.queue_length)
            try:
                async with self._recoveries:
                    recovery = await recover(
                        self._database, account_id, resume=resume, limit=self.limits.replay, snapshot=self._snapshot
                    )
                yield OrderReader(self._log, box=box, recovery=recovery)
            finally:
                self._readers.unsubscribe(account_id, box)
        finally:
            feed.leave()
            self.counts.leave()

    async def close(self, *, timeout: float) -> int:
        """Refuse newcomers, close every socket with 1012 ``restart``; returns how many were still open at the end."""
        self._closing = True
        for account_id in self._readers.topics():
            self._readers.publish(account_id, Goodbye(CloseReason.RESTART))
        return await self.counts.drained(timeout=timeout)

    def stats(self) -> StreamStats:
        return StreamStats(
            connections={feed.account_id: feed.sockets for feed in self._feeds.values() if feed.sockets},
            dropped=self.counts.by_reason(),
            delivered=self.counts.delivered,
        )

    # joining

    def _enter(self, account_id: str) -> DeliveryCursor:
        if self._closing:
            raise StreamClosed(CloseReason.RESTART)
        feed = self._feed(account_id)
        if feed.sockets >= self.limits.connections_per_account:
            raise StreamClosed(CloseReason.CONNECTION_LIMIT)
        feed.sockets += 1
        self.counts.enter()
        return feed

    async def _go_live(self, feed: DeliveryCursor) -> None:
        """Set the cursor before the first mailbox exists: from then on a mailbox has everything above the cursor."""
        async with feed.opening:
            if feed.live:
                return
            feed.go_live(await open_head(self._database, feed.account_id, epoch=self._ids.code(EPOCH_LENGTH)))

    def _feed(self, account_id: str) -> DeliveryCursor:
        feed = self._feeds.get(account_id)
        if feed is None:
            feed = self._feeds[account_id] = DeliveryCursor(account_id)
            self._listener.refresh()
        return feed

    # delivering

    def _mark(self, account_id: str) -> None:
        self._dirty[account_id] = None
        self._something_dirty.set()

    async def _deliver(self) -> None:
        while True:
            await self._something_dirty.wait()
            self._something_dirty.clear()
            accounts, self._dirty = self._dirty, {}
            for account_id in accounts:
                try:
                    await self._advance(self._feeds[account_id])
                except Unavailable:
                    self._mark(account_id)
                    await asyncio.sleep(RETRY_S)

    async def _advance(self, feed: DeliveryCursor) -> None:
        """Read one page and hand it out; a full page leaves the account marked, so that no account starves another."""
        after = feed.read_after()
        if after is None:
            return
        woken, relay_above = feed.woken, feed.relayed
        feed.woken = False
        try:
            events = await self._log.page(feed.account_id, after=after, limit=self._page)
        except Unavailable:
            feed.woken = feed.woken or woken
            raise
        for event in events:
            self._hand_out(feed, event, relay=woken and event.seq > relay_above)
        if len(events) == self._page:
            feed.woken = feed.woken or woken
            self._mark(feed.account_id)

    def _hand_out(self, feed: DeliveryCursor, event: StoredEvent, *, relay: bool) -> None:
        frame = event_frame(event)
        if feed.live and event.seq > feed.cursor:
            self._readers.publish(feed.account_id, EventItem(event.seq, frame))
            feed.cursor = event.seq
        if relay:
            self._relay.offer(self._keys.orders(feed.account_id), frame)
            feed.relayed = max(feed.relayed, event.seq)

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(self.limits.heartbeat_s)
            for feed in self._feeds.values():
                if feed.live:
                    self._readers.publish(feed.account_id, Heartbeat(feed.cursor))

    # noticing

    def _channels(self) -> list[str]:
        return [self._keys.orders(account_id) for account_id in self._feeds]

    def _on_hint(self, channel: str, data: bytes) -> None:
        """Some replica published an event; what it says is only taken as a reason to look."""
        feed = self._feeds.get(self._keys.account_of(channel))
        seq = hinted_seq(data)
        if feed is not None and seq is not None and feed.heard(seq):
            self._mark(feed.account_id)

    async def _poll(self) -> None:
        """The safety net under every hint, and the only way that a change of the log itself is noticed."""
        outage = Outage("PostgreSQL", doing="watching the event log")
        self._start_from(await self._first_heads(outage))
        while True:
            await asyncio.sleep(self.limits.poll_s)
            before = {f.account_id: Position(f.epoch, f.cursor) for f in self._feeds.values() if f.live}
            try:
                heads = await self._log.all_heads()
            except Unavailable as error:
                outage.begin(error)
                continue
            outage.end()
            self._check(before, heads)

    async def _first_heads(self, outage: Outage) -> list[LogHead]:
        while True:
            try:
                return await self._log.all_heads()
            except Unavailable as error:
                outage.begin(error)
                await asyncio.sleep(self.limits.poll_s)

    def _start_from(self, heads: list[LogHead]) -> None:
        """What was written before this process began is not its to publish."""
        for head in heads:
            feed = self._feed(head.account_id)
            if not feed.woken:
                feed.relayed = max(feed.relayed, head.seq)

    def _check(self, before: Mapping[str, Position], heads: list[LogHead]) -> None:
        by_account = {head.account_id: head for head in heads}
        for head in heads:
            self._feed(head.account_id).remember_head(head.seq)
        for account_id, position in before.items():
            match compare(self._feeds[account_id], before=position, heads=by_account):
                case "behind":
                    self._mark(account_id)
                case "lost":
                    self._restart(account_id)
                case "level":
                    pass

    def _restart(self, account_id: str) -> None:
        """The log was replaced: nothing that these sockets know continues, so they begin again with a snapshot."""
        logger.warning("the event log of account {} is another one now, its sockets begin again", account_id)
        self._feeds[account_id].live = False
        self._readers.publish(account_id, Goodbye(CloseReason.RESTART))
