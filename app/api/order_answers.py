"""How is an order request answered? The same for placements, modifications, cancels and batches.

201: the result is known. 202: the result is not known yet, and ``Location`` says where it will be. Never a 5xx for an
order that may have been sent, because client libraries repeat those by themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Annotated, Any, Literal

from fastapi import Query
from pydantic import BaseModel

from app.api.exact_json import ExactJSON
from app.api.query_values import Flag
from app.broker.orders import Operation
from app.broker.outcomes import Sent
from app.broker.port import WireRequest
from app.orders.entry.outcome_wait import Answer
from app.orders.state.model import BatchStatus, TaskStatus

_PATHS = {"task": "/orders/tasks/{}", "batch": "/advanced/batch-orders/{}", "mass_cancel": "/orders/cancel/{}"}

WaitForOrder = Annotated[float, Query(ge=0, le=60, description="seconds to wait for the result")]
DryRun = Annotated[Flag, Query(description="check everything and show the broker's requests; store and send nothing")]


class TaskOut(BaseModel):
    """One request to the broker, and how far it is.

    - `task_id`, `account_id`, `operation`: which request; `tag`: yours; `request`: what it asks for
    - `status`: `pending`, `held` and `retrying` wait, `running` is being sent, `in_doubt` was sent without an answer,
      `dead_letter` needs an operator; the others are final
    - `attempts`: how often it was sent; `sent`: can the broker have received it?
    - `order_id`: the broker's order; `children`: the orders that it was sliced into
    - `batch_id`, `leg`: its place in a batch, or null
    - `last_error`: code and message of the last failure, or null
    - `supersedes`: the task that this one repeats by an operator's decision, or null
    - `cancel_on_sight`: its order is cancelled as soon as the book shows it
    - `replaces`: the order that this one replaces, or null
    - `created_at`, `updated_at`: IST
    """

    task_id: str
    account_id: str
    operation: Operation
    status: TaskStatus
    attempts: int
    order_id: str | None
    children: list[dict[str, Any]]
    batch_id: str | None
    leg: int | None
    request: dict[str, Any]
    tag: str | None
    last_error: dict[str, Any] | None
    sent: Sent
    supersedes: str | None
    cancel_on_sight: bool
    replaces: str | None
    created_at: str
    updated_at: str


class ResidualOut(BaseModel):
    """A position that is open still: `quantity` is negative where it was sold, `average_price` null where other orders
    than the batch's have opened it."""

    tradingsymbol: str
    exchange: str
    product: str
    quantity: int
    average_price: float | None


class LegOut(BaseModel):
    """One order of a batch. `status` is its task's, `state` is the leg's own."""

    index: int
    task_id: str
    status: str
    order_id: str | None
    state: str
    filled_quantity: int
    error: dict[str, Any] | None


class BatchOut(BaseModel):
    """A batch and its legs.

    - `batch_id`, `account_id`: which batch; `created_at`, `completed_at`: IST, null while it runs
    - `status`: `rolled_back` only when every leg is finished and nothing filled; `partially_completed`: without
      rollback, some legs have failed or all, see `succeeded`; `needs_attention` wants an operator
    - `success`: every order succeeded
    - `total_orders`, `succeeded`, `failed`, `rolled_back`: numbers of orders
    - `residual`: positions that a rollback could not undo, or that exits have not closed
    - `orders`: the legs, in their order
    - `error`: why it did not complete, or null
    """

    batch_id: str
    account_id: str
    status: BatchStatus
    success: bool
    total_orders: int
    succeeded: int
    failed: int
    rolled_back: int
    residual: list[ResidualOut]
    orders: list[LegOut]
    created_at: str
    completed_at: str | None
    error: dict[str, Any] | None


class WireRequestOut(BaseModel):
    """A request that the broker would get."""

    method: str
    path: str
    form: dict[str, str]


class DryRunOut(BaseModel):
    """Nothing was stored or sent."""

    dry_run: Literal[True] = True
    requests: list[WireRequestOut]


SHOWN: dict[int | str, dict[str, Any]] = {
    200: {"model": DryRunOut, "description": "with `dry_run`: what the broker would get"}
}


def render_answer(answer: Answer) -> ExactJSON:
    """201 or 202 with ``Location``; ``Idempotent-Replayed`` marks the answer to a repeated request."""
    headers = {"Location": _PATHS[answer.kind].format(answer.resource_id)}
    if answer.replayed:
        headers["Idempotent-Replayed"] = "true"
    status = HTTPStatus.CREATED if answer.final else HTTPStatus.ACCEPTED
    return ExactJSON(answer.document, status_code=status, headers=headers)


def render_dry_run(requests: Sequence[WireRequest]) -> ExactJSON:
    """The requests that the broker would get."""
    shown = [WireRequestOut(method=one.method, path=one.path, form=dict(one.form)) for one in requests]
    return ExactJSON(DryRunOut(requests=shown).model_dump())
