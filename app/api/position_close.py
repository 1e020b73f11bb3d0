"""Closes positions that match a filter by market orders. No halt is needed."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from app.api.batches import ACCEPTED_BATCH, WaitForBatch
from app.api.dependencies import DATABASE_S, PrincipalDep, ServicesDep, require_account
from app.api.idempotency_key import NEEDS_KEY, CallerDep
from app.api.order_answers import render_answer
from app.api.order_bodies import STORABLE, AlgoId
from app.api.problems import problem_responses
from app.api.strict_route import StrictRoute
from app.broker.identifiers import DEFAULT_ACCOUNT, AccountId
from app.broker.orders import Exchange, Product
from app.kit.answer_time import answering_within
from app.orders.risk.exits import PositionFilter


class PositionCloseIn(BaseModel):
    """Which positions to close: those that match every field that is given; none given means all of the account."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"example": {"exchange": "NSE", "tradingsymbol": "INFY", "product": "MIS"}}
    )

    account_id: AccountId = DEFAULT_ACCOUNT
    exchange: Exchange | None = None
    tradingsymbol: Annotated[str, Field(min_length=1, max_length=64, pattern=STORABLE)] | None = None
    product: Product | None = None
    tag: Annotated[str, Field(pattern=r"^[A-Za-z0-9]{1,20}$")] | None = Field(
        default=None, description="yours, for the orders that close"
    )

    algo_id: AlgoId | None = Field(default=None, description="sent to the broker with the orders that close")

    def wanted(self) -> PositionFilter:
        """The same as the entry takes it."""
        return PositionFilter(
            account_id=self.account_id,
            exchange=None if self.exchange is None else str(self.exchange),
            tradingsymbol=self.tradingsymbol,
            product=None if self.product is None else str(self.product),
        )


def build_router() -> APIRouter:
    router = APIRouter(route_class=StrictRoute, tags=["orders"])

    @router.post(
        "/positions/close",
        status_code=201,
        responses=ACCEPTED_BATCH | problem_responses(400, 403, 404, 409, 422, 503),
        openapi_extra=NEEDS_KEY,
    )
    async def close_positions(
        services: ServicesDep,
        principal: PrincipalDep,
        caller: CallerDep,
        body: PositionCloseIn,
        wait: WaitForBatch = 30.0,
    ) -> Response:
        """Send a market order for each open position that matches; needs an `Idempotency-Key`.

        The answer is a batch without rollback: one order for each position, none larger than what is held less what
        other orders are closing already. `completed` says that every order was accepted; see each leg for its fills.
        """
        require_account(services, principal=principal, account_id=body.account_id)
        with answering_within(wait + DATABASE_S):
            answer = await services.position_closes.close(
                body.wanted(), tag=body.tag, algo_id=body.algo_id, caller=caller, wait_s=wait
            )
        return render_answer(answer)

    return router
