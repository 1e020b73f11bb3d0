"""Who sends this order request, and under which ``Idempotency-Key``?

Only the key's shape is checked here; ``app.orders.entry`` checks whether it was used before, and for what.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from fastapi import Depends, Header, Request

from app.api.dependencies import PrincipalDep, ServicesDep
from app.errors import BadInput, Problem
from app.kit.clock import elapsed_s
from app.orders.entry.acceptance import Caller

NEEDS_KEY = {"x-needs-idempotency-key": True}
"""For the ``openapi_extra`` of a route that refuses requests without a key in every environment."""

IdempotencyHeader = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        pattern=r'^"?[A-Za-z0-9_-]{16,64}"?$',
        description="16-64 of `A-Za-z0-9_-`; the same key and request is the same order, however often it is sent",
        json_schema_extra={"pattern": "^[A-Za-z0-9_-]{16,64}$"},
        examples=["my-strategy-2026-001"],
    ),
]


async def caller_of(
    request: Request, services: ServicesDep, principal: PrincipalDep, idempotency_key: IdempotencyHeader = None
) -> Caller:
    """The caller with its key; quotes around the key do not count.

    Raises BadInput in production for a missing key.
    """
    arrived_at = services.clock.now() - timedelta(seconds=elapsed_s() - request.state.arrived_s)
    if idempotency_key is None:
        if services.settings.environment == "production":
            problem = Problem(loc=("header", "Idempotency-Key"), msg="is required in production")
            raise BadInput([problem], code="IDEMPOTENCY_KEY_MISSING")
        return Caller(principal=principal.client_name, arrived_at=arrived_at)
    key = idempotency_key.strip('"')
    return Caller(principal=principal.client_name, idem_key=key, arrived_at=arrived_at)


CallerDep = Annotated[Caller, Depends(caller_of)]
