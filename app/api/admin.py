"""An operator's routes: halt, resume, and the audit trail."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field, model_validator
from starlette.responses import Response

from app.api.body_shapes import with_fields
from app.api.dependencies import PrincipalDep, RequestIdDep, ServicesDep, require_account
from app.api.exact_json import ExactJSON
from app.api.keys import Principal
from app.api.order_bodies import STORABLE
from app.api.paging import IdCursor, Page, PageLimit
from app.api.problems import problem_responses
from app.api.query_values import StrictFlag
from app.api.services import Services
from app.api.strict_route import StrictRoute
from app.broker.identifiers import AccountId
from app.errors import NotAuthorised
from app.orders.risk.halts import HaltMode, halt_document
from app.orders.state.audit import Actor

Reason = Annotated[
    str, Field(min_length=1, max_length=500, pattern=STORABLE, description="for readers of the audit trail")
]


def _shown(example: dict[str, Any]) -> dict[str, Any]:
    """The schema's addition: an example, and when ``account_id`` is given."""
    shapes = [with_fields(absent=["account_id"], scope="global"), with_fields("account_id", scope="account")]
    return {"example": example, "oneOf": shapes}


class ScopeIn(BaseModel):
    """Of which accounts, and why. `account_id` goes with scope `account`."""

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
    """`halt` stops everything except cancels; `reduce_only` also passes orders that are proven to reduce a position."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra=_shown({"scope": "global", "mode": "halt", "reason": "feed looks wrong"}),
    )

    mode: HaltMode = "halt"
    cancel_open: StrictFlag = False


class ResumeIn(ScopeIn):
    """The scope whose halt is lifted."""

    model_config = ConfigDict(extra="forbid", json_schema_extra=_shown({"scope": "global", "reason": "feed is back"}))


class HaltOut(BaseModel):
    """One switch that is in force; `account_id` is null for all accounts. `set_by` is the key or the user."""

    scope: Literal["global", "account"]
    account_id: str | None
    mode: HaltMode
    reason: str
    set_by: str
    set_at: str


class KillOut(BaseModel):
    """By account: `cancelled` has the orders that are being cancelled, `unanswered` counts placements in flight."""

    halt: HaltOut
    cancelled: dict[str, list[str]]
    unanswered: dict[str, int]


class HaltsOut(BaseModel):
    """Every switch that is in force. `halted`: there is one, in either mode."""

    halted: bool
    halts: list[HaltOut]


class ResumeOut(HaltsOut):
    """`lifted`: whether this scope was halted; `halts`: the switches that stay in force."""

    lifted: bool


class AuditEntryOut(BaseModel):
    """One action of an operator, with the state before and after."""

    entry_id: str
    occurred_at: str
    principal: str
    action: str
    subject: str
    request_id: str | None
    before: dict[str, Any] | None
    after: dict[str, Any] | None


def build_router() -> APIRouter:
    router = APIRouter(route_class=StrictRoute, prefix="/admin", tags=["admin"], responses=problem_responses(401, 403))

    @router.post("/kill", response_model=KillOut, responses=problem_responses(400, 404, 503))
    async def kill(services: ServicesDep, principal: PrincipalDep, request_id: RequestIdDep, body: KillIn) -> Response:
        """Stop new orders on every replica, from the next claim on. Cancels always pass."""
        _require_scope(services, principal, body.account_id)
        done = await services.halts.halt(
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
        """Lift the halt of exactly this scope. Held tasks that are still fresh are sent, the others expire."""
        _require_scope(services, principal, body.account_id)
        by = Actor(principal=principal.key_id, request_id=request_id)
        lifted = await services.halts.resume(body.account_id, reason=body.reason, by=by)
        return ExactJSON({"lifted": lifted, **await _halts(services)})

    @router.get("/kill", response_model=HaltsOut, responses=problem_responses(503))
    async def halts(services: ServicesDep) -> Response:
        """Every switch that is in force."""
        return ExactJSON(await _halts(services))

    @router.get("/audit", response_model=Page[AuditEntryOut], responses=problem_responses(400, 503))
    async def audit(
        services: ServicesDep, principal: PrincipalDep, limit: PageLimit = 100, cursor: IdCursor = None
    ) -> Response:
        """What operators did, newest first."""
        _require_scope(services, principal, None)
        page = await services.halts.audit(before=cursor, limit=limit)
        return ExactJSON({"data": page.data, "next_cursor": page.next_cursor})

    return router


def _require_scope(services: Services, principal: Principal, account_id: str | None) -> None:
    """An action on all accounts is for keys that may use all. Raises NotAuthorised, NotFound."""
    if account_id is not None:
        require_account(services, principal=principal, account_id=account_id)
    elif principal.accounts is not None:
        raise NotAuthorised("this key is for certain accounts only", code="FORBIDDEN")


async def _halts(services: Services) -> dict[str, Any]:
    found = await services.halts.halts()
    return {"halted": bool(found), "halts": [halt_document(halt) for halt in found]}
