"""Single orders, their tasks, and what the broker's order book shows of them."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Path
from starlette.responses import Response

from app.api.dependencies import (
    DATABASE_S,
    AccountFilter,
    AccountIdQuery,
    PrincipalDep,
    RequestIdDep,
    ServicesDep,
    require_account,
    require_account_or_all,
)
from app.api.exact_json import ExactJSON
from app.api.idempotency_key import CallerDep
from app.api.if_match import IfMatch, etag_of, versions_of
from app.api.keys import Principal
from app.api.order_answers import SHOWN, DryRun, TaskOut, WaitForOrder, render_answer, render_dry_run
from app.api.order_bodies import ChangesIn, ResolveIn, SingleOrderIn
from app.api.order_route import OrderRoute
from app.api.paging import IdCursor, OrderCursor, Page, PageLimit
from app.api.problems import problem_responses
from app.api.services import Services
from app.broker.identifiers import DEFAULT_ACCOUNT, OrderId
from app.kit.answer_time import answering_within
from app.orders.entry.preconditions import NotAsSeen
from app.orders.operators.resolution import OperatorDecision
from app.orders.state.audit import Actor
from app.orders.state.documents import task_document
from app.orders.state.model import Task, TaskStatus
from app.orders.state.new_tasks import OrderLine, Replaces

OrderIdPath = Annotated[OrderId, Path(description="the broker's order id")]
_ACCEPTED: dict[int | str, dict[str, Any]] = {
    201: {"model": TaskOut, "description": "the result is known"},
    202: {"model": TaskOut, "description": "not known yet; `Location` says where it will be"},
}
_WITHDRAWN: dict[int | str, dict[str, Any]] = {
    200: {"model": TaskOut, "description": "it has no live order"},
    202: {"model": TaskOut, "description": "its order is being cancelled, or will be as soon as the book shows it"},
}


def build_router() -> APIRouter:
    router = APIRouter(tags=["orders"], route_class=OrderRoute)
    _add_place(router)
    _add_commands(router)
    _add_tasks(router)
    _add_views(router)
    return router


def _add_place(router: APIRouter) -> None:
    @router.post(
        "/orders", status_code=201, responses=SHOWN | _ACCEPTED | problem_responses(400, 403, 404, 409, 412, 422, 503)
    )
    async def place_order(
        services: ServicesDep,
        principal: PrincipalDep,
        caller: CallerDep,
        body: SingleOrderIn,
        wait: WaitForOrder = 10.0,
        dry_run: DryRun = False,
    ) -> Response:
        """Place one order. The task is durable before anything is sent; `sent` never claims more than is proven."""
        require_account(services, principal=principal, account_id=body.account_id)
        replaces = None if body.replaces is None else body.replaces.replaces()
        if dry_run:
            return await _dry_run(services, body.line(), replaces, account_id=body.account_id)
        with answering_within(wait + DATABASE_S):
            answer = await services.orders.place(
                body.line(), account_id=body.account_id, caller=caller, wait_s=wait, replaces=replaces
            )
        return render_answer(answer)


def _add_commands(router: APIRouter) -> None:
    @router.put(
        "/orders/{order_id}",
        status_code=201,
        responses=_ACCEPTED | problem_responses(400, 403, 404, 409, 412, 422, 503),
    )
    async def modify_order(
        services: ServicesDep,
        principal: PrincipalDep,
        caller: CallerDep,
        order_id: OrderIdPath,
        body: ChangesIn,
        account_id: AccountFilter = None,
        wait: WaitForOrder = 10.0,
        if_match: IfMatch = None,
    ) -> Response:
        """Modify an order of today. The broker may accept a change and apply it later: see the order itself."""
        only_if = versions_of(if_match)
        owner = await _owner(services, principal, order_id, account_id)
        with answering_within(wait + DATABASE_S):
            answer = await services.orders.modify(
                order_id, body.changes(), account_id=owner, caller=caller, wait_s=wait, only_if=only_if
            )
        return render_answer(answer)

    @router.delete(
        "/orders/{order_id}",
        status_code=201,
        responses=_ACCEPTED | problem_responses(400, 403, 404, 409, 412, 422, 503),
    )
    async def cancel_order(
        services: ServicesDep,
        principal: PrincipalDep,
        caller: CallerDep,
        order_id: OrderIdPath,
        account_id: AccountFilter = None,
        wait: WaitForOrder = 10.0,
        if_match: IfMatch = None,
    ) -> Response:
        """Cancel an order of today under its own variety; the id of a group cancels each of its slices."""
        only_if = versions_of(if_match)
        owner = await _owner(services, principal, order_id, account_id)
        with answering_within(wait + DATABASE_S):
            group = await services.orders.queries.group(order_id, account_id=owner)
            if group is not None:
                return await _cancel_group(services, group, only_if=only_if, wait_s=wait)
            answer = await services.orders.cancel(
                order_id, account_id=owner, caller=caller, wait_s=wait, only_if=only_if
            )
        return render_answer(answer)


def _add_tasks(router: APIRouter) -> None:
    @router.get("/orders/tasks", response_model=Page[TaskOut], responses=problem_responses(400, 403, 404))
    async def list_tasks(
        services: ServicesDep,
        principal: PrincipalDep,
        account_id: AccountFilter = None,
        status: TaskStatus | None = None,
        limit: PageLimit = 100,
        cursor: IdCursor = None,
    ) -> Response:
        """Tasks of any replica and any day, newest first."""
        require_account_or_all(services, principal=principal, account_id=account_id)
        page = await services.orders.queries.tasks(account_id, status=status, before=cursor, limit=limit)
        return ExactJSON({"data": page.data, "next_cursor": page.next_cursor})

    @router.get("/orders/tasks/{task_id}", response_model=TaskOut, responses=problem_responses(400, 403, 404))
    async def get_task(services: ServicesDep, principal: PrincipalDep, task_id: UUID) -> Response:
        """One task, as it is stored now."""
        task = await services.orders.queries.task(task_id)
        require_account(services, principal=principal, account_id=task.account_id)
        return ExactJSON(task_document(task))

    @router.delete(
        "/orders/tasks/{task_id}",
        status_code=202,
        responses=_WITHDRAWN | problem_responses(400, 403, 404, 409, 503),
    )
    async def withdraw_placement(services: ServicesDep, principal: PrincipalDep, task_id: UUID) -> Response:
        """Withdraw a placement. Unsent, it is cancelled; in doubt, its order is cancelled once the book shows it."""
        task = await services.orders.queries.task(task_id)
        require_account(services, principal=principal, account_id=task.account_id)
        done = await services.withdrawals.withdraw(task_id)
        return ExactJSON(done.document, status_code=200 if done.over else 202)

    @router.post(
        "/orders/tasks/{task_id}/resolve", response_model=TaskOut, responses=problem_responses(400, 403, 404, 409, 503)
    )
    async def resolve_task(
        services: ServicesDep, principal: PrincipalDep, request_id: RequestIdDep, task_id: UUID, body: ResolveIn
    ) -> Response:
        """An operator's decision on a dead letter or a doubt; `requeue` answers with the new task. Audited."""
        task = await services.orders.queries.task(task_id)
        require_account(services, principal=principal, account_id=task.account_id)
        decision = OperatorDecision(resolution=body.resolution, note=body.note, order_id=body.order_id)
        by = Actor(principal=principal.key_id, request_id=request_id)
        return ExactJSON(await services.resolutions.resolve(task_id, decision, by=by))


def _add_views(router: APIRouter) -> None:
    @router.get("/orders", responses=problem_responses(400, 403, 404))
    async def list_orders(
        services: ServicesDep,
        principal: PrincipalDep,
        account_id: AccountIdQuery = DEFAULT_ACCOUNT,
        limit: PageLimit = 500,
        cursor: OrderCursor = None,
    ) -> Response:
        """The orders of the trading day as reconciled: Kite's fields with `state`, `task_id` and `batch_id`."""
        require_account(services, principal=principal, account_id=account_id)
        page = await services.orders.queries.orders(account_id, after=cursor, limit=limit)
        return ExactJSON({"data": page.data, "next_cursor": page.next_cursor})

    @router.get("/orders/{order_id}", responses=problem_responses(403, 404, 409))
    async def get_order(
        services: ServicesDep, principal: PrincipalDep, order_id: OrderIdPath, account_id: AccountFilter = None
    ) -> Response:
        """One order of the trading day; its `version` is the `ETag` too."""
        order = await services.orders.queries.order(order_id, account_id=account_id)
        require_account(services, principal=principal, account_id=str(order["account_id"]))
        return ExactJSON(order, headers=etag_of(order["version"]))

    @router.get("/orders/{order_id}/history", responses=problem_responses(403, 404, 409, 502, 503))
    async def get_order_history(
        services: ServicesDep, principal: PrincipalDep, order_id: OrderIdPath, account_id: AccountFilter = None
    ) -> Response:
        """Every state that the broker recorded for the order, oldest first; read from the broker now."""
        owner = await _owner(services, principal, order_id, account_id)
        return ExactJSON({"data": await services.orders.history(order_id, account_id=owner), "next_cursor": None})

    @router.get("/trades", responses=problem_responses(400, 403, 404))
    async def list_trades(
        services: ServicesDep, principal: PrincipalDep, account_id: AccountIdQuery = DEFAULT_ACCOUNT
    ) -> Response:
        """The fills of the trading day; `inferred: true` stands for fills that the broker's trade book lacks."""
        require_account(services, principal=principal, account_id=account_id)
        return ExactJSON({"data": await services.orders.queries.trades(account_id), "next_cursor": None})


async def _dry_run(services: Services, line: OrderLine, replaces: Replaces | None, *, account_id: str) -> Response:
    with answering_within(DATABASE_S):
        if replaces is None:
            requests = await services.orders.preview([line], account_id=account_id)
        else:
            requests = await services.orders.preview_replacement(line, replaces, account_id=account_id)
    return render_dry_run(requests)


async def _cancel_group(services: Services, group: Task, *, only_if: frozenset[str] | None, wait_s: float) -> Response:
    """Withdraw the placement of a group; the answer is its task. Raises NotAsSeen: a group has no version."""
    if only_if is not None:
        raise NotAsSeen(f"order {group.order_id} is a group of slices, without a version", code="VERSION_STALE")
    done = await services.withdrawals.withdraw(group.task_id, wait_s=wait_s)
    location = {"Location": f"/orders/tasks/{group.task_id}"}
    return ExactJSON(done.document, status_code=201 if done.over else 202, headers=location)


async def _owner(services: Services, principal: Principal, order_id: str, account_id: str | None) -> str:
    """The account of an order that the caller may use. Raises NotFound, NotAuthorised."""
    order = await services.orders.queries.order(order_id, account_id=account_id)
    require_account(services, principal=principal, account_id=str(order["account_id"]))
    return str(order["account_id"])
