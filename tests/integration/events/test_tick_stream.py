"""The tick stream from a trading program's side of the wire."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from redis.asyncio import Redis
from websockets.asyncio.client import connect

from tests.integration.events.conftest import KEY, WAIT_S, Client, Replica, StartReplica, talking, wait_closed

INFY = 408065
RELIANCE = 738561


def tick(last_price: float, *, token: int = INFY) -> bytes:
    fields = {"v": 1, "instrument_token": token, "mode": "full", "tradable": True, "last_price": last_price, "oi": 7}
    return json.dumps(fields).encode()


async def ask(client: Client, action: str, tokens: list[int], **fields: Any) -> None:
    await client.socket.send(json.dumps({"action": action, "tokens": tokens} | fields))


async def test_a_reader_gets_the_ticks_of_its_instruments(replica: Replica) -> None:
    """The very bytes of the pipeline, and nothing else's."""
    replica.market.subscribed |= {INFY, RELIANCE}
    async with talking(replica.ticks_url()) as client:
        assert client.greeting == {"type": "authenticated"}
        await ask(client, "subscribe", [INFY], mode="full")
        assert await client.receive() == {"type": "subscribed", "tokens": [INFY], "mode": "full"}
        replica.ticks.on_tick(RELIANCE, tick(1.0, token=RELIANCE))
        replica.ticks.on_tick(INFY, tick(1500.05))
        assert await client.socket.recv() == tick(1500.05).decode()


async def test_the_last_value_comes_at_once(replica: Replica) -> None:
    """An instrument that rarely trades is not a blank."""
    replica.market.subscribed.add(INFY)
    replica.market.last[INFY] = tick(1499.0)
    async with talking(replica.ticks_url()) as client:
        await ask(client, "subscribe", [INFY])
        assert (await client.receive())["type"] == "subscribed"
        assert (await client.receive())["last_price"] == 1499.0


async def test_a_lower_mode_is_sent_as_that_mode_has_it(replica: Replica) -> None:
    """Fields of `full` are absent for a reader of `ltp`."""
    replica.market.subscribed.add(INFY)
    async with talking(replica.ticks_url()) as client:
        await ask(client, "subscribe", [INFY], mode="ltp")
        await client.receive()
        replica.ticks.on_tick(INFY, tick(1500.0))
        assert await client.receive() == {
            "v": 1, "instrument_token": INFY, "mode": "ltp", "tradable": True, "last_price": 1500.0,
        }  # fmt: skip


async def test_an_instrument_that_is_not_subscribed_at_the_broker_is_named(replica: Replica) -> None:
    """A clear error; the rest of the request is done and the connection stays."""
    replica.market.subscribed.add(INFY)
    async with talking(replica.ticks_url()) as client:
        await ask(client, "subscribe", [INFY, RELIANCE])
        error, done = await client.receive(), await client.receive()
        assert (error["type"], error["code"], error["tokens"]) == ("error", "NOT_SUBSCRIBED", [RELIANCE])
        assert done["tokens"] == [INFY]


async def test_a_socket_reads_a_bounded_number_of_instruments(start_replica: StartReplica) -> None:
    """Nothing of the request that is too much is done."""
    replica = await start_replica(tokens_per_socket=2)
    replica.market.subscribed |= {1, 2, 3}
    async with talking(replica.ticks_url()) as client:
        await ask(client, "subscribe", [1, 2])
        await client.receive()
        await ask(client, "subscribe", [2, 3])
        assert (await client.receive())["code"] == "TOO_MANY_TOKENS"
        await ask(client, "unsubscribe", [1])
        assert await client.receive() == {"type": "unsubscribed", "tokens": [1]}
        await ask(client, "subscribe", [3])
        assert (await client.receive())["type"] == "subscribed"


async def test_after_unsubscribing_nothing_more_comes(replica: Replica) -> None:
    """Not even what was waiting."""
    replica.market.subscribed.add(INFY)
    async with talking(replica.ticks_url()) as client:
        await ask(client, "subscribe", [INFY])
        await client.receive()
        await ask(client, "unsubscribe", [INFY])
        await client.receive()
        replica.ticks.on_tick(INFY, tick(1.0))
        await client.socket.send("ping")
        assert await client.socket.recv() == "pong"


MALFORMED = [
    "subscribe",
    '{"action": "buy", "tokens": [1]}',
    '{"action": "subscribe"}',
    '{"action": "subscribe", "tokens": []}',
    '{"action": "subscribe", "tokens": ["NSE:INFY"]}',
    '{"action": "subscribe", "tokens": [0]}',
    '{"action": "subscribe", "tokens": [1], "mode": "everything"}',
    '{"action": "subscribe", "tokens": [1], "modes": "full"}',
]


async def test_a_malformed_request_is_closed(replica: Replica) -> None:
    """1008 bad_message."""
    for message in MALFORMED:
        async with talking(replica.ticks_url()) as client:
            await client.socket.send(message)
            assert await wait_closed(client.socket) == (1008, "bad_message"), message


async def test_the_newest_tick_wins_when_the_reader_is_slow(replica: Replica) -> None:
    """It is never closed for being slow to take ticks, and ends with the last one of each instrument."""
    replica.market.subscribed |= {INFY, RELIANCE}
    async with connect(replica.ticks_url(), compression=None, max_queue=1) as slow:
        await slow.send(json.dumps({"type": "auth", "api_key": KEY}))
        await slow.send(json.dumps({"action": "subscribe", "tokens": [INFY, RELIANCE]}))
        assert len([await slow.recv(), await slow.recv()]) == 2
        written = 20_000
        for number in range(1, written + 1):
            for token in (INFY, RELIANCE):
                replica.ticks.on_tick(token, tick(float(number), token=token) + b" " * 2000)
            if number % 10 == 0:
                await asyncio.sleep(0)
        last: dict[int, float] = {}
        received = 0
        async with asyncio.timeout(WAIT_S):
            while last != {INFY: float(written), RELIANCE: float(written)}:
                message = json.loads(await slow.recv())
                last[message["instrument_token"]] = message["last_price"]
                received += 1
        assert received < written


async def test_ticks_of_a_feed_in_another_process_come_through_redis(
    replica: Replica, redis_url: str, redis_prefix: str
) -> None:
    """And stop coming that way when the feed is here."""
    replica.market.subscribed.add(INFY)
    async with Redis.from_url(redis_url) as redis, talking(replica.ticks_url()) as client:
        await ask(client, "subscribe", [INFY])
        await client.receive()
        async with asyncio.timeout(WAIT_S):
            while not await redis.publish(f"{redis_prefix}ticks:{INFY}", tick(1.0)):
                await asyncio.sleep(0.02)
        assert (await client.receive())["last_price"] == 1.0
        replica.market.here.add(INFY)
        await redis.publish(f"{redis_prefix}ticks:{INFY}", tick(2.0))
        replica.ticks.on_tick(INFY, tick(3.0))
        assert (await client.receive())["last_price"] == 3.0
        async with asyncio.timeout(WAIT_S):
            while await redis.publish(f"{redis_prefix}ticks:{INFY}", tick(4.0)):
                await asyncio.sleep(0.05)


async def test_heartbeats_and_restart(start_replica: StartReplica) -> None:
    """A quiet market is not a dead socket; shutdown is 1012 for all and for newcomers."""
    replica = await start_replica(heartbeat_s=0.05)
    async with talking(replica.ticks_url()) as client:
        assert await client.receive() == {"type": "heartbeat"}
        assert replica.ticks.stats().connections == {"ticks": 1}
        assert await replica.ticks.close(timeout=WAIT_S) == 0
        assert await wait_closed(client.socket) == (1012, "restart")
    async with connect(replica.ticks_url()) as late:
        await late.send(json.dumps({"type": "auth", "api_key": KEY}))
        assert await wait_closed(late) == (1012, "restart")
