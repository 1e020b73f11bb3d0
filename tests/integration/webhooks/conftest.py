"""Webhooks on a real database, delivering to a receiver on loopback."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpcore
import pytest_asyncio

from app.db.postgres import Database, Tx, open_database
from app.events import event_append_store
from app.events.model import NewEvent
from app.kit.clock import SystemClock
from app.kit.ids import IdSource
from app.kit.sealing import Sealer
from app.webhooks.attempt import Attempts
from app.webhooks.delivery import DeliveryLoop
from app.webhooks.housekeeping import Housekeeping
from app.webhooks.kept_connections import KeptConnections
from app.webhooks.model import Wanted
from app.webhooks.name_lookup import NameLookup, resolve
from app.webhooks.posting import Posting
from app.webhooks.secrets import EndpointSecrets
from app.webhooks.service import Registered, Webhooks
from tests.integration.webhooks.receiver import Received, Receiver, running_receiver
from tests.waiting import running_tasks, until

SEALING_KEY = b"k" * 32
ACCOUNT = "primary"


async def lock_log(tx: Tx, account_id: str) -> None:
    await event_append_store.lock(tx, account_id, epoch="first")


def make_attempts(kept: KeptConnections | None = None) -> tuple[Posting, EndpointSecrets, Attempts]:
    posting = Posting(
        names=NameLookup(resolve),
        dialer=httpcore.AnyIOBackend(),
        tls=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
        clock=SystemClock(),
        kept=kept or KeptConnections(SystemClock()),
        allow_loopback=True,
    )
    secrets = EndpointSecrets(Sealer(SEALING_KEY), random_bytes=lambda count: bytes(range(count)))
    return posting, secrets, Attempts(posting, secrets=secrets, clock=SystemClock(), random=lambda: 0.5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """``loop`` delivers while ``delivering``; a test makes rows due by ``make_due`` instead of waiting."""

    database: Database
    database_url: str
    receiver: Receiver
    service: Webhooks
    housekeeping: Housekeeping
    kept: KeptConnections

    def new_loop(self) -> DeliveryLoop:
        return DeliveryLoop(self.database, attempts=make_attempts(self.kept)[2])

    @asynccontextmanager
    async def delivering(self, count: int = 1) -> AsyncIterator[list[DeliveryLoop]]:
        """So many processes, as far as the database can tell."""
        loops = [self.new_loop() for _ in range(count)]
        async with running_tasks(*(loop.run() for loop in loops)):
            yield loops

    async def register(self, path: str = "/hook", *, account_id: str = ACCOUNT, **wanted: Any) -> Registered:
        fields: dict[str, Any] = {
            "url": self.receiver.url(path),
            "events": [],
            "tags": [],
            "ordered": False,
            "max_age_s": None,
            "description": "",
        }
        return await self.service.register(account_id, Wanted(**fields | wanted))

    async def append(
        self, *kinds: str, account_id: str = ACCOUNT, data: Mapping[str, Any] | None = None, times: int = 1
    ) -> None:
        """These events in one transaction, as the engine writes them."""
        events = [NewEvent(type=kind, data=data or {"order_id": "1", "tag": None}) for kind in kinds] * times
        async with self.database.transaction() as tx:
            await lock_log(tx, account_id)
            await event_append_store.append(tx, account_id, events)

    async def sql(self, statement: str, *values: Any) -> Sequence[tuple[Any, ...]]:
        async with self.database.connection() as connection:
            cursor = await connection.execute(statement, values)
            return await cursor.fetchall() if cursor.description else []

    async def make_due(self) -> None:
        """As if the time of every delay and every rest were over."""
        await self.sql("UPDATE webhook_delivery SET due_at = now() WHERE status = 'pending'")
        await self.sql("UPDATE webhook SET retry_at = NULL")

    async def statuses(self, webhook_id: UUID) -> list[tuple[int, str]]:
        """(seq, status) of each delivery, in order."""
        rows = await self.service.deliveries(webhook_id, status=None, before=None, limit=500)
        return [(one.seq, one.status.value) for one in reversed(rows)]

    async def received(self, path: str, count: int) -> list[Received]:
        """The requests for a path, as soon as there are so many."""

        async def enough() -> bool:
            return len(self.receiver.at(path)) >= count

        await until(enough)
        return self.receiver.at(path)

    async def settled(self, webhook_id: UUID, **expected: int) -> None:
        """Wait until the endpoint's deliveries are so: ``delivered=3, failed=1``."""

        async def so() -> bool:
            found = [status for _, status in await self.statuses(webhook_id)]
            return {status: found.count(status) for status in set(found)} == expected

        await until(so)


@asynccontextmanager
async def environment(database_url: str) -> AsyncIterator[Environment]:
    async with AsyncExitStack() as stack:
        database = await open_database(database_url, name="test", max_size=8)
        stack.push_async_callback(database.close)
        receiver = await stack.enter_async_context(running_receiver())
        kept = KeptConnections(SystemClock())
        stack.push_async_callback(kept.close)
        posting, secrets, attempts = make_attempts(kept)
        yield Environment(
            database=database,
            database_url=database_url,
            receiver=receiver,
            service=Webhooks(
                database,
                lock_log=lock_log,
                posting=posting,
                attempts=attempts,
                secrets=secrets,
                ids=IdSource(SystemClock()),
            ),
            housekeeping=Housekeeping(database),
            kept=kept,
        )


@pytest_asyncio.fixture
async def hooks(database_url: str) -> AsyncIterator[Environment]:
    async with environment(database_url) as made:
        yield made
