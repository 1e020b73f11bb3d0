"""The event log in PostgreSQL: gap-free, in commit order, exact."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from decimal import Decimal

import psycopg
import pytest
import pytest_asyncio

from app.api.events import read_page
from app.db.postgres import Database, open_database
from app.events import event_append_store, resume
from app.events.event_log import MAX_PAGE, EventLog
from app.events.model import NewEvent


@pytest_asyncio.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = await open_database(database_url, name="test", max_size=6)
    yield database
    await database.close()


def update(number: int) -> NewEvent:
    return NewEvent(type="order_updated", data={"number": number})


async def write(database: Database, *events: NewEvent, account_id: str = "primary") -> None:
    async with database.transaction() as tx:
        await event_append_store.lock(tx, account_id, epoch="first")
        await event_append_store.append(tx, account_id, events)


async def test_events_are_numbered_from_one_in_the_order_given(database: Database) -> None:
    """Several in one statement keep their order."""
    await write(database, *(update(number) for number in range(1, 6)))
    await write(database, update(6))
    events = await EventLog(database).page("primary", after=0)
    assert [event.seq for event in events] == [1, 2, 3, 4, 5, 6]
    assert [json.loads(event.data)["number"] for event in events] == [1, 2, 3, 4, 5, 6]


async def test_a_rolled_back_change_leaves_no_gap(database: Database) -> None:
    """The number goes with the transaction."""
    await write(database, update(1))
    async with database.transaction() as tx:
        await event_append_store.lock(tx, "primary", epoch="first")
        await event_append_store.append(tx, "primary", [update(2)])
        raise psycopg.Rollback
    await write(database, update(2))
    assert [event.seq for event in await EventLog(database).page("primary", after=0)] == [1, 2]


async def test_concurrent_writers_leave_neither_gap_nor_repeat(database: Database) -> None:
    """And times never go back along the sequence."""
    await asyncio.gather(*(write(database, update(0), update(1)) for _ in range(40)))
    events = await EventLog(database).page("primary", after=0)
    assert [event.seq for event in events] == list(range(1, 81))
    times = [event.occurred_at for event in events]
    assert times == sorted(times)


async def test_writing_without_the_lock_is_refused(database: Database) -> None:
    """A log that was never opened cannot be written."""
    async with database.transaction() as tx:
        with pytest.raises(LookupError, match="missing"):
            await event_append_store.append(tx, "missing", [update(1)])


async def test_the_first_name_of_a_log_stays(database: Database) -> None:
    """Two processes that open it at once agree."""
    heads = await asyncio.gather(*(resume.open_head(database, "primary", epoch=f"e{n}") for n in range(6)))
    assert len({head.epoch for head in heads}) == 1
    await write(database, update(1))
    head = await EventLog(database).head("primary")
    assert head is not None
    assert (head.epoch, head.seq) == (heads[0].epoch, 1)


async def test_a_page_is_bounded_and_goes_on_where_it_ended(database: Database) -> None:
    """At most 500, whatever the limit."""
    await write(database, *(update(number) for number in range(600)))
    log = EventLog(database)
    first = await log.page("primary", after=0, limit=10_000)
    assert len(first) == MAX_PAGE
    assert [event.seq for event in await log.page("primary", after=first[-1].seq)] == list(range(501, 601))


async def test_the_http_page_says_where_it_goes_on(database: Database) -> None:
    """A cursor until the end, then null; the head either way."""
    await write(database, *(update(number) for number in range(5)))
    log = EventLog(database)
    page = json.loads(await read_page(log, "primary", after=0, limit=3))
    assert ([event["seq"] for event in page["data"]], page["next_cursor"]) == ([1, 2, 3], "3")
    rest = json.loads(await read_page(log, "primary", after=3, limit=3))
    assert ([event["seq"] for event in rest["data"]], rest["next_cursor"]) == ([4, 5], None)
    assert (rest["epoch"], rest["seq"]) == ("first", 5)


async def test_an_account_without_events_has_an_empty_page(database: Database) -> None:
    """No epoch yet, nothing at all."""
    page = json.loads(await read_page(EventLog(database), "primary", after=0, limit=3))
    assert page == {"data": [], "next_cursor": None, "epoch": None, "seq": 0, "oldest": None}


async def test_decimals_leave_as_they_came(database: Database) -> None:
    """No detour through binary floats."""
    await write(database, NewEvent(type="order_updated", data={"average_price": Decimal("1500.10")}))
    assert b'"average_price": 1500.10' in await read_page(EventLog(database), "primary", after=0, limit=1)
