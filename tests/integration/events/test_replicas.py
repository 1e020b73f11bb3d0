"""Events that another process wrote, with Redis, without it, and through its end and return."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.client import PubSub

from tests.integration.events.conftest import WAIT_S, StartReplica, talking
from tests.integration.market.proxy import TcpProxy

NOWHERE = "redis://127.0.0.1:1/0"


async def test_an_event_of_another_process_arrives_by_its_hint(start_replica: StartReplica, redis_prefix: str) -> None:
    """Long before the next look into the database."""
    writer = await start_replica(poll_s=600)
    writer.orders.wake("primary")
    reader = await start_replica(poll_s=600)
    async with talking(reader.orders_url()) as client:
        await listeners(writer.redis, f"{redis_prefix}orders:primary", count=2)
        await writer.append(3)
        assert await client.sequence(3) == [1, 2, 3]


async def test_hints_carry_the_event_for_other_listeners(
    start_replica: StartReplica, redis_url: str, redis_prefix: str
) -> None:
    """`orders:{account_id}` carries the same JSON as the socket, once, in order, also without any socket."""
    replica = await start_replica()
    async with Redis.from_url(redis_url) as redis, redis.pubsub(ignore_subscribe_messages=True) as pubsub:
        await pubsub.subscribe(f"{redis_prefix}orders:primary")
        await pubsub.get_message(timeout=1)
        await replica.append(2)
        await replica.append(1)
        heard = [json.loads((await next_message(pubsub))["data"]) for _ in range(3)]
        assert await pubsub.get_message(timeout=0.2) is None
    assert [one["seq"] for one in heard] == [1, 2, 3]
    assert heard[0]["type"] == "order_update"


async def test_without_redis_events_of_this_process_arrive_at_once(start_replica: StartReplica) -> None:
    """The commit itself wakes the stream."""
    replica = await start_replica(redis_url=NOWHERE, poll_s=600)
    async with talking(replica.orders_url()) as client:
        await replica.append(2)
        assert await client.sequence(2) == [1, 2]


async def test_without_redis_events_of_another_process_arrive_by_polling(start_replica: StartReplica) -> None:
    """The safety poll: nothing is lost, only later."""
    replica = await start_replica(redis_url=NOWHERE, poll_s=0.1)
    async with talking(replica.orders_url()) as client:
        await replica.append(2, wake=False)
        assert await client.sequence(2) == [1, 2]


async def test_redis_is_used_again_after_an_outage(
    start_replica: StartReplica, redis_url: str, redis_prefix: str
) -> None:
    """Events arrive before, during and after the outage; afterwards replicas publish and listen again."""
    channel = f"{redis_prefix}orders:primary"
    async with TcpProxy.to(redis_url) as proxy, Redis.from_url(redis_url) as direct:
        writer = await start_replica(redis_url=proxy.url, poll_s=0.2)
        reader = await start_replica(redis_url=proxy.url, poll_s=0.2)
        async with talking(reader.orders_url()) as client:
            await writer.append()
            assert await client.sequence(1) == [1]
            await proxy.cut()
            await writer.append()
            assert await client.sequence(1) == [2]
            await proxy.heal()
            await listeners(direct, channel, count=2)
            async with direct.pubsub(ignore_subscribe_messages=True) as pubsub:
                await pubsub.subscribe(channel)
                await pubsub.get_message(timeout=1)
                heard, seq = None, 2
                async with asyncio.timeout(WAIT_S):
                    while heard is None:  # a hint that meets the connection of before the outage is lost, and may be
                        await writer.append()
                        seq += 1
                        assert await client.sequence(1) == [seq]
                        heard = await pubsub.get_message(timeout=1)
                assert 3 <= json.loads(heard["data"])["seq"] <= seq


FORGED = [b"", b"garbage", b"[]", b'{"seq": "x"}', b'{"seq": 999999}', b'{"seq": -1}', b"\xff"]


async def test_a_forged_hint_changes_nothing(start_replica: StartReplica, redis_url: str, redis_prefix: str) -> None:
    """Redis is not trusted: what is sent to clients is what the database has."""
    replica = await start_replica(poll_s=0.05)
    channel = f"{redis_prefix}orders:primary"
    async with talking(replica.orders_url()) as client, Redis.from_url(redis_url) as redis:
        await listeners(redis, channel, count=1)
        for forged in FORGED:
            await redis.publish(channel, forged)
        await redis.flushdb()
        await replica.append(2)
        assert await client.sequence(2) == [1, 2]


async def listeners(redis: Redis, channel: str, *, count: int) -> None:
    """Wait until so many replicas listen."""
    async with asyncio.timeout(WAIT_S):
        while (await redis.pubsub_numsub(channel))[0][1] < count:
            await asyncio.sleep(0.02)


async def next_message(pubsub: PubSub) -> dict[str, Any]:
    async with asyncio.timeout(WAIT_S):
        while True:
            message: dict[str, Any] | None = await pubsub.get_message(timeout=1)
            if message is not None:
                return message
