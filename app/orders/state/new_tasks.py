"""Tasks before they are stored, and the one factory that makes them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID

from app.broker.orders import OrderRequest
from app.orders.state.model import OnFilled, Operation, Purpose, TaskStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class NewTask:
    """A task as it is first written. ``fresh_s`` counts from the commit: after that it is never sent.

    ``replaces``: the order that has to end, without filling any further, before this one may go.
    ``only_if``: versions of the order that it is ``about``, one of which must be the present one when it is stored.
    """

    task_id: UUID
    account_id: str
    operation: Operation
    trade_date: date
    instrument: str
    request: dict[str, Any]
    fresh_s: float
    batch_id: UUID | None = None
    leg: int | None = None
    wave: int = 0
    purpose: Purpose = "client"
    user_tag: str | None = None
    tag_base: str | None = None
    target_order_id: str | None = None
    reduces: bool = False
    supersedes: UUID | None = None
    status: TaskStatus = TaskStatus.PENDING
    error: dict[str, Any] | None = None
    only_if: frozenset[str] | None = None
    replaces: str | None = None

    @property
    def about(self) -> str | None:
        """The order that it changes, cancels or takes the place of."""
        return self.target_order_id or self.replaces

    @property
    def priority(self) -> int:
        """Lower goes first: exits go with the cancels, before modifications, before what opens a position."""
        return Operation.CANCEL.priority if self.reduces else self.operation.priority


@dataclass(frozen=True, slots=True, kw_only=True)
class NewBatch:
    batch_id: UUID
    account_id: str
    rollback_on_failure: bool
    on_filled: OnFilled
    total_orders: int
    deadline_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelTarget:
    """A live order that nobody is cancelling yet."""

    order_id: str
    instrument: str
    variety: str
    parent_order_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderLine:
    """One order with the caller's own tag, which stays with us."""

    request: OrderRequest
    user_tag: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Replaces:
    """The live order whose place a new one takes, at the version that its caller has seen."""

    order_id: str
    version: str
