"""The order stream from the trading program's side of the wire."""

from __future__ import annotations

import asyncio
import random

import pytest
from websockets.asyncio.client import connect

from tests.integration.events.conftest import WAIT_S, Replica, StartReplica, append, talking, wait_closed


async def test_a_new_client_gets_the_orders_of_the_day_and_then_each_event(replica: Replica) -> None:
    """authenticated, snapshot at the same seq, then seq + 1, + 2, ..."""
    await replica.append(3)
    async with talking(replica.orders_url()) as client:
        assert client.greeting == {
            "type": "authenticated", "account_id": "primary", "epoch": "first", "seq": 3, "resumed": False,
        }  # fmt: skip
        assert client.snapshot == {
            "type": "snapshot", "seq": 3, "orders": [{"order_id": "260105000000001", "events": 3}],
        }  # fmt: skip
        await replica.append(2)
        assert await client.sequence(2) == [4, 5]


async def test_an_event_carries_what_was_written(replica: Replica) -> None:
    """type, account, seq, event, an IST time and the order itself."""
    async with talking(replica.orders_url()) as client:
        await replica.append()
        message = await client.receive()
    timestamp = message.pop("timestamp")
    assert timestamp.endswith("+05:30")
    assert message == {
        "type": "order_update", "account_id": "primary", "seq": 1, "event": "order_updated",
        "data": {"order_id": "260105000000001", "filler": ""},
    }  # fmt: skip


async def test_an_account_without_any_event_has_a_log_that_can_be_resumed(replica: Replica) -> None:
    """The epoch of the empty log is the one that later events continue."""
    async with talking(replica.orders_url()) as client:
        greeting = client.greeting
    await replica.append(2)
    async with talking(replica.orders_url(), epoch=greeting["epoch"], seq=greeting["seq"]) as client:
        assert client.greeting["resumed"]
        assert await client.sequence(2) == [1, 2]


async def test_a_resume_into_deleted_history_gives_a_snapshot(replica: Replica) -> None:
    """Events are kept for a time; the next one that the client needs is gone."""
    await replica.append(10)
    async with replica.database.connection() as connection:
        await connection.execute("DELETE FROM event WHERE seq <= 5")
    async with talking(replica.orders_url(), epoch="first", seq=4) as client:
        assert client.snapshot is not None
    async with talking(replica.orders_url(), epoch="first", seq=5) as client:
        assert await client.sequence(5) == [6, 7, 8, 9, 10]


@pytest.mark.parametrize("seed", range(2))
async def test_cuts_in_the_middle_of_a_burst_lose_and_repeat_nothing(replica: Replica, seed: int) -> None:
    """A client that is cut off at random and resumes sees 1, 2, 3, ... while two writers append."""
    dice = random.Random(seed)
    total = 240

    async def write(count: int) -> None:
        for _ in range(count):
            await replica.append()

    async with asyncio.TaskGroup() as tasks:
        for _ in range(2):
            tasks.create_task(write(total // 2))
        seen: list[int] = []
        async with talking(replica.orders_url()) as client:
            epoch, seen_to = client.greeting["epoch"], client.greeting["seq"]
        while seen_to + len(seen) < total:
            start = seen_to + len(seen)
            async with talking(replica.orders_url(), epoch=epoch, seq=start) as client:
                assert client.greeting["resumed"]
                seen += await client.sequence(min(dice.randint(1, 60), total - start))
                if dice.random() < 0.5:
                    client.socket.transport.abort()
    assert seen == list(range(seen_to + 1, total + 1))


async def test_a_snapshot_during_a_burst_continues_without_a_gap(replica: Replica) -> None:
    """Many newcomers while events are written: each has its snapshot's state and every event after it."""
    total = 300

    async def follow() -> None:
        async with talking(replica.orders_url()) as client:
            assert client.snapshot is not None
            seq = client.snapshot["seq"]
            assert client.snapshot["orders"][0]["events"] == seq
            assert await client.sequence(total - seq) == list(range(seq + 1, total + 1))

    async with asyncio.TaskGroup() as tasks:
        for _ in range(8):
            tasks.create_task(follow())
        for _ in range(total // 3):
            await replica.append(3)


async def test_accounts_do_not_see_each_other(replica: Replica) -> None:
    """Each account has its own sequence and its own sockets."""
    async with talking(replica.orders_url("primary")) as first, talking(replica.orders_url("second")) as second:
        await replica.append(2, account_id="second")
        await replica.append(1, account_id="primary")
        assert await second.sequence(2) == [1, 2]
        assert (await first.receive())["account_id"] == "primary"


async def test_a_slow_reader_is_closed_and_resumes_while_another_misses_nothing(start_replica: StartReplica) -> None:
    """Its queue is bounded: 1013 `slow_consumer`; the quick one has every event; a resume then has every event too."""
    replica = await start_replica(queue_length=50, write_timeout_s=20)
    total = 1000
    async with talking(replica.orders_url()) as quick:
        async with connect(replica.orders_url(), compression=None, max_queue=1, max_size=None) as slow:
            await slow.send('{"type": "auth", "api_key": "a-key-that-may-read-everything"}')
            reading = asyncio.create_task(quick.sequence(total))
            for _ in range(total // 20):
                await append(replica.database, 20, size=10_000)
                replica.orders.wake("primary")
            assert await reading == list(range(1, total + 1))
            assert await wait_closed(slow) == (1013, "slow_consumer")
        assert replica.orders.stats().dropped["slow_consumer"] == 1
        assert replica.orders.stats().connections == {"primary": 1}


async def test_a_log_that_is_replaced_starts_its_sockets_afresh(start_replica: StartReplica) -> None:
    """Another epoch (a restored database): 1012, and the resume becomes a snapshot."""
    replica = await start_replica(poll_s=0.05)
    await replica.append(5)
    async with talking(replica.orders_url()) as client:
        async with replica.database.transaction() as tx:
            await tx.execute("DELETE FROM event")
            await tx.execute("UPDATE account_seq SET epoch = 'restored', seq = 2")
        assert await wait_closed(client.socket) == (1012, "restart")
    async with talking(replica.orders_url(), epoch="first", seq=5) as client:
        assert client.greeting["epoch"] == "restored"
        assert client.snapshot is not None


async def test_shutdown_closes_every_socket_with_restart(replica: Replica) -> None:
    """1012 for all, within the bound; newcomers are refused the same way."""
    async with talking(replica.orders_url()) as one, talking(replica.orders_url("second")) as two:
        assert await replica.orders.close(timeout=WAIT_S) == 0
        assert await wait_closed(one.socket) == (1012, "restart")
        assert await wait_closed(two.socket) == (1012, "restart")
    async with connect(replica.orders_url()) as late:
        await late.send('{"type": "auth", "api_key": "a-key-that-may-read-everything"}')
        assert await wait_closed(late) == (1012, "restart")


async def test_heartbeats_say_how_far_the_stream_is(start_replica: StartReplica) -> None:
    """A client that has less than the heartbeat says knows that it missed something."""
    replica = await start_replica(heartbeat_s=0.05)
    async with talking(replica.orders_url()) as client:
        await replica.append(2)
        assert await client.sequence(2) == [1, 2]
        heartbeat = await client.receive()
        while heartbeat["seq"] < 2:
            heartbeat = await client.receive()
        assert heartbeat == {"type": "heartbeat", "seq": 2}


async def test_a_burst_many_times_the_queue_reaches_every_reader_that_reads(start_replica: StartReplica) -> None:
    """Only a reader that does not read is slow: 600 events at once through queues of 40."""
    replica = await start_replica(queue_length=40)
    async with talking(replica.orders_url()) as one, talking(replica.orders_url()) as two:
        await append(replica.database, 600, size=1_000)
        replica.orders.wake("primary")
        assert await one.sequence(600) == list(range(1, 601))
        assert await two.sequence(600) == list(range(1, 601))
