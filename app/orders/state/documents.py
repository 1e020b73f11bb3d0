"""The JSON that clients see of orders and tasks. Pure, and the only place where it is made.

An order document has Kite's field names and those that this service adds (``state``, ``task_id``, ``batch_id``). Times
are ISO-8601 in IST. ``tag`` is the client's own; the tag on the wire is never shown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from app.broker.orders import BrokerOrder, Operation
from app.broker.outcomes import ChildOrder
from app.kit.clock import ist_iso
from app.orders.state.completeness import average_price, state_of_all, state_without_order
from app.orders.state.model import KnownOrder, OrderState, Task, TaskError, TaskStatus
from app.orders.state.order_state import state_of

_EXTRA_FIELDS = (
    "placed_by", "validity_ttl", "disclosed_quantity", "market_protection", "modified", "guid", "auction_number",
    "meta",
)  # fmt: skip


def broker_document(order: BrokerOrder, *, account_id: str) -> dict[str, Any]:
    """The stored document of a row of the broker's order book, JSON-ready."""
    document: dict[str, Any] = {
        "account_id": account_id,
        "order_id": order.order_id,
        "exchange_order_id": order.exchange_order_id,
        "parent_order_id": order.parent_order_id,
        "status": order.status,
        "state": str(state_of(order)),
        "status_message": order.status_message,
        "status_message_raw": order.status_message_raw,
        "order_timestamp": _time(order.order_timestamp),
        "exchange_timestamp": _time(order.exchange_timestamp),
        "exchange_update_timestamp": _time(order.exchange_update_timestamp),
        "variety": order.variety,
        "exchange": order.exchange,
        "tradingsymbol": order.tradingsymbol,
        "instrument_token": order.instrument_token,
        "order_type": order.order_type,
        "transaction_type": order.transaction_type,
        "validity": order.validity,
        "product": order.product,
        "quantity": order.quantity,
        "price": order.price,
        "trigger_price": order.trigger_price,
        "average_price": order.average_price,
        "filled_quantity": order.filled_quantity,
        "pending_quantity": order.pending_quantity,
        "cancelled_quantity": order.cancelled_quantity,
        "tag": order.tag,
        "tags": list(order.tags),
    }
    document.update({name: order.raw[name] for name in _EXTRA_FIELDS if name in order.raw})
    return document


def order_document(order: KnownOrder, task: Task | None) -> dict[str, Any]:
    """An order as clients see it; ``task`` is its placement, None for an order of another application."""
    document = dict(order.document)
    document["task_id"] = None if task is None else str(task.task_id)
    document["batch_id"] = None if task is None or task.batch_id is None else str(task.batch_id)
    document["stale"] = order.is_stale
    document["version"] = version_of(order.content_hash)
    if task is not None:
        document["tag"] = task.user_tag
        document.pop("tags", None)
    return document


def version_of(content_hash: bytes) -> str:
    """The version that clients name in ``If-Match``: 32 hex digits that change when the book shows any change."""
    return content_hash[:16].hex()


def unplaced_document(task: Task) -> dict[str, Any]:
    """A placement that the book has not shown (yet), with the fields of an order."""
    document: dict[str, Any] = {
        "account_id": task.account_id,
        "order_id": task.order_id,
        "status": None,
        "state": str(state_without_order(task)),
        **_request_fields(task.request),
        "filled_quantity": 0,
        "average_price": 0,
        "tag": task.user_tag,
        "task_id": str(task.task_id),
        "batch_id": None if task.batch_id is None else str(task.batch_id),
        "version": None,
        "task_status": str(task.status),
        "sent": str(task.sent),
        "error": error_json(task.last_error),
    }
    return document


def group_document(task: Task, rows: Sequence[KnownOrder]) -> dict[str, Any]:
    """All slices of a placement as one order; ``rows``: those that the book has shown."""
    return {
        **unplaced_document(task),
        "state": str(state_of_all(task, rows)),
        "filled_quantity": sum(row.filled_quantity for row in rows),
        "average_price": average_price(rows),
        "children": children_json(task.children),
    }


def error_json(error: TaskError | None) -> dict[str, Any] | None:
    """The JSON of an error; None for None."""
    return None if error is None else error.to_json()


def children_json(children: Sequence[ChildOrder]) -> list[dict[str, Any]]:
    """The slices of an order: for each its id, or the error with which the broker refused it."""
    return [
        {"order_id": child.order_id}
        if child.order_id
        else {"error": {"error_type": child.error_type, "message": child.message}}
        for child in children
    ]


def children_from_json(stored: Sequence[Mapping[str, Any]]) -> tuple[ChildOrder, ...]:
    """The values of which ``children_json`` made ``stored``."""
    return tuple(ChildOrder(order_id=child.get("order_id"), **child.get("error", {})) for child in stored)


def _request_fields(request: Mapping[str, Any]) -> dict[str, Any]:
    """A stored request with its decimals as numbers again, as in an order document."""
    return {name: _field(name, value) for name, value in request.items()}


def _field(name: str, value: Any) -> Any:
    if isinstance(value, Mapping):
        return _request_fields(value)
    return Decimal(value) if name in _DECIMAL_FIELDS and isinstance(value, str) else value


_DECIMAL_FIELDS = frozenset({"price", "trigger_price", "market_protection"})


def task_document(task: Task) -> dict[str, Any]:
    """A task as clients see it."""
    return {
        "task_id": str(task.task_id),
        "account_id": task.account_id,
        "operation": str(task.operation),
        "status": str(task.status),
        "attempts": task.attempts,
        "order_id": task.order_id or task.target_order_id,
        "children": children_json(task.children),
        "batch_id": None if task.batch_id is None else str(task.batch_id),
        "leg": task.leg,
        "request": _request_fields(task.request),
        "tag": task.user_tag,
        "last_error": error_json(task.last_error),
        "sent": str(task.sent),
        "supersedes": None if task.supersedes is None else str(task.supersedes),
        "cancel_on_sight": task.unwanted_since is not None,
        "replaces": task.replaces,
        "created_at": ist_iso(task.created_at),
        "updated_at": ist_iso(task.updated_at),
    }


def order_event_type(state: OrderState) -> str:
    """The type of the event for an order that the book shows in this state."""
    return {
        OrderState.COMPLETED: "order_completed",
        OrderState.CANCELLED: "order_cancelled",
        OrderState.REJECTED: "order_rejected",
    }.get(state, "order_updated")


def task_event_type(operation: Operation, status: TaskStatus) -> str | None:
    """The type of the event for a task's new status; None where no event is due, or the order's own row makes it."""
    if status is TaskStatus.COMPLETED:
        return "order_placed" if operation is Operation.PLACE else None
    return {
        TaskStatus.FAILED: "order_failed",
        TaskStatus.EXPIRED: "order_failed",
        TaskStatus.CANCELLED: "order_cancelled",
        TaskStatus.IN_DOUBT: "order_in_doubt",
        TaskStatus.DEAD_LETTER: "order_in_doubt",
    }.get(status)


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else ist_iso(moment)


def command_document(task: Task) -> dict[str, Any]:
    """A modification or cancel as an event shows it."""
    return {
        "account_id": task.account_id,
        "order_id": task.target_order_id,
        "task_id": str(task.task_id),
        "operation": str(task.operation),
        "task_status": str(task.status),
        "sent": str(task.sent),
        "error": error_json(task.last_error),
    }
