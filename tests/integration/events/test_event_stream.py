"""GET /events/stream: Server-Sent Events of the whole service, resumed exactly after the last one."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from app.composition.parts import Overrides
from app.config import Settings
from app.db.postgres import Database, open_database
from app.events.limits import StreamLimits
from tests.integration.conftest import RunningService, revoke_old_key, running_service
from tests.integration.events.conftest import WAIT_S, append, check_message


@dataclass(kw_only=True)
class Events:
    """What a client reads: the fields of each event as they stand, comments under ``:``."""

    lines: AsyncIterator[str]
    last_id: str | None = None
    retries: list[int] = field(default_factory=list)

    async def next_event(self) -> dict[str, str]:
        found: dict[str, str] = {}
        async with asyncio.timeout(WAIT_S):
            async for line in self.lines:
                if not line and found:
                    if "retry" in found:
                        self.retries.append(int(found.pop("retry")))
                    if found:
                        self.last_id = found.get("id", self.last_id)
                        return found
                name, _, value = line.partition(":")
                found[name or ":"] = value.removeprefix(" ")
        raise EOFError

    async def message(self) -> dict[str, Any]:
        """The next message; heartbeats are passed over."""
        while "data" not in (event := await self.next_event()):
            pass
        message: dict[str, Any] = json.loads(event["data"])
        return message

    async def sequence(self, count: int) -> list[int]:
        return [(await self.message())["seq"] for _ in range(count)]


@asynccontextmanager
async def listening(client: httpx.AsyncClient, last_id: str | None = None) -> AsyncIterator[Events]:
    headers = {} if last_id is None else {"Last-Event-ID": last_id}
    async with client.stream("GET", "/events/stream", headers=headers) as answer:
        assert (answer.status_code, answer.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
        yield Events(lines=answer.aiter_lines())


@pytest.fixture
async def database(service: RunningService) -> AsyncIterator[Database]:
    database = await open_database(service.settings.database_dsn, name="test", min_size=1, max_size=2)
    yield database
    await database.close()


async def write(service: RunningService, database: Database, count: int = 1) -> None:
    await append(database, count)
    service.services.order_stream.wake("primary")


async def test_a_client_gets_a_snapshot_then_events_and_goes_on_after_the_last(
    service: RunningService, database: Database
) -> None:
    """Each message is the WebSocket's; the id of the last one is all that a client needs."""
    await write(service, database, 2)
    async with listening(service.client) as events:
        greeting, snapshot = await events.message(), await events.message()
        assert (greeting["resumed"], snapshot["seq"], events.last_id) == (False, 2, "first:2")
        await write(service, database, 2)
        update = await events.message()
        check_message(update)
        assert (update["seq"], events.last_id) == (3, "first:3")
        assert 1000 <= events.retries[0] <= 5000
    async with listening(service.client, "first:3") as events:
        assert (await events.message())["resumed"]
        assert events.last_id == "first:3"
        await write(service, database)
        assert await events.sequence(2) == [4, 5]


async def test_a_client_that_got_no_snapshot_begins_again(service: RunningService, database: Database) -> None:
    """The greeting before the snapshot has no id: a client that is cut off between the two has nothing yet."""
    await write(service, database, 2)
    async with listening(service.client) as events:
        assert "id" not in await events.next_event()
        assert events.last_id is None
        assert (await events.next_event())["id"] == "first:2"


@pytest.mark.parametrize("last_id", ["another:3", "first:99", "first:0"])
async def test_a_client_that_cannot_go_on_is_given_a_snapshot(
    service: RunningService, database: Database, last_id: str
) -> None:
    """Of another log, ahead of it, or behind what was dropped: never a part of the events."""
    await write(service, database, 5)
    async with database.connection() as connection:
        await connection.execute("DELETE FROM event WHERE seq <= 2")
    async with listening(service.client, last_id) as events:
        assert not (await events.message())["resumed"]
        assert (await events.message())["type"] == "snapshot"


async def test_cuts_at_random_lose_and_repeat_nothing(service: RunningService, database: Database) -> None:
    """Beside a writer: 1, 2, 3, ... over many connections."""
    dice, total = random.Random(7), 120
    async with listening(service.client) as events:
        await events.message(), await events.message()
        last_id = events.last_id

    async def fill() -> None:
        for _ in range(total // 3):
            await write(service, database, 3)

    writing = asyncio.create_task(fill())
    seen: list[int] = []
    while len(seen) < total:
        async with listening(service.client, last_id) as events:
            assert (await events.message())["resumed"]
            seen += await events.sequence(min(dice.randint(1, 20), total - len(seen)))
            last_id = events.last_id
    await writing
    assert seen == list(range(1, total + 1))


async def test_requests_that_cannot_be_served_are_refused_before_anything_is_sent(service: RunningService) -> None:
    """No key, no account, an id that is none."""
    assert (await service.anonymous.get("/events/stream")).status_code == 401
    assert (await service.client.get("/events/stream", params={"account_id": "missing"})).status_code == 404
    assert (await service.client.get("/events/stream", headers={"Last-Event-ID": "12"})).status_code == 400


async def test_a_stop_says_why_and_refuses_newcomers(service: RunningService, database: Database) -> None:
    """The client knows that it may come again; the service does not wait for it."""
    async with listening(service.client) as events:
        await events.message(), await events.message()
        closing = asyncio.create_task(service.services.order_stream.close(timeout=WAIT_S))
        closed = await events.next_event()
        assert (closed["event"], json.loads(closed["data"])) == ("closed", {"code": 1012, "reason": "restart"})
        with pytest.raises(EOFError):
            await events.next_event()
        assert await closing == 0
    assert (await service.client.get("/events/stream")).status_code == 503


async def test_heartbeats_are_comments_and_places_are_limited(settings: Settings) -> None:
    """A client that reads nothing but comments has missed nothing; one too many is refused."""
    limits = StreamLimits(heartbeat_s=0.05, connections_per_account=1)
    overrides = Overrides(stream_limits=limits)
    async with running_service(settings, overrides=overrides) as service, listening(service.client) as events:
        await events.message(), await events.message()
        comment = await events.next_event()
        assert json.loads(comment[":"]) == {"type": "heartbeat", "seq": 0}
        assert events.last_id is not None
        assert (await service.client.get("/events/stream")).status_code == 429
        assert service.services.order_stream.stats().connections == {"primary": 1}


async def test_a_key_that_is_revoked_ends_the_stream(settings: Settings) -> None:
    """Also of a client that never sends anything."""
    old = "the-key-before-this-one"
    limits = StreamLimits(heartbeat_s=0.05, recheck_key_s=0.0)
    with_old = settings.model_copy(update={"api_key_old": SecretStr(old)})
    async with running_service(with_old, overrides=Overrides(stream_limits=limits)) as service:
        service.client.headers["X-API-Key"] = old
        async with listening(service.client) as events:
            await events.message(), await events.message()
            revoke_old_key(service)
            while (event := await events.next_event()).get("event") != "closed":
                pass
            assert json.loads(event["data"]) == {"code": 1008, "reason": "unauthorized"}
