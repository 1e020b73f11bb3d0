"""The order stream: events of the log to every socket of their account, each exactly once and in order.

The log in PostgreSQL decides. Three things suggest that it may have more: a commit in this process, a hint through
Redis from another one, and a read of all heads each second. What is new is then read from the log, once for each
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
from app.events.model import EPOCH_LENGTH, LogHead, StoredEvent
from app.events.order_reader import Closing, EventItem, Heartbeat, Item, OrderReader
from app.events.outage import Outage
from app.events.protocol import CloseReason, Resume, StreamClosed, event_frame, text_message
from app.events.redis_bus import HintRelay, RedisListener
from app.events.resume import Snapshot, open_head, start_of_socket
from app.events.stats import SocketCounts, StreamStats
from app.kit.broadcast import Broadcast
from app.kit.ids import IdSource

RECOVERIES = 4  # snapshots and replays that start at once: a storm of reconnects must not take the whole pool
RETRY_S = 0.5  # until the next read of a log after PostgreSQL did not answer


class OrderStreamHub:
    """For each account, its sockets and how far the log was handed to them. ``run`` is its background loop.

    ``snapshot`` reads the orders of the day, for sockets that cannot be sent the events that they missed.
    """

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
        self._cursors: dict[str, DeliveryCursor] = {}
        self._readers: Broadcast[Item] = Broadcast()
        self._marked: dict[str, None] = {}  # accounts whose log may have more, in the order in which that was noticed
        self._any_marked = asyncio.Event()
        self._recoveries = asyncio.Semaphore(RECOVERIES)
        self._page = max(1, min(MAX_PAGE, limits.queue_length // 4))  # a page alone must never overflow a queue
        self._closing = False
        self._relay = HintRelay(redis)
        self._listener = RedisListener(
            redis, purpose="listening for order events", wanted=self._channels, on_message=self._on_hint
        )
        self.limits = limits
        self.counts = SocketCounts()

    def wake(self, account_id: str) -> None:
        """Note that this process committed events of ``account_id``. Never waits; needless calls cost little."""
        self._cursor_of(account_id).woken = True
        self._mark(account_id)

    async def run(self) -> None:
        """Hand out events until cancelled. It outlives outages of PostgreSQL and of Redis."""
        async with asyncio.TaskGroup() as loops:
            for loop in (self._deliver, self._poll, self._beat, self._relay.run, self._listener.run):
                loops.create_task(loop())

    @asynccontextmanager
    async def join(self, account_id: str, *, resume: Resume | None) -> AsyncIterator[OrderReader]:
        """A socket's place in the stream, for the time of the block. Raises StreamClosed (limit, restart), Unavailable.

        The caller has checked that the account exists and may be read. The place counts against the limit of the
        account from here on, before the snapshot is read.
        """
        cursor = self._enter(account_id)
        try:
            await self._go_live(cursor)
            box = self._readers.subscribe(account_id, limit=self.limits.queue_length)
            try:
                async with self._recoveries:
                    start = await start_of_socket(
                        self._database, account_id, resume=resume, limit=self.limits.replay, snapshot=self._snapshot
                    )
                yield OrderReader(self._log, box=box, start=start)
            finally:
                self._readers.unsubscribe(account_id, box)
        finally:
            cursor.leave()
            self.counts.leave()

    async def close(self, *, timeout: float) -> int:
        """Refuse new sockets and close every open one with 1012 ``restart``.

        Returns how many are still open after ``timeout`` seconds.
        """
        self._closing = True
        for account_id in self._readers.topics():
            self._readers.publish(account_id, Closing(CloseReason.RESTART))
        return await self.counts.drained(timeout=timeout)

    def stats(self) -> StreamStats:
        """The sockets of this process, by account."""
        return StreamStats(
            connections={cursor.account_id: cursor.sockets for cursor in self._cursors.values() if cursor.sockets},
            dropped=self.counts.by_reason(),
            delivered=self.counts.delivered,
        )

    # joining

    def _enter(self, account_id: str) -> DeliveryCursor:
        if self._closing:
            raise StreamClosed(CloseReason.RESTART)
        cursor = self._cursor_of(account_id)
        if cursor.sockets >= self.limits.connections_per_account:
            raise StreamClosed(CloseReason.CONNECTION_LIMIT)
        cursor.sockets += 1
        self.counts.enter()
        return cursor

    async def _go_live(self, cursor: DeliveryCursor) -> None:
        """Set the cursor before the first mailbox exists: each mailbox then gets everything above the cursor."""
        async with cursor.opening:
            if cursor.live:
                return
            cursor.go_live(await open_head(self._database, cursor.account_id, epoch=self._ids.code(EPOCH_LENGTH)))

    def _cursor_of(self, account_id: str) -> DeliveryCursor:
        cursor = self._cursors.get(account_id)
        if cursor is None:
            cursor = self._cursors[account_id] = DeliveryCursor(account_id)
            self._listener.refresh()
        return cursor

    # delivering

    def _mark(self, account_id: str) -> None:
        self._marked[account_id] = None
        self._any_marked.set()

    async def _deliver(self) -> None:
        while True:
            await self._any_marked.wait()
            self._any_marked.clear()
            accounts, self._marked = self._marked, {}
            for account_id in accounts:
                try:
                    await self._advance(self._cursors[account_id])
                except Unavailable:
                    self._mark(account_id)
                    await asyncio.sleep(RETRY_S)

    async def _advance(self, cursor: DeliveryCursor) -> None:
        """Read one page and hand it out. After a full page the account is marked again: no account starves another."""
        after = cursor.read_after()
        if after is None:
            return
        woken, relay_above = cursor.woken, cursor.relayed
        cursor.woken = False
        try:
            events = await self._log.page(cursor.account_id, after=after, limit=self._page)
        except Unavailable:
            cursor.woken = cursor.woken or woken
            raise
        for event in events:
            self._hand_out(cursor, event, relay=woken and event.seq > relay_above)
        if len(events) == self._page:
            cursor.woken = cursor.woken or woken
            self._mark(cursor.account_id)

    def _hand_out(self, cursor: DeliveryCursor, event: StoredEvent, *, relay: bool) -> None:
        frame = event_frame(event)
        if cursor.live and event.seq > cursor.delivered:
            self._readers.publish(cursor.account_id, EventItem(event.seq, frame, text_message(frame)))
            cursor.delivered = event.seq
        if relay:
            self._relay.offer(self._keys.orders(cursor.account_id), frame)
            cursor.relayed = max(cursor.relayed, event.seq)

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(self.limits.heartbeat_s)
            for cursor in self._cursors.values():
                if cursor.live:
                    self._readers.publish(cursor.account_id, Heartbeat(cursor.delivered))

    # noticing

    def _channels(self) -> list[str]:
        return [self._keys.orders(account_id) for account_id in self._cursors]

    def _on_hint(self, channel: str, data: bytes) -> None:
        """Some replica published an event: only a reason to read the log, whatever the message says."""
        cursor = self._cursors.get(self._keys.account_of(channel))
        seq = hinted_seq(data)
        if cursor is not None and seq is not None and cursor.hear_hint(seq):
            self._mark(cursor.account_id)

    async def _poll(self) -> None:
        """Notices events whose hints were lost, and is the only way to notice that the log itself was replaced."""
        outage = Outage("PostgreSQL", affected="order stream")
        self._start_from(await self._first_heads(outage))
        while True:
            await asyncio.sleep(self.limits.poll_s)
            before = {one.account_id: Position(one.epoch, one.delivered) for one in self._cursors.values() if one.live}
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
        """Events from before this process began are not published by it."""
        for head in heads:
            cursor = self._cursor_of(head.account_id)
            if not cursor.woken:
                cursor.relayed = max(cursor.relayed, head.seq)

    def _check(self, before: Mapping[str, Position], heads: list[LogHead]) -> None:
        by_account = {head.account_id: head for head in heads}
        for head in heads:
            self._cursor_of(head.account_id).remember_head(head.seq)
        for account_id, position in before.items():
            match compare(self._cursors[account_id], before=position, heads=by_account):
                case "behind":
                    self._mark(account_id)
                case "lost":
                    self._restart(account_id)
                case "level":
                    pass

    def _restart(self, account_id: str) -> None:
        """The log was replaced: no ``seq`` that these sockets know continues, so they begin again with a snapshot."""
        logger.bind(account_id=account_id).warning("event log replaced, its sockets begin again")
        self._cursors[account_id].live = False
        self._readers.publish(account_id, Closing(CloseReason.RESTART))
