"""The Redis client: a task that uses it ends when it is cancelled, and leaves connections that work."""

from __future__ import annotations

import asyncio

import pytest
from redis.asyncio import Redis

from app.config import Settings
from app.db.redis import make_redis, open_redis


@pytest.mark.parametrize("steps", range(16))
async def test_a_task_stopped_as_a_command_goes_out_ends(redis_url: str, steps: int) -> None:
    """Whatever step of the event loop the stop falls into; and no later command reads an answer that is not its own."""
    redis = make_redis(redis_url)

    async def loop() -> None:
        while True:
            await redis.echo("of the stopped one")
            await asyncio.sleep(0)

    try:
        task = asyncio.create_task(loop())
        await asyncio.sleep(0.02)
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task], timeout=20)
        assert task.cancelled()
        for number in range(3):
            assert await redis.echo(str(number)) == str(number).encode()
    finally:
        await redis.aclose()


async def test_the_bounds_of_the_settings_reach_the_client() -> None:
    """Its timeouts and the number of its connections."""
    redis = open_redis(Settings(redis_timeout_s=0.4, redis_connect_timeout_s=0.6, redis_pool_size=3))
    pool = redis.connection_pool
    given = pool.connection_kwargs
    assert (given["socket_timeout"], given["socket_connect_timeout"], pool.max_connections) == (0.4, 0.6, 3)


@pytest.mark.parametrize("scheme", ["redis", "rediss", "unix"])
def test_every_kind_of_address_gets_a_client(scheme: str) -> None:
    """Plain, with TLS, and a socket file."""
    redis = make_redis(f"{scheme}:///run/redis.sock" if scheme == "unix" else f"{scheme}://127.0.0.1:1/0")
    assert isinstance(redis, Redis)
