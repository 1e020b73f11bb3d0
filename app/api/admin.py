"""The operator's doors: halt, resume, and the trail of who did what."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field, model_validator
from starlette.responses import Response

from app.api.dependencies import Page, PageCursor, PageLimit, PrincipalDep, RequestIdDep, ServicesDep, require_account
from app.api.exact_json import ExactJSON
from app.api.keys import Principal
from app.api.order_answers import cursor_uuid
from app.api.order_bodies import STORABLE
from app.api.problems import problem_responses
from app.api.services import Services
from app.broker.identifiers import AccountId
from app.errors import NotAuthorised
from app.orders.risk.halts import halt_document
from app.orders.state.audit import Actor

Reason = Annotated[
    str, Field(min_length=1, max_length=500, pattern=STORABLE, description="for whoever reads the trail")
]


class ScopeIn(BaseModel):
    model_config = ConfigDict(extra="forbid")

    scope: Literal["global", "account"]
    account_id: AccountId | None = None
    reason: Reason

    @model_validator(mode="after")
    def _scope_and_account_agree(self) -> Self:
        if (self.scope == "account") != (self.account_id is not None):
            raise ValueError("account_id goes with scope account, and only with it")
        return self


class KillIn(ScopeIn):
    """`halt` stops everything but cancels; `reduce_only` also lets through what is proven to reduce a position."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"example": {"scope": "global", "mode": "halt", "reason": "feed looks wrong"}}
    )

    mode: Literal["halt", "reduce_only"] = "halt"
    cancel_open: bool = False


class ResumeIn(ScopeIn):
    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"example": {"scope": "global", "reason": "feed is back"}}
    )


class HaltOut(BaseModel):
    scope: Literal["global", "account"]
    account_id: str | None
    mode: Literal["halt", "reduce_only"]
    reason: str
    set_by: str
    set_at: str


class KillOut(BaseModel):
    """`cancelled`: order ids by account that a cancel was made for now; `unanswered`: placements on their way."""

    halt: HaltOut
    cancelled: dict[str, list[str]]
    unanswered: dict[str, int]


class HaltsOut(BaseModel):
    halted: bool
    halts: list[HaltOut]


class ResumeOut(HaltsOut):
    """`lifted`: whether this scope was halted; `halts` is what stays in force."""

    lifted: bool


class AuditEntryOut(BaseModel):
    entry_id: str
    occurred_at: str
    principal: str
    action: str
    subject: str
    request_id: str | None
    before: dict[str, Any] | None
    after: dict[str, Any] | None


def build_router() -> APIRouter:
    router = APIRouter(prefix="/admin", tags=["admin"], responses=problem_responses(401, 403))

    @router.post("/kill", response_model=KillOut, responses=problem_responses(400, 404, 503))
    async def kill(services: ServicesDep, principal: PrincipalDep, request_id: RequestIdDep, body: KillIn) -> Response:
        """Stop new orders from the next claim on, on every replica. Cancels always pass."""
        _require_scope(services, principal, body.account_id)
        done = await services.operations.halt(
            body.account_id,
            mode=body.mode,
            open_orders="cancel" if body.cancel_open else "leave",
            reason=body.reason,
            by=Actor(principal=principal.key_id, request_id=request_id),
        )
        return ExactJSON({"halt": halt_document(done.halt), "cancelled": done.cancelled, "unanswered": done.unanswered})

    @router.post("/resume", response_model=ResumeOut, responses=problem_responses(400, 404, 503))
    async def resume(
        services: ServicesDep, principal: PrincipalDep, request_id: RequestIdDep, body: ResumeIn
    ) -> Response:
        """Lift the halt of exactly this scope. Held tasks go if they are still fresh, the others expire."""
        _require_scope(services, principal, body.account_id)
        by = Actor(principal=principal.key_id, request_id=request_id)
        lifted = await services.operations.resume(body.account_id, reason=body.reason, by=by)
        return ExactJSON({"lifted": lifted, **await _halts(services)})

    @router.get("/kill", response_model=HaltsOut, responses=problem_responses(503))
    async def halts(services: ServicesDep) -> Response:
        """Every switch that is in force."""
        return ExactJSON(await _halts(services))

    @router.get("/audit", response_model=Page[AuditEntryOut], responses=problem_responses(400, 503))
    async def audit(
        services: ServicesDep, principal: PrincipalDep, limit: PageLimit = 100, cursor: PageCursor = None
    ) -> Response:
        """What operators did, newest first."""
        _require_scope(services, principal, None)
        page = await services.operations.audit(before=cursor_uuid(cursor), limit=limit)
        return ExactJSON({"data": page.data, "next_cursor": page.next_cursor})

    return router


def _require_scope(services: Services, principal: Principal, account_id: str | None) -> None:
    """What concerns all accounts is for keys that may use all. Raises NotAuthorised, NotFound."""
    if account_id is not None:
        require_account(services, principal=principal, account_id=account_id)
    elif principal.accounts is not None:
        raise NotAuthorised("this key is for certain accounts only", code="FORBIDDEN")


async def _halts(services: Services) -> dict[str, Any]:
    found = await services.operations.halts()
    return {"halted": bool(found), "halts": [halt_document(halt) for halt in found]}
