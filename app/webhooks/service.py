"""What clients do with webhooks: register, change, rotate, test, replay, and read what was delivered."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from loguru import logger

from app.db.postgres import Database, Tx
from app.errors import BadInput, Conflict, Gone, NotFound, Problem
from app.kit.ids import IdSource
from app.webhooks import claim_store, delivery_store, endpoint_store
from app.webhooks.attempt import Attempts
from app.webhooks.model import PER_ACCOUNT, Delivery, DeliveryStatus, EndpointStatus, Wanted, Webhook
from app.webhooks.posting import Posting
from app.webhooks.results import Result, store_results
from app.webhooks.retries import Outcome
from app.webhooks.secrets import EndpointSecrets
from app.webhooks.target import UnusableUrl

PROBE_S = 5.0
REPLAY_AT_ONCE = 5000
TEST_TYPE = "test"

LockLog = Callable[[Tx, str], Awaitable[None]]
"""Becomes the one writer of an account's event log until the transaction ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """A new endpoint, with what is shown only now. ``reachable``: whether it answered a HEAD request at all."""

    webhook: Webhook
    secret: str
    reachable: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """``continue_from``: the number of the first event that was not looked at, where one request did not do."""

    due: int
    continue_from: int | None


class Webhooks:
    """Every function that names a webhook raises NotFound without it, and all raise Unavailable."""

    def __init__(
        self,
        database: Database,
        *,
        lock_log: LockLog,
        posting: Posting,
        attempts: Attempts,
        secrets: EndpointSecrets,
        ids: IdSource,
    ) -> None:
        self._database = database
        self._lock_log = lock_log
        self._posting = posting
        self._attempts = attempts
        self._secrets = secrets
        self._ids = ids

    async def register(self, account_id: str, wanted: Wanted) -> Registered:
        """Raises BadInput for a URL that can never be used, Conflict for an account with ten endpoints."""
        self._check_url(wanted.url)
        webhook_id = self._ids.uuid()
        secret, sealed = self._secrets.new(webhook_id)
        probe = await self._posting.send(wanted.url, headers={}, body=b"", method="HEAD", total_s=PROBE_S)
        async with self._database.transaction() as tx:
            await self._lock_log(tx, account_id)
            if await endpoint_store.count_of_account(tx, account_id) >= PER_ACCOUNT:
                raise Conflict(f"account {account_id} has {PER_ACCOUNT} webhooks already", code="WEBHOOK_LIMIT")
            webhook = await endpoint_store.insert(tx, webhook_id, account_id, wanted, sealed)
        logger.bind(account_id=account_id, webhook_id=webhook_id, action="register").info("webhook registered")
        return Registered(webhook=webhook, secret=secret, reachable=probe.http_status is not None)

    async def list_of(self, account_id: str | None) -> list[Webhook]:
        """The endpoints of one account, or of all."""
        async with self._database.connection() as connection:
            return await endpoint_store.read_all(connection, account_id)

    async def get(self, webhook_id: UUID) -> Webhook:
        """One endpoint."""
        async with self._database.connection() as connection:
            return _found(await endpoint_store.read(connection, webhook_id), webhook_id)

    async def change(self, webhook_id: UUID, changes: dict[str, Any], *, status: EndpointStatus | None) -> Webhook:
        """Replace some of what the client decided, and pause or resume. Raises BadInput for a URL that is unusable."""
        if "url" in changes:
            self._check_url(changes["url"])
        async with self._database.transaction() as tx:
            before = _found(await endpoint_store.read(tx, webhook_id), webhook_id)
            wanted = replace(before.wanted, **changes)
            after = await endpoint_store.update(tx, webhook_id, wanted, status or before.status)
        logger.bind(webhook_id=webhook_id, action="change").info("webhook changed")
        return _found(after, webhook_id)

    async def remove(self, webhook_id: UUID) -> None:
        """Nothing is sent to it from now on, but for what is under way."""
        async with self._database.connection() as connection:
            if not await endpoint_store.delete(connection, webhook_id):
                raise _not_found(webhook_id)
        logger.bind(webhook_id=webhook_id, action="remove").info("webhook removed")

    async def rotate_secret(self, webhook_id: UUID) -> str:
        """A new secret, shown only now; the one before signs too for 24 hours. Raises Conflict without a TOKEN_KEY."""
        secret, sealed = self._secrets.new(webhook_id)
        async with self._database.connection() as connection:
            if not await endpoint_store.rotate(connection, webhook_id, sealed):
                raise _not_found(webhook_id)
        logger.bind(webhook_id=webhook_id, action="rotate").info("webhook secret rotated")
        return secret

    async def test(self, webhook_id: UUID) -> Delivery:
        """Send one signed event of type ``test`` now, whatever the endpoint's status; it is not repeated."""
        data = {"webhook_id": str(webhook_id)}
        async with self._database.connection() as connection:
            delivery_id = await delivery_store.insert_claimed(
                connection, webhook_id, kind=TEST_TYPE, data=data, seconds=claim_store.CLAIM_LASTS_S
            )
            if delivery_id is None:
                raise _not_found(webhook_id)
            claim = await claim_store.read_claim(connection, delivery_id)
        if claim is None:
            raise _not_found(webhook_id)
        stored, decision = await self._attempts.make(claim)
        final = Outcome.GIVEN_UP if decision.outcome is Outcome.FAILED else decision.outcome
        once = replace(stored, outcome=final, delay_s=0.0)
        await store_results(self._database, [Result(claim=claim, stored=once, decision=decision)])
        async with self._database.connection() as connection:
            sent = await delivery_store.read_one(connection, delivery_id)
        if sent is None:
            raise _not_found(webhook_id)
        return sent

    async def replay_one(self, webhook_id: UUID, delivery_id: UUID) -> Replayed:
        """Deliver once more, under the same ``webhook-id``. Raises NotFound."""
        async with self._database.connection() as connection:
            if not await delivery_store.replay_one(connection, webhook_id, delivery_id):
                raise NotFound("delivery", str(delivery_id))
        return Replayed(due=1, continue_from=None)

    async def replay_events(self, webhook_id: UUID, *, first: int, last: int) -> Replayed:
        """Deliver the events of a range that the endpoint wants, also those from before it was registered.

        Raises Gone where the beginning of the range was dropped: without it the range would not be whole.
        """
        async with self._database.transaction() as tx:
            webhook = _found(await endpoint_store.read(tx, webhook_id), webhook_id)
            await self._lock_log(tx, webhook.account_id)
            dropped = await delivery_store.dropped_to(tx, webhook.account_id)
            if first <= dropped:
                raise Gone("event", f"{first} (kept are those from {dropped + 1} on)", code="EVENTS_DROPPED")
            due, reached = await delivery_store.replay_events(
                tx, webhook_id, first=first, last=last, limit=REPLAY_AT_ONCE
            )
        return Replayed(due=due, continue_from=None if reached is None else reached + 1)

    async def deliveries(
        self, webhook_id: UUID, *, status: DeliveryStatus | None, before: tuple[int, UUID] | None, limit: int
    ) -> list[Delivery]:
        """The endpoint's log, those of the newest events first."""
        async with self._database.connection() as connection:
            return await delivery_store.read_log(connection, webhook_id, status=status, before=before, limit=limit)

    def _check_url(self, url: str) -> None:
        try:
            self._posting.target(url)
        except UnusableUrl as error:
            raise BadInput([Problem(loc=("body", "url"), msg=str(error))]) from error


def _found(webhook: Webhook | None, webhook_id: UUID) -> Webhook:
    if webhook is None:
        raise _not_found(webhook_id)
    return webhook


def _not_found(webhook_id: UUID) -> NotFound:
    return NotFound("webhook", str(webhook_id))
