"""What was delivered to a webhook, and delivering again: the log, a test event, a replay."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query

from app.api.dependencies import DATABASE_S, PrincipalDep, ServicesDep
from app.api.paging import DeliveryCursor, Page, PageLimit
from app.api.problems import problem_responses
from app.api.strict_route import StrictRoute
from app.api.webhook_bodies import DeliveryOut, ReplayIn, ReplayOut, delivery_out
from app.api.webhooks import own_webhook
from app.kit.answer_time import answering_within
from app.webhooks.model import Delivery, DeliveryStatus
from app.webhooks.posting import TOTAL_S

NEWEST = 10**18
DeliveryFilter = Annotated[DeliveryStatus | None, Query(description="only deliveries that are so")]


def build_router() -> APIRouter:
    router = APIRouter(
        route_class=StrictRoute, prefix="/advanced/webhooks", tags=["webhooks"], responses=problem_responses(401, 403)
    )

    @router.post("/{webhook_id}/test", responses=problem_responses(400, 404, 503))
    async def test(services: ServicesDep, principal: PrincipalDep, webhook_id: UUID) -> DeliveryOut:
        """Send a signed event of type `test` now, and wait for the endpoint's answer."""
        await own_webhook(services, principal, webhook_id)
        with answering_within(TOTAL_S + DATABASE_S):
            return delivery_out(await services.webhooks.test(webhook_id))

    @router.post("/{webhook_id}/replay", status_code=202, responses=problem_responses(400, 404, 410, 503))
    async def replay(services: ServicesDep, principal: PrincipalDep, webhook_id: UUID, body: ReplayIn) -> ReplayOut:
        """Deliver again, with the same `webhook-id` as before and the header `webhook-replay: 1`."""
        await own_webhook(services, principal, webhook_id)
        if body.delivery_id is not None:
            done = await services.webhooks.replay_one(webhook_id, body.delivery_id)
        else:
            first, last = body.from_seq or 1, body.to_seq or NEWEST
            done = await services.webhooks.replay_events(webhook_id, first=first, last=last)
        return ReplayOut(due=done.due, continue_from=done.continue_from)

    @router.get("/{webhook_id}/deliveries", responses=problem_responses(400, 404, 503))
    async def deliveries(
        services: ServicesDep,
        principal: PrincipalDep,
        webhook_id: UUID,
        status: DeliveryFilter = None,
        limit: PageLimit = 100,
        cursor: DeliveryCursor = None,
    ) -> Page[DeliveryOut]:
        """What was sent, will be sent, or was given up; those of the newest events first."""
        await own_webhook(services, principal, webhook_id)
        before = _place_of(cursor)
        found = await services.webhooks.deliveries(webhook_id, status=status, before=before, limit=limit)
        return Page(data=[delivery_out(one) for one in found], next_cursor=_cursor_after(found, limit=limit))

    return router


def _cursor_after(found: Sequence[Delivery], *, limit: int) -> str | None:
    return f"{found[-1].seq}:{found[-1].delivery_id}" if len(found) == limit else None


def _place_of(cursor: str | None) -> tuple[int, UUID] | None:
    """Where the page before ended."""
    if cursor is None:
        return None
    seq, _, delivery_id = cursor.partition(":")
    return int(seq), UUID(delivery_id)
