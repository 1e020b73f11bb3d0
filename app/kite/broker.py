"""One account at Kite: gateways, governor and feed, put together."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from app.broker.port import Broker, CredentialSource, FeedListener, Governor
from app.kit.clock import Clock
from app.kite.feed import FeedSettings, KiteFeed
from app.kite.governor import Governor as KiteGovernor
from app.kite.governor import SharedReads
from app.kite.http import HttpSettings, KiteHttp, Observer
from app.kite.orders import KiteOrders
from app.kite.pace import BrokerLimits
from app.kite.reads import KiteMarket, KitePortfolio, PacedReads
from app.kite.session import LOGIN_URL, KiteSession
from app.kite.shared_pace import ReadCount
from app.kite.tokens import IgnoresTokens, TokenObserver
from app.kite.wire.ticks import decode_packet


@dataclass(frozen=True, slots=True, kw_only=True)
class KiteAccount:
    """What ``open_broker`` gives: the port, the request budget, and a feed on demand."""

    broker: Broker
    governor: Governor
    feed_settings: FeedSettings
    credentials: CredentialSource
    clock: Clock

    def make_feed(self, listener: FeedListener) -> KiteFeed:
        """A new feed; its ``run`` is a background loop."""
        return KiteFeed(
            self.feed_settings,
            account_id=self.broker.account_id,
            credentials=self.credentials,
            listener=listener,
            clock=self.clock,
        )


def ignore_observation(endpoint: str, outcome: str, seconds: float) -> None:
    """The observer for callers that do not measure."""


def ignore_rows(endpoint: str, count: int) -> None:
    """The same for rows that cannot be read."""


@asynccontextmanager
async def open_broker(
    account_id: str,
    *,
    http: HttpSettings,
    feed: FeedSettings,
    credentials: CredentialSource,
    clock: Clock,
    observer: Observer = ignore_observation,
    count_unreadable: Callable[[str, int], None] = ignore_rows,
    tokens: TokenObserver | None = None,
    limits: BrokerLimits | None = None,
    read_count: ReadCount | None = None,
    login_url: str = LOGIN_URL,
) -> AsyncIterator[KiteAccount]:
    """The gateways of one account, sharing two HTTP clients and one governor; closed when the block ends."""
    client = KiteHttp(http, credentials=credentials, clock=clock, observer=observer, tokens=tokens or IgnoresTokens())
    shared = None if read_count is None else SharedReads(count=read_count, account_id=account_id)
    governor = KiteGovernor(clock=clock, limits=limits, shared=shared)
    reads = PacedReads(client, governor=governor, account_id=account_id, count_unreadable=count_unreadable)
    broker = Broker(
        account_id=account_id,
        orders=KiteOrders(client, reads=reads),
        portfolio=KitePortfolio(reads),
        market=KiteMarket(reads),
        session=KiteSession(client, login_base_url=login_url),
        decode=decode_packet,
        clock_offset_s=lambda: client.clock_offset_s,
    )
    try:
        yield KiteAccount(broker=broker, governor=governor, feed_settings=feed, credentials=credentials, clock=clock)
    finally:
        await client.close()
