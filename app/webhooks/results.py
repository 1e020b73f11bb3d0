"""Stores what came of attempts, many in one transaction, and what it means for their endpoints."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from loguru import logger

from app.db.postgres import Database, Tx
from app.webhooks import claim_store, endpoint_store
from app.webhooks.claim_store import Stored
from app.webhooks.endpoint_store import Failing
from app.webhooks.model import Claim, EndpointStatus
from app.webhooks.retries import Decision, Outcome, blocks_order, cool_down_s, is_dead

WARN_AFTER = 4
"""Failures in a row that an operator should know of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """An attempt that is over."""

    claim: Claim
    stored: Stored
    decision: Decision


async def store_results(database: Database, results: Sequence[Result]) -> None:
    """Write all of them or none. Raises Unavailable."""
    async with database.transaction() as tx:
        await claim_store.store(tx, [one.stored for one in results])
        good = {one.claim.webhook_id for one in results if one.decision.outcome is Outcome.DELIVERED}
        if good:
            await endpoint_store.note_successes(tx, sorted(good))
        bad = Counter(one.claim.webhook_id for one in results if one.claim.webhook_id not in good)
        if bad:
            for failing in await endpoint_store.note_failures(tx, sorted(bad.items())):
                await _follow(tx, failing)
        for webhook_id in {one.claim.webhook_id for one in results if one.decision.disable}:
            await _end(tx, webhook_id, EndpointStatus.DISABLED, why="the receiver answers 410: gone")


async def _follow(tx: Tx, failing: Failing) -> None:
    """An endpoint that goes on failing rests, is paused, or is disabled."""
    if failing.failures == WARN_AFTER:
        logger.bind(webhook_id=failing.webhook_id, failures=failing.failures).warning("a webhook keeps failing")
    rest_s = cool_down_s(failing.failures)
    if is_dead(failures=failing.failures, failing_s=failing.failing_s):
        await _end(tx, failing.webhook_id, EndpointStatus.DISABLED, why="it has failed for days")
    elif blocks_order(ordered=failing.ordered, failing_s=failing.failing_s):
        await _end(tx, failing.webhook_id, EndpointStatus.PAUSED, why="its next delivery in order keeps failing")
    elif rest_s > 0.0:
        await endpoint_store.rest(tx, failing.webhook_id, seconds=rest_s)


async def _end(tx: Tx, webhook_id: UUID, status: EndpointStatus, *, why: str) -> None:
    if await endpoint_store.end(tx, webhook_id, status):
        logger.bind(webhook_id=webhook_id, status=status.value, reason=why).error("a webhook gets nothing any more")
