"""How a socket starts: head and snapshot are of one moment, whatever is written meanwhile."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import pytest

from app.db.postgres import Database, Tx, open_database
from app.events.resume import start_of_socket
from tests.integration.events.conftest import append, orders_of_the_day


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = await open_database(database_url, name="recovery")
    yield database
    await database.close()


async def test_an_event_between_head_and_snapshot_is_in_neither(database: Database) -> None:
    """Else a client would get it twice, or the state after it under a number before it."""

    async def snapshot(tx: Tx, account_id: str) -> Sequence[Mapping[str, Any]]:
        await append(database, 2)
        return await orders_of_the_day(tx, account_id)

    await append(database, 3)
    started = await start_of_socket(database, "primary", resume=None, limit=10, snapshot=snapshot)
    assert (started.head.seq, started.last) == (3, 3)
    assert started.orders is not None
    assert [one["events"] for one in started.orders] == [3]
