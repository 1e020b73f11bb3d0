"""The order stream while PostgreSQL is away, and what a reader does about a gap."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import pytest

from app.db.postgres import Database, open_database
from app.events.event_log import EventLog
from app.events.model import LogHead
from app.events.order_reader import EventItem, Item, OrderReader
from app.events.protocol import CloseReason, StreamClosed
from app.events.resume import SocketStart
from app.kit.broadcast import Mailbox
from tests.integration.events.conftest import StartReplica, append, talking
from tests.integration.market.proxy import TcpProxy


@pytest.fixture
async def direct(database_url: str) -> AsyncIterator[Database]:
    database = await open_database(database_url, name="test", max_size=2)
    yield database
    await database.close()


async def test_events_written_while_the_database_was_out_of_reach_arrive(
    start_replica: StartReplica, database_url: str, direct: Database
) -> None:
    """The socket stays; when the database is back everything comes, in order."""
    if "@127.0.0.1:" not in database_url:
        pytest.skip("the proxy speaks TCP only")
    async with TcpProxy.to(database_url) as proxy:
        replica = await start_replica(database_url=proxy.url, poll_s=0.1)
        async with talking(replica.orders_url()) as client:
            await proxy.cut()
            await append(direct, 2)
            replica.orders.wake("primary")
            await asyncio.sleep(0.3)
            await proxy.heal()
            await append(direct, 1)
            assert await client.sequence(3) == [1, 2, 3]


def reader_at(last: int, *, database: Database) -> tuple[OrderReader, Mailbox[Item]]:
    box: Mailbox[Item] = Mailbox(limit=10)
    start = SocketStart(head=LogHead(account_id="primary", epoch="first", seq=last), last=last, orders=None)
    return OrderReader(EventLog(database), box=box, start=start), box


async def test_a_gap_is_read_from_the_log_before_anything_above_it(direct: Database) -> None:
    """3, 4 and 5 were never handed over: they come all the same, then 6; what is known already does not."""
    await append(direct, 6)
    reader, box = reader_at(2, database=direct)
    for item in (EventItem(2, "two", b""), EventItem(6, "six", b"")):
        box.put(item)
    greeting = await reader.next_batch()
    assert '"resumed":true' in greeting[0]
    assert await reader.next_batch() == []
    filled = [json.loads(frame)["seq"] for frame in await reader.next_batch()]
    assert filled == [3, 4, 5]
    assert await reader.next_batch() == ["six"]


async def test_a_gap_that_the_log_cannot_fill_ends_the_socket(direct: Database) -> None:
    """Rather than pass over events: the client begins again, with a snapshot."""
    await append(direct, 6)
    async with direct.connection() as connection:
        await connection.execute("DELETE FROM event WHERE seq = 4")
    reader, box = reader_at(2, database=direct)
    box.put(EventItem(6, "six", b""))
    assert len(await reader.next_batch()) == 1
    assert await reader.next_batch() == []
    with pytest.raises(StreamClosed) as closed:
        await reader.next_batch()
    assert closed.value.reason is CloseReason.RESTART
