"""The scarce limits hold across replicas through a real Redis, and have a stated answer while it is away."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from app.api.rate_limits import RateLimits
from app.config import Settings
from app.db.redis import make_redis
from app.errors import RateLimited
from app.kit.clock import SystemClock

BATCH = "/advanced/batch-orders"


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    client = make_redis(redis_url)
    yield client
    await client.aclose()


def _replica(redis: Redis, redis_prefix: str, *, replicas: int = 1) -> RateLimits:
    settings = Settings(
        redis_prefix=redis_prefix,
        limit_batch_orders="4/minute",
        limit_subscriptions="2/minute",
        limit_replicas=replicas,
    )
    return RateLimits(settings, redis=redis, clock=SystemClock())


async def _allowed(limits: RateLimits, *, times: int, caller: str = "a", path: str = BATCH) -> int:
    passed = 0
    for _ in range(times):
        try:
            await limits.check(caller, method="POST", path=path)
        except RateLimited:
            continue
        passed += 1
    return passed


async def test_two_replicas_share_one_limit(redis: Redis, redis_prefix: str) -> None:
    """Four a minute are four a minute, whichever replica answers."""
    first, second = _replica(redis, redis_prefix), _replica(redis, redis_prefix)
    assert await _allowed(first, times=3) + await _allowed(second, times=3) == 4
    assert first.hits + second.hits == 2


async def test_callers_and_classes_have_limits_of_their_own(redis: Redis, redis_prefix: str) -> None:
    """One key's flood of batches leaves its subscriptions and other keys alone."""
    limits = _replica(redis, redis_prefix)
    assert await _allowed(limits, times=6) == 4
    assert await _allowed(limits, times=6, path="/subscriptions") == 2
    assert await _allowed(limits, times=6, caller="b") == 4


async def test_a_refusal_says_when_the_window_moves_on(redis: Redis, redis_prefix: str) -> None:
    """Within the minute of the limit."""
    limits = _replica(redis, redis_prefix)
    assert await _allowed(limits, times=4) == 4
    with pytest.raises(RateLimited) as refused:
        await limits.check("a", method="POST", path=BATCH)
    assert 50 < refused.value.retry_after_s <= 60


async def test_while_redis_is_away_each_replica_allows_its_share(redis_prefix: str) -> None:
    """Half of four with two replicas, and no request waits for Redis."""
    away = make_redis("redis://127.0.0.1:1")
    limits = _replica(away, redis_prefix, replicas=2)
    async with asyncio.timeout(20):
        assert await _allowed(limits, times=6) == 2
    await away.aclose()


async def test_reads_never_ask_redis(redis_prefix: str) -> None:
    """The default class is counted in the process: it works the same while Redis is away."""
    away = make_redis("redis://127.0.0.1:1")
    limits = _replica(away, redis_prefix)
    for _ in range(50):
        await limits.check("a", method="GET", path=BATCH)
    await away.aclose()
