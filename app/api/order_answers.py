"""What all order doors share: who asks under which key, how long to wait, and how the answer is said.

201: the result is known. 202: it is not yet, and ``Location`` says where it will be. Never a 5xx for an order that may
have been sent: client libraries repeat those by themselves.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from http import HTTPStatus
from typing import Annotated
from uuid import UUID

from fastapi import Header, Query

from app.api.dependencies import PrincipalDep, ServicesDep
from app.api.exact_json import ExactJSON
from app.api.order_bodies import DryRunOut, WireRequestOut
from app.broker.port import WireRequest
from app.errors import BadInput, Problem
from app.orders.entry.acceptance import Answer, Caller

_KEY = re.compile(r"[A-Za-z0-9_-]{16,64}\Z")
_PATHS = {"task": "/orders/tasks/{}", "batch": "/advanced/batch-orders/{}"}

IdempotencyHeader = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        description="16-64 of `A-Za-z0-9_-`; the same key and request is the same order, however often it is asked for",
        examples=["my-strategy-2026-001"],
    ),
]
WaitForOrder = Annotated[float, Query(ge=0, le=60, description="seconds to wait for the result")]
DryRun = Annotated[bool, Query(description="check everything and show the broker's requests; store and send nothing")]


async def caller_of(
    services: ServicesDep, principal: PrincipalDep, idempotency_key: IdempotencyHeader = None
) -> Caller:
    """Raises BadInput for a key of the wrong shape, or a missing one in production."""
    if idempotency_key is None:
        if services.settings.environment == "production":
            problem = Problem(loc=("header", "Idempotency-Key"), msg="is required in production")
            raise BadInput([problem], code="IDEMPOTENCY_KEY_MISSING")
        return Caller(principal=principal.key_id)
    key = idempotency_key.strip('"')
    if not _KEY.match(key):
        raise BadInput([Problem(loc=("header", "Idempotency-Key"), msg="must be 16 to 64 of A-Z a-z 0-9 _ -")])
    return Caller(principal=principal.key_id, idem_key=key)


def say(answer: Answer) -> ExactJSON:
    """The answer with its status and headers."""
    headers = {"Location": _PATHS[answer.kind].format(answer.resource_id)}
    if answer.replayed:
        headers["Idempotent-Replayed"] = "true"
    status = HTTPStatus.CREATED if answer.final else HTTPStatus.ACCEPTED
    return ExactJSON(answer.document, status_code=status, headers=headers)


def say_dry_run(requests: Sequence[WireRequest]) -> ExactJSON:
    shown = [WireRequestOut(method=one.method, path=one.path, form=dict(one.form)) for one in requests]
    return ExactJSON(DryRunOut(requests=shown).model_dump())


def cursor_uuid(cursor: str | None) -> UUID | None:
    """The id that a page ended with. Raises BadInput for anything else."""
    if cursor is None:
        return None
    try:
        return UUID(cursor)
    except ValueError as error:
        raise BadInput([Problem(loc=("query", "cursor"), msg="is not a cursor of this list")]) from error
