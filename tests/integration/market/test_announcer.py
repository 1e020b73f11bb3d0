"""Events on Redis are hints: an absent Redis costs a warning, not the loop."""

from __future__ import annotations

from redis.asyncio import Redis

from app.db.redis_keys import RedisKeys
from app.market.subscriptions.announcements import BACKLOG, Announcer
from tests.integration.market.proxy import TcpProxy
from tests.integration.market.scripted import SetClock
from tests.unit.market.builders import NOON


async def test_without_redis_events_are_dropped_and_counted(redis_url: str, redis_prefix: str) -> None:
    """The next ones go out again when it is back."""
    async with TcpProxy.to(redis_url) as proxy:
        redis = Redis.from_url(proxy.url)
        announcer = Announcer(redis, keys=RedisKeys(redis_prefix), clock=SetClock(NOON))
        await proxy.cut()
        announcer.announce("feed_stale", account_id="primary", data={})
        announcer.announce("feed_recovered", account_id="primary", data={})
        await announcer.flush()
        assert announcer.dropped == 2
        await proxy.heal()
        announcer.announce("feed_stale", account_id="primary", data={})
        await announcer.flush()
        assert announcer.dropped == 2
        await redis.aclose()


async def test_the_backlog_is_bounded(redis_url: str, redis_prefix: str) -> None:
    """The oldest give way."""
    redis = Redis.from_url(redis_url)
    pubsub = redis.pubsub()
    await pubsub.subscribe(f"{redis_prefix}events")
    await pubsub.get_message(timeout=20)
    announcer = Announcer(redis, keys=RedisKeys(redis_prefix), clock=SetClock(NOON))
    for number in range(BACKLOG + 5):
        announcer.announce("subscription_changed", account_id="primary", data={"number": number})
    await announcer.wait(timeout=0.1)
    await announcer.flush()
    first = await pubsub.get_message(ignore_subscribe_messages=True, timeout=20)
    await pubsub.aclose()  # type: ignore[no-untyped-call]
    await redis.aclose()
    assert first is not None
    assert b'"number":5}' in (first["data"] or b"")
