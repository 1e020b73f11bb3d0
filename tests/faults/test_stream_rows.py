"""Row 27 of the fault table: readers that stop, resume, come with another epoch, or ask for another's account."""

from __future__ import annotations

import asyncio
import json
import socket
from urllib.parse import urlsplit

import pytest
from websockets.asyncio.client import connect

from tests.integration.events.conftest import (
    KEY,
    WAIT_S,
    Replica,
    StartReplica,
    append,
    replica,
    start_replica,
    talking,
    wait_closed,
)

__all__ = ["replica", "start_replica"]  # the fixtures
pytestmark = pytest.mark.made_up_orders


async def test_row_27_a_reader_that_stops_reading_is_let_go(start_replica: StartReplica) -> None:
    """It does not hold its place: within the write timeouts it is counted out."""
    replica = await start_replica(queue_length=1000, write_timeout_s=0.3)
    address = urlsplit(replica.orders_url())
    with socket.socket() as narrow:  # so that the kernel does not take megabytes in the reader's place
        narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        narrow.connect((address.hostname, address.port))
        narrow.setblocking(False)
        async with connect(replica.orders_url(), sock=narrow, compression=None, max_queue=1, max_size=None) as slow:
            await slow.send('{"type": "auth", "api_key": "a-key-that-may-read-everything"}')
            async with asyncio.timeout(WAIT_S):
                while not replica.orders.stats().dropped["slow_consumer"]:
                    await append(replica.database, 50, size=20_000)
                    replica.orders.wake("primary")
                    await asyncio.sleep(0.05)
                while replica.orders.stats().connections:
                    await asyncio.sleep(0.05)
            slow.transport.abort()


async def test_row_27_a_resume_replays_exactly_what_was_missed(replica: Replica) -> None:
    """3,000 events behind: all of them, in order, and then the live ones."""
    await replica.append(3010)
    async with talking(replica.orders_url(), epoch="first", seq=10) as client:
        assert client.greeting["resumed"]
        assert client.greeting["seq"] == 3010
        await replica.append(5)
        assert await client.sequence(3005) == list(range(11, 3016))


@pytest.mark.parametrize(
    ("epoch", "seq"),
    [("another", 3), ("first", 11), ("first", 4)],
    ids=["another log", "ahead of the log", "too far behind"],
)
async def test_row_27_a_resume_that_cannot_be_exact_gives_a_snapshot(
    start_replica: StartReplica, epoch: str, seq: int
) -> None:
    """Never a partial recovery."""
    replica = await start_replica(replay=5)
    await replica.append(10)
    async with talking(replica.orders_url(), epoch=epoch, seq=seq) as client:
        assert not client.greeting["resumed"]
        assert client.snapshot is not None
        assert client.snapshot["seq"] == 10


async def test_row_27_a_foreign_account_is_refused(replica: Replica) -> None:
    """Unknown and forbidden look the same."""
    async with connect(replica.orders_url("nobody")) as stranger:
        await stranger.send(json.dumps({"type": "auth", "api_key": KEY}))
        assert await wait_closed(stranger) == (1008, "forbidden_account")
