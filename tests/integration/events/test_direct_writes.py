"""Events that are written straight to connections on which nothing else waits: whole, in order, checked like others."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from pydantic import SecretStr
from websockets.asyncio.client import ClientConnection, connect

from app.composition.parts import Overrides
from app.config import Settings
from app.db.postgres import open_database
from app.events.limits import StreamLimits
from app.events.model import LogHead
from app.events.order_reader import EventItem, Item, OrderReader
from app.events.protocol import text_message
from app.events.resume import SocketStart
from app.kit.broadcast import Mailbox
from tests.integration.conftest import API_KEY, RunningService, revoke_old_key, running_service
from tests.integration.events.conftest import append, receive, wait_closed


@asynccontextmanager
async def reading(service: RunningService, *, key: str = API_KEY, **resume: Any) -> AsyncIterator[ClientConnection]:
    async with connect(f"{service.ws_url}/advanced/ws/orders/primary", max_size=None) as socket:
        await socket.send(json.dumps({"type": "auth", "api_key": key} | ({"resume": resume} if resume else {})))
        if not (await receive(socket))["resumed"]:
            await receive(socket)
        yield socket


async def write(service: RunningService, count: int = 1, *, size: int = 0) -> None:
    database = await open_database(service.settings.database_dsn, name="test", min_size=1, max_size=1)
    await append(database, count, size=size)
    await database.close()
    service.services.order_stream.wake("primary")


async def sequence(socket: ClientConnection, count: int) -> list[int]:
    seqs: list[int] = []
    while len(seqs) < count:
        message = await receive(socket)
        if message["type"] == "order_update":
            seqs.append(message["seq"])
    return seqs


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65_535, 65_536])
def test_a_message_of_each_length_is_read_back_by_the_library(size: int) -> None:
    """Every form that the length of a frame has."""
    from websockets.client import ClientProtocol  # noqa: PLC0415 - for this test only
    from websockets.frames import Frame  # noqa: PLC0415
    from websockets.protocol import State  # noqa: PLC0415
    from websockets.uri import parse_uri  # noqa: PLC0415

    client = ClientProtocol(parse_uri("ws://127.0.0.1/"), state=State.OPEN, max_size=None)
    client.receive_data(text_message("x" * size))
    (frame,) = client.events_received()
    assert isinstance(frame, Frame)
    assert (bytes(frame.data), frame.fin) == (b"x" * size, True)


async def test_events_of_every_size_arrive_whole_and_in_order(service: RunningService) -> None:
    """Beside pongs, and beside a client that reads nothing for a while."""
    async with reading(service) as one, reading(service) as other:
        for size in (0, 100, 1000, 70_000):
            await write(service, size=size)
            await one.send("ping")
        numbers = [message async for message in _until_pongs(one, pongs=4, events=4)]
        assert numbers == [1, 2, 3, 4]
        assert await sequence(other, 4) == [1, 2, 3, 4]


async def _until_pongs(socket: ClientConnection, *, pongs: int, events: int) -> AsyncIterator[int]:
    while pongs or events:
        text = await socket.recv()
        if text == "pong":
            pongs -= 1
            continue
        message = json.loads(text)
        if message["type"] == "order_update":
            events -= 1
            yield message["seq"]


async def test_cuts_in_a_burst_lose_and_repeat_nothing(service: RunningService) -> None:
    """Direct writes and the mailbox take over from one another many times."""
    dice, total = random.Random(3), 150
    async with reading(service):
        pass
    greeting = (await service.client.get("/events")).json()

    async def fill() -> None:
        for _ in range(total // 3):
            await write(service, 3, size=dice.randint(0, 20_000))

    writing = asyncio.create_task(fill())
    seen: list[int] = []
    while len(seen) < total:
        async with reading(service, epoch=greeting["epoch"], seq=len(seen)) as socket:
            seen += await sequence(socket, min(dice.randint(1, 30), total - len(seen)))
    await writing
    assert seen == list(range(1, total + 1))


async def test_a_key_that_is_gone_gets_no_event_any_more(settings: Settings) -> None:
    """Also where the event could be written at once."""
    limits = StreamLimits(recheck_key_s=0.0)
    with_old = settings.model_copy(update={"api_key_old": SecretStr("the-key-before-this-one")})
    overrides, old = Overrides(stream_limits=limits), "the-key-before-this-one"
    async with running_service(with_old, overrides=overrides) as service, reading(service, key=old) as socket:
        revoke_old_key(service)
        await write(service)
        assert await wait_closed(socket) == (1008, "unauthorized")


async def test_only_the_next_event_of_an_idle_reader_is_written_at_once(service: RunningService) -> None:
    """Not while it waits for another one, has something to send, or the connection takes nothing."""
    written: list[bytes] = []
    takes = True

    def take(message: bytes) -> bool:
        if takes:
            written.append(message)
        return takes

    box: Mailbox[Item] = Mailbox(limit=10)
    start = SocketStart(head=LogHead(account_id="primary", epoch="e", seq=0), last=0, orders=None)
    reader = OrderReader(service.services.events, box=box, start=start)
    reader.write_with(take)
    assert len(await reader.next_batch()) == 1
    box.put(EventItem(1, "one", b"1"))  # the greeting is being sent
    assert await reader.next_batch() == ["one"]
    waiting = asyncio.create_task(reader.next_batch())
    await asyncio.sleep(0)
    box.put(EventItem(2, "two", b"2"))
    box.put(EventItem(2, "two", b"2"))  # a repeat goes into the mailbox, which drops it
    box.put(EventItem(3, "three", b"3"))
    assert (written, await waiting) == ([b"2"], ["three"])
    waiting = asyncio.create_task(reader.next_batch())
    await asyncio.sleep(0)
    takes = False
    box.put(EventItem(4, "four", b"4"))
    assert (written, await waiting) == ([b"2"], ["four"])
