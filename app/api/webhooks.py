"""Webhooks: endpoints that get each event of an account as a signed request (https://www.standardwebhooks.com)."""

from __future__ import annotations

from uuid import UUID

from fastapi import APIRouter, Response

from app.api.dependencies import (
    DATABASE_S,
    AccountFilter,
    PrincipalDep,
    ServicesDep,
    require_account,
    require_account_or_all,
)
from app.api.keys import Principal
from app.api.problems import problem_responses
from app.api.services import Services
from app.api.strict_route import StrictRoute
from app.api.webhook_bodies import (
    NewWebhookOut,
    SecretOut,
    WebhookChangesIn,
    WebhookIn,
    WebhookOut,
    WebhooksOut,
    webhook_fields,
)
from app.kit.answer_time import answering_within
from app.webhooks.model import EndpointStatus, Wanted, Webhook
from app.webhooks.service import PROBE_S


def build_router() -> APIRouter:
    router = APIRouter(
        route_class=StrictRoute, prefix="/advanced/webhooks", tags=["webhooks"], responses=problem_responses(401, 403)
    )

    @router.post("", status_code=201, responses=problem_responses(400, 404, 409, 503))
    async def register(services: ServicesDep, principal: PrincipalDep, body: WebhookIn) -> NewWebhookOut:
        """Send the account's events to this URL from now on. Keep the secret: it is not shown again."""
        require_account(services, principal=principal, account_id=body.account_id)
        with answering_within(PROBE_S + DATABASE_S):
            made = await services.webhooks.register(
                body.account_id, Wanted(**body.model_dump(mode="json", exclude={"account_id"}))
            )
        return NewWebhookOut(**webhook_fields(made.webhook), secret=made.secret, reachable=made.reachable)

    @router.get("", responses=problem_responses(400, 404, 503))
    async def list_webhooks(
        services: ServicesDep, principal: PrincipalDep, account_id: AccountFilter = None
    ) -> WebhooksOut:
        """The endpoints, the oldest first."""
        require_account_or_all(services, principal=principal, account_id=account_id)
        found = await services.webhooks.list_of(account_id)
        return WebhooksOut(data=[WebhookOut(**webhook_fields(one)) for one in found])

    @router.get("/{webhook_id}", responses=problem_responses(400, 404, 503))
    async def get_webhook(services: ServicesDep, principal: PrincipalDep, webhook_id: UUID) -> WebhookOut:
        """One endpoint; the secret is not shown."""
        return WebhookOut(**webhook_fields(await own_webhook(services, principal, webhook_id)))

    @router.patch("/{webhook_id}", responses=problem_responses(400, 404, 503))
    async def change(
        services: ServicesDep, principal: PrincipalDep, webhook_id: UUID, body: WebhookChangesIn
    ) -> WebhookOut:
        """Change an endpoint, pause it, or make it active again. Events that it missed come by a replay."""
        await own_webhook(services, principal, webhook_id)
        changes = body.model_dump(mode="json", exclude_unset=True, exclude={"status"})
        changes = {name: value for name, value in changes.items() if value is not None or name == "max_age_s"}
        status = None if body.status is None else EndpointStatus(body.status)
        return WebhookOut(**webhook_fields(await services.webhooks.change(webhook_id, changes, status=status)))

    @router.delete("/{webhook_id}", status_code=204, responses=problem_responses(400, 404, 503))
    async def remove(services: ServicesDep, principal: PrincipalDep, webhook_id: UUID) -> Response:
        """Remove an endpoint, its secret, and what is due to it."""
        await own_webhook(services, principal, webhook_id)
        await services.webhooks.remove(webhook_id)
        return Response(status_code=204)

    @router.post("/{webhook_id}/rotate-secret", responses=problem_responses(400, 404, 409, 503))
    async def rotate_secret(services: ServicesDep, principal: PrincipalDep, webhook_id: UUID) -> SecretOut:
        """Sign with a new secret; for 24 hours each request carries the signature of the old one too."""
        await own_webhook(services, principal, webhook_id)
        return SecretOut(webhook_id=webhook_id, secret=await services.webhooks.rotate_secret(webhook_id))

    return router


async def own_webhook(services: Services, principal: Principal, webhook_id: UUID) -> Webhook:
    """The endpoint, if the caller may use its account. Raises NotFound, NotAuthorised."""
    webhook = await services.webhooks.get(webhook_id)
    require_account(services, principal=principal, account_id=webhook.account_id)
    return webhook
