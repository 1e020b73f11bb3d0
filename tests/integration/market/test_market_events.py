"""Events on Redis are hints: an absent Redis costs a warning, not the loop."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from redis.asyncio import Redis

from app.db.postgres import Tx
from app.db.redis_keys import RedisKeys
from app.market.subscriptions.market_events import BACKLOG, MarketEvents, MarketEventType
from tests.integration.market.proxy import TcpProxy
from tests.integration.market.scripted import SetClock
from tests.unit.market.builders import NOON


def events_on(redis: Redis, prefix: str) -> MarketEvents:
    async def refuse(tx: Tx, account_id: str, kind: str, data: Mapping[str, Any]) -> None:
        raise NotImplementedError

    return MarketEvents(redis, keys=RedisKeys(prefix), clock=SetClock(NOON), recorder=refuse)


async def test_without_redis_events_are_dropped_and_counted(redis_url: str, redis_prefix: str) -> None:
    """The next ones go out again when it is back."""
    async with TcpProxy.to(redis_url) as proxy:
        redis = Redis.from_url(proxy.url)
        events = events_on(redis, redis_prefix)
        await proxy.cut()
        events.announce(MarketEventType.FEED_STALE, account_id="primary", data={})
        events.announce(MarketEventType.FEED_RECOVERED, account_id="primary", data={})
        await events.flush()
        assert events.dropped == 2
        await proxy.heal()
        events.announce(MarketEventType.FEED_STALE, account_id="primary", data={})
        await events.flush()
        assert events.dropped == 2
        await redis.aclose()


async def test_the_backlog_is_bounded(redis_url: str, redis_prefix: str) -> None:
    """The oldest give way."""
    redis = Redis.from_url(redis_url)
    pubsub = redis.pubsub()
    await pubsub.subscribe(f"{redis_prefix}events")
    await pubsub.get_message(timeout=20)
    events = events_on(redis, redis_prefix)
    for number in range(BACKLOG + 5):
        events.announce(MarketEventType.SUBSCRIPTION_CHANGED, account_id="primary", data={"number": number})
    await events.wait(timeout=0.1)
    await events.flush()
    first = await pubsub.get_message(ignore_subscribe_messages=True, timeout=20)
    await pubsub.aclose()  # type: ignore[no-untyped-call]
    await redis.aclose()
    assert first is not None
    assert b'"number":5}' in (first["data"] or b"")
