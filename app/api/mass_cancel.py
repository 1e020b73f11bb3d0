"""Cancels every order that matches a filter. No halt is needed, and new orders go on."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from app.api.dependencies import DATABASE_S, PrincipalDep, ServicesDep, require_account
from app.api.exact_json import ExactJSON
from app.api.idempotency_key import NEEDS_KEY, CallerDep
from app.api.order_answers import WaitForOrder, render_answer
from app.api.order_bodies import STORABLE
from app.api.problems import problem_responses
from app.api.strict_route import StrictRoute
from app.broker.identifiers import DEFAULT_ACCOUNT, AccountId
from app.broker.orders import Exchange, TransactionType
from app.kit.answer_time import answering_within
from app.orders.state.mass_cancels import MassCancelStatus, OrderFilter, Outcome


class MassCancelIn(BaseModel):
    """Which orders to cancel: those that match every field that is given; none given means all of the account."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"example": {"exchange": "NSE", "tradingsymbol": "INFY"}}
    )

    account_id: AccountId = DEFAULT_ACCOUNT
    tag: Annotated[str, Field(pattern=r"^[A-Za-z0-9]{1,20}$")] | None = None
    exchange: Exchange | None = None
    tradingsymbol: Annotated[str, Field(min_length=1, max_length=64, pattern=STORABLE)] | None = None
    transaction_type: TransactionType | None = None
    older_than_s: Annotated[float, Field(ge=0, le=86_400)] | None = Field(
        default=None, description="only orders accepted, or first seen in the book, longer ago than this"
    )

    def wanted(self) -> OrderFilter:
        """The same as the entry takes it."""
        return OrderFilter(
            account_id=self.account_id,
            tag=self.tag,
            exchange=None if self.exchange is None else str(self.exchange),
            tradingsymbol=self.tradingsymbol,
            transaction_type=None if self.transaction_type is None else str(self.transaction_type),
            older_than_s=self.older_than_s,
        )


class CancelResultOut(BaseModel):
    """One order. `cancelling` and `in_doubt` go on until the broker's book shows its end, whatever fails meanwhile."""

    task_id: str | None
    order_id: str | None
    exchange: str
    tradingsymbol: str
    transaction_type: str
    quantity: int
    filled_quantity: int
    outcome: Outcome


class MassCancelOut(BaseModel):
    """A mass cancel. `status` is `completed` when nothing of what matched is live any more, by all that is known;
    `needs_attention` when that holds of all but those that an operator has to look at, which may still be cancelled."""

    mass_cancel_id: str
    account_id: str
    status: MassCancelStatus
    total: int
    cancelled: int
    results: list[CancelResultOut]
    created_at: str


_ACCEPTED: dict[int | str, dict[str, Any]] = {
    201: {
        "model": MassCancelOut,
        "description": "nothing of what matched is live any more, or an operator has to look at the rest",
    },
    202: {"model": MassCancelOut, "description": "not finished; `Location` says where the result will be"},
}


def build_router() -> APIRouter:
    router = APIRouter(route_class=StrictRoute, tags=["orders"])

    @router.post(
        "/orders/cancel",
        status_code=201,
        responses=_ACCEPTED | problem_responses(400, 403, 404, 409, 422, 503),
        openapi_extra=NEEDS_KEY,
    )
    async def cancel_orders(
        services: ServicesDep, principal: PrincipalDep, caller: CallerDep, body: MassCancelIn, wait: WaitForOrder = 10.0
    ) -> Response:
        """Cancel every live order and unsent placement that matches; needs an `Idempotency-Key`.

        Orders of other applications are among them. Square-offs of the service are not: they close what a batch left.
        """
        require_account(services, principal=principal, account_id=body.account_id)
        with answering_within(wait + DATABASE_S):
            answer = await services.mass_cancels.cancel(body.wanted(), caller=caller, wait_s=wait)
        return render_answer(answer)

    @router.get(
        "/orders/cancel/{mass_cancel_id}", response_model=MassCancelOut, responses=problem_responses(400, 403, 404)
    )
    async def get_mass_cancel(services: ServicesDep, principal: PrincipalDep, mass_cancel_id: UUID) -> Response:
        """What became of each order that matched."""
        document, _ = await services.orders.queries.mass_cancel_now(mass_cancel_id)
        require_account(services, principal=principal, account_id=str(document["account_id"]))
        return ExactJSON(document)

    return router
