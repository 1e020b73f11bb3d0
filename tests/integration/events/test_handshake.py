"""Who may read, and how bad first messages are answered."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from tests.integration.events.conftest import KEY, WAIT_S, Replica, StartReplica, talking, wait_closed
from tests.waiting import until

GOOD = json.dumps({"type": "auth", "api_key": KEY})


BAD_FIRST_MESSAGES: list[tuple[str | bytes, str]] = [
    (json.dumps({"type": "auth", "api_key": "wrong"}), "unauthorized"),
    (json.dumps({"type": "auth", "api_key": "\ud800"}), "bad_message"),  # half a surrogate pair is no text
    ("not json", "bad_message"),
    ("[1, 2]", "bad_message"),
    ("{}", "bad_message"),
    ("[" * 4000, "bad_message"),
    (json.dumps({"type": "hello", "api_key": KEY}), "bad_message"),
    (json.dumps({"type": "auth", "api_key": KEY, "resume": {"epoch": "e"}}), "bad_message"),
    (json.dumps({"type": "auth", "api_key": KEY, "resume": {"epoch": "e", "seq": -1}}), "bad_message"),
    (json.dumps({"type": "auth", "api_key": KEY, "account": "primary"}), "bad_message"),
    (json.dumps({"type": "auth", "api_key": KEY}) + " " * 4096, "bad_message"),
    (b"\x00\x01", "bad_message"),
    ("ping", "bad_message"),
]


async def test_a_bad_first_message_is_closed_with_the_reason(replica: Replica) -> None:
    """1008 and a reason that says what was wrong, on both streams."""
    for first, reason in BAD_FIRST_MESSAGES:
        for url in (replica.orders_url(), replica.ticks_url()):
            async with connect(url) as socket:
                await socket.send(first)
                assert await wait_closed(socket) == (1008, reason), first
    assert replica.orders.stats().dropped["unauthorized"] == 1


async def test_silence_after_connecting_is_closed(start_replica: StartReplica) -> None:
    """The first message has a time limit."""
    replica = await start_replica(auth_timeout_s=0.05)
    async with connect(replica.orders_url()) as socket:
        assert await wait_closed(socket) == (1008, "auth_timeout")


async def are_connected(replica: Replica, connections: dict[str, int]) -> bool:
    return replica.orders.stats().connections == connections


async def test_an_account_has_a_limit_of_connections(start_replica: StartReplica) -> None:
    """One too many is refused; when one leaves the next may join."""
    replica = await start_replica(connections_per_account=2)
    async with talking(replica.orders_url()):
        async with talking(replica.orders_url()):
            assert replica.orders.stats().connections == {"primary": 2}
            async with connect(replica.orders_url()) as third:
                await third.send(GOOD)
                assert await wait_closed(third) == (1008, "connection_limit")
        await until(lambda: are_connected(replica, {"primary": 1}))
        async with talking(replica.orders_url()) as again:
            assert again.snapshot is not None


async def test_ping_is_answered_pong(replica: Replica) -> None:
    """Text frames, on both streams."""
    for url in (replica.orders_url(), replica.ticks_url()):
        async with talking(url) as client:
            await client.socket.send("ping")
            async with asyncio.timeout(WAIT_S):
                assert await client.socket.recv() == "pong"


async def test_a_client_that_sends_anything_else_is_closed(replica: Replica) -> None:
    """The order stream knows `ping` and nothing else."""
    for message in ("hello", GOOD, b"ping"):
        async with talking(replica.orders_url()) as client:
            await client.socket.send(message)
            assert await wait_closed(client.socket) == (1008, "bad_message")


async def test_a_client_that_sends_too_much_is_closed(replica: Replica) -> None:
    """Ten messages a second are served, many more are too much, however slowly they are read."""
    async with talking(replica.orders_url()) as client:
        for _ in range(10):
            await client.socket.send("ping")
        assert [await client.socket.recv() for _ in range(10)] == ["pong"] * 10
        with suppress(ConnectionClosed):
            for _ in range(300):
                await client.socket.send("ping")
        assert await wait_closed(client.socket) == (1008, "bad_message")


async def test_a_silent_client_is_closed(start_replica: StartReplica) -> None:
    """Not with 1000, so that clients reconnect; one that pings stays."""
    replica = await start_replica(idle_timeout_s=3.0)
    async with talking(replica.orders_url()) as quiet, talking(replica.orders_url()) as lively:
        closed = asyncio.create_task(wait_closed(quiet.socket))
        while not closed.done():
            await lively.socket.send("ping")
            assert await lively.socket.recv() == "pong"
            await asyncio.sleep(0.15)
        assert await closed == (1013, "idle_timeout")
        await lively.socket.send("ping")
        assert await lively.socket.recv() == "pong"
        assert replica.orders.stats().dropped["idle_timeout"] == 1


async def test_a_revoked_key_loses_its_socket(start_replica: StartReplica) -> None:
    """The key is looked at again while the socket lives."""
    replica = await start_replica(recheck_key_s=0.0)
    async with talking(replica.orders_url()) as client:
        await client.socket.send("ping")
        assert await client.socket.recv() == "pong"
        replica.keys.clear()
        await client.socket.send("ping")
        assert await wait_closed(client.socket) == (1008, "unauthorized")


async def test_a_client_that_leaves_is_forgotten(replica: Replica) -> None:
    """No connection and no drop is counted for a client that closed or vanished."""
    async with talking(replica.orders_url()):
        pass
    async with talking(replica.orders_url()) as client:
        client.socket.transport.abort()
    await until(lambda: are_connected(replica, {}))
    assert set(replica.orders.stats().dropped.values()) == {0}
