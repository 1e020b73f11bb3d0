"""A mass cancel: which orders a client no longer wants, and what became of each. Values and pure rules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Any, Literal
from uuid import UUID

from app.kit.clock import ist_iso
from app.orders.state.completeness import at_rest
from app.orders.state.model import KnownOrder, OrderState, Task, TaskStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderFilter:
    """Which live orders and unsent placements of one account are meant; a field that is None matches all."""

    account_id: str
    tag: str | None = None  # the client's own; of orders of other applications the tag in the book
    exchange: str | None = None
    tradingsymbol: str | None = None
    transaction_type: str | None = None
    older_than_s: float | None = None  # accepted, or first seen in the book, longer ago than this


@dataclass(frozen=True, slots=True, kw_only=True)
class MassCancel:
    """A row of ``mass_cancel``."""

    mass_cancel_id: UUID
    account_id: str
    task_ids: Sequence[UUID]  # placements that matched
    orders: Sequence[tuple[str, date]]  # ids of orders of other applications that matched, each with its day
    created_at: datetime


class Outcome(StrEnum):
    """What became of one order of a mass cancel."""

    CANCELLED = "cancelled"  # nothing of it is live, and not all of it had filled
    FILLED = "filled"  # it had filled before the cancel came
    NOT_PLACED = "not_placed"  # it was never live at the broker
    CANCELLING = "cancelling"  # it is live, or was a moment ago; it is cancelled until the book shows its end
    IN_DOUBT = "in_doubt"  # whether it is live is not known yet; it is cancelled as soon as the book shows it
    NEEDS_ATTENTION = "needs_attention"  # no book will show what became of it; an operator has to look


FINAL = frozenset({Outcome.CANCELLED, Outcome.FILLED, Outcome.NOT_PLACED, Outcome.NEEDS_ATTENTION})
MassCancelStatus = Literal["running", "completed", "needs_attention"]
_UNKNOWN = frozenset({TaskStatus.RUNNING, TaskStatus.IN_DOUBT})


def outcome_of_placement(task: Task, orders: Sequence[KnownOrder]) -> Outcome:
    """What became of a placement; ``orders`` are its own, as the book last showed them."""
    if task.status is TaskStatus.DEAD_LETTER:
        return Outcome.NEEDS_ATTENTION
    if task.status in _UNKNOWN:
        return Outcome.IN_DOUBT
    if task.status is not TaskStatus.COMPLETED:
        return Outcome.CANCELLING if task.finished_at is None else Outcome.NOT_PLACED
    shown = {order.order_id for order in orders}
    if not orders or not set(task.confirmed_ids) <= shown:
        return Outcome.CANCELLING
    outcome = outcome_of_orders(orders, quantity=task.order.quantity)
    # when a leg fills before its cancel comes, the broker makes the next one
    may_follow = outcome is not Outcome.NEEDS_ATTENTION and not at_rest(task, orders)
    return Outcome.CANCELLING if may_follow else outcome


def outcome_of_orders(orders: Sequence[KnownOrder], *, quantity: int) -> Outcome:
    """What became of these orders, which together are for ``quantity``."""
    if any(order.is_stale for order in orders):
        return Outcome.NEEDS_ATTENTION
    if not all(order.state.is_terminal for order in orders):
        return Outcome.CANCELLING
    if sum(order.filled_quantity for order in orders) >= quantity:
        return Outcome.FILLED
    rejected = all(order.state is OrderState.REJECTED for order in orders)
    return Outcome.NOT_PLACED if rejected else Outcome.CANCELLED


def mass_cancel_document(
    cancel: MassCancel, placements: Sequence[tuple[Task, Sequence[KnownOrder]]], foreign: Sequence[KnownOrder]
) -> dict[str, Any]:
    """A mass cancel as clients see it, with a result for each placement, and each order of another application."""
    results = [_of_placement(task, orders) for task, orders in placements]
    results += [_of_foreign(order) for order in foreign]
    outcomes = [Outcome(result["outcome"]) for result in results]
    return {
        "mass_cancel_id": str(cancel.mass_cancel_id),
        "account_id": cancel.account_id,
        "status": _status(outcomes),
        "total": len(results),
        "cancelled": outcomes.count(Outcome.CANCELLED) + outcomes.count(Outcome.NOT_PLACED),
        "results": results,
        "created_at": ist_iso(cancel.created_at),
    }


def _status(outcomes: Sequence[Outcome]) -> MassCancelStatus:
    """``needs_attention`` is no end: what the operator finds out may still be cancelled."""
    if not FINAL.issuperset(outcomes):
        return "running"
    return "needs_attention" if Outcome.NEEDS_ATTENTION in outcomes else "completed"


def _of_placement(task: Task, orders: Sequence[KnownOrder]) -> dict[str, Any]:
    request = task.order
    return {
        "task_id": str(task.task_id),
        "order_id": task.order_id or (orders[0].order_id if orders else None),
        "exchange": str(request.exchange),
        "tradingsymbol": request.tradingsymbol,
        "transaction_type": str(request.transaction_type),
        "quantity": request.quantity,
        "filled_quantity": sum(order.filled_quantity for order in orders),
        "outcome": str(outcome_of_placement(task, orders)),
    }


def _of_foreign(order: KnownOrder) -> dict[str, Any]:
    quantity = int(order.document["quantity"])
    return {
        "task_id": None,
        "order_id": order.order_id,
        "exchange": order.exchange,
        "tradingsymbol": order.tradingsymbol,
        "transaction_type": order.transaction_type,
        "quantity": quantity,
        "filled_quantity": order.filled_quantity,
        "outcome": str(outcome_of_orders([order], quantity=quantity)),
    }
