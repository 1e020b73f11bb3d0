"""The JSON that clients see of a batch and its legs. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from app.kit.clock import ist_iso
from app.orders.batches.legs import Leg, LegStatus, Residual, exits_of, exposures, leg_status, residuals
from app.orders.state.completeness import state_of_all
from app.orders.state.documents import error_json
from app.orders.state.model import Batch, BatchStatus, OrderState, TaskStatus


def batch_document(batch: Batch, legs: Sequence[Leg]) -> dict[str, Any]:
    """A batch as clients see it.

    ``succeeded``, ``failed`` and ``rolled_back`` add up to ``total_orders`` once the batch is finished.
    """
    statuses = [_status(leg, batch) for leg in legs]
    rolled_back = batch.status in {
        BatchStatus.COMPENSATING,
        BatchStatus.ROLLED_BACK,
        BatchStatus.ROLLED_BACK_WITH_FILLS,
        BatchStatus.NEEDS_ATTENTION,
    }
    # an exit opens no position: of one that is a leg, what it has not closed is open
    opened = residuals([leg for leg in legs if not leg.is_exit]) if rolled_back else []
    undone = [leg for leg in legs if rolled_back and _was_undone(leg)]
    return {
        "batch_id": str(batch.batch_id),
        "account_id": batch.account_id,
        "status": str(batch.status),
        "success": batch.status is BatchStatus.COMPLETED,
        "total_orders": batch.total_orders,
        "succeeded": statuses.count(LegStatus.CONFIRMED),
        "failed": statuses.count(LegStatus.FAILED) - len(undone),
        "rolled_back": len(undone),
        "residual": [_residual_document(one) for one in (*opened, *exposures(legs))],
        "orders": [_leg_document(leg) for leg in legs],
        "created_at": ist_iso(batch.created_at),
        "completed_at": None if batch.completed_at is None else ist_iso(batch.completed_at),
        "error": error_json(batch.error),
    }


def _status(leg: Leg, batch: Batch) -> LegStatus:
    """The state of a leg; an exit of which a finished batch waits no more has failed."""
    status = leg_status(leg)
    is_given_up = leg.is_exit and status is LegStatus.WAITING and not batch.status.is_open
    return LegStatus.FAILED if is_given_up else status


def _was_undone(leg: Leg) -> bool:
    """Whether rollback undid the leg: it was withdrawn unsent, or cancelled at the broker without a fill."""
    if leg.task.status is TaskStatus.CANCELLED:
        return True
    cancelled = bool(leg.orders) and all(order.state is OrderState.CANCELLED for order in leg.orders)
    return leg.task.unwanted_why == "rollback" and cancelled and not leg.filled_quantity


def _leg_document(leg: Leg) -> dict[str, Any]:
    order_id = leg.task.order_id or (leg.orders[0].order_id if leg.orders else None)
    return {
        "index": leg.task.leg,
        "task_id": str(leg.task.task_id),
        "status": str(leg.task.status),
        "order_id": order_id,
        "state": str(state_of_all(leg.task, leg.orders)),
        "filled_quantity": sum(one.filled_quantity for one in exits_of(leg)) if leg.is_exit else leg.filled_quantity,
        "error": error_json(leg.task.last_error),
    }


def _residual_document(residual: Residual) -> dict[str, Any]:
    return {
        "tradingsymbol": residual.tradingsymbol,
        "exchange": residual.exchange,
        "product": residual.product,
        "quantity": residual.quantity,
        "average_price": residual.average_price,
    }


def batch_event_type(status: BatchStatus) -> str | None:
    """The event that announces this status; None for a status that is not announced."""
    return {
        BatchStatus.COMPLETED: "batch_completed",
        BatchStatus.PARTIALLY_COMPLETED: "batch_completed",
        BatchStatus.ROLLED_BACK: "batch_rolled_back",
        BatchStatus.ROLLED_BACK_WITH_FILLS: "batch_rolled_back",
        BatchStatus.NEEDS_ATTENTION: "batch_needs_attention",
    }.get(status)
