"""Batch orders: all legs succeed, or the answer says exactly what could not be undone."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query
from starlette.responses import Response

from app.api.dependencies import (
    DATABASE_S,
    AccountFilter,
    PrincipalDep,
    ServicesDep,
    require_account,
    require_account_or_all,
)
from app.api.exact_json import ExactJSON
from app.api.idempotency_key import CallerDep
from app.api.order_answers import SHOWN, BatchOut, DryRun, render_answer, render_dry_run
from app.api.order_bodies import BatchIn
from app.api.order_route import OrderRoute
from app.api.paging import IdCursor, Page, PageLimit
from app.api.problems import problem_responses
from app.kit.answer_time import answering_within
from app.orders.entry.service import BatchOptions

WaitForBatch = Annotated[float, Query(ge=0, le=60, description="seconds to wait for the batch to finish")]
ACCEPTED_BATCH: dict[int | str, dict[str, Any]] = {
    201: {"model": BatchOut, "description": "the batch is finished"},
    202: {"model": BatchOut, "description": "not finished; `Location` says where the result will be"},
}


def build_router() -> APIRouter:
    router = APIRouter(tags=["batch orders"], route_class=OrderRoute)

    @router.post(
        "/advanced/batch-orders",
        status_code=201,
        responses=SHOWN | ACCEPTED_BATCH | problem_responses(400, 403, 404, 409, 422, 503),
    )
    async def place_batch(
        services: ServicesDep,
        principal: PrincipalDep,
        caller: CallerDep,
        body: BatchIn,
        wait: WaitForBatch = 30.0,
        dry_run: DryRun = False,
    ) -> Response:
        """Place up to twenty orders; with `rollback_on_failure` they succeed together or are cancelled together.

        A fill cannot be undone: it is listed in `residual`, or closed by an opposite order (`on_filled: square_off`).
        """
        require_account(services, principal=principal, account_id=body.account_id)
        lines = [order.line() for order in body.orders]
        options = BatchOptions(rollback_on_failure=body.rollback_on_failure, on_filled=body.on_filled, order=body.order)
        if dry_run:
            with answering_within(DATABASE_S):
                return render_dry_run(await services.orders.preview(lines, account_id=body.account_id, batch=options))
        with answering_within(wait + DATABASE_S):
            answer = await services.orders.place_batch(
                lines, account_id=body.account_id, options=options, caller=caller, wait_s=wait
            )
        return render_answer(answer)

    @router.get("/advanced/batch-orders", response_model=Page[BatchOut], responses=problem_responses(400, 403, 404))
    async def list_batches(
        services: ServicesDep,
        principal: PrincipalDep,
        account_id: AccountFilter = None,
        limit: PageLimit = 100,
        cursor: IdCursor = None,
    ) -> Response:
        """Batches, newest first."""
        require_account_or_all(services, principal=principal, account_id=account_id)
        page = await services.orders.queries.batches(account_id, before=cursor, limit=limit)
        return ExactJSON({"data": page.data, "next_cursor": page.next_cursor})

    @router.get(
        "/advanced/batch-orders/{batch_id}", response_model=BatchOut, responses=problem_responses(400, 403, 404)
    )
    async def get_batch(services: ServicesDep, principal: PrincipalDep, batch_id: UUID) -> Response:
        """One batch with its legs."""
        document, _ = await services.orders.queries.batch_now(batch_id)
        require_account(services, principal=principal, account_id=str(document["account_id"]))
        return ExactJSON(document)

    return router
