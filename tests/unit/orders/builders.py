"""Tasks, rows and batches with everything filled in, so that a test names only what it is about."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from app.broker.orders import BrokerOrder, Operation, OrderRequest
from app.broker.outcomes import Sent
from app.orders.batches.legs import Leg
from app.orders.state.model import Batch, BatchStatus, KnownOrder, OrderState, Task, TaskStatus
from tests.order_requests import order

NOW = datetime(2026, 7, 6, 5, 0, tzinfo=UTC)
TAG_BASE = "SV0123456789ABCDEFG"


def seconds(value: float) -> timedelta:
    return timedelta(seconds=value)


def task(request: OrderRequest | None = None, **changes: Any) -> Task:
    """A place task that was sent once, ten seconds ago, and is in doubt."""
    wanted = request or order()
    fields: dict[str, Any] = {
        "task_id": UUID(int=1),
        "account_id": "primary",
        "operation": Operation.PLACE,
        "status": TaskStatus.IN_DOUBT,
        "trade_date": date(2026, 7, 6),
        "instrument": wanted.instrument,
        "request": wanted.to_json(),
        "priority": 2,
        "send_by": NOW + seconds(20),
        "tag_base": TAG_BASE,
        "attempts": 1,
        "sent": Sent.UNKNOWN,
        "fence": 1,
        "last_sent_at": NOW - seconds(10),
        "created_at": NOW - seconds(11),
        "updated_at": NOW - seconds(9),
    }
    return Task(**{**fields, **changes})


def command(operation: Operation, **changes: Any) -> Task:
    """A cancel, or a modification of the price to 1401, of order 7."""
    request: dict[str, Any] = {"order_id": "7", "variety": "regular"}
    if operation is Operation.MODIFY:
        request["changes"] = {"price": "1401"}
    fields = {"operation": operation, "tag_base": None, "target_order_id": "7", **changes}
    return replace(task(), request=request, **fields)


def row(request: OrderRequest | None = None, **changes: Any) -> BrokerOrder:
    """The book's row of `request`, under the tag of the first attempt, stamped when it was sent."""
    wanted = request or order()
    fields: dict[str, Any] = {
        "order_id": "7",
        "status": "OPEN",
        "exchange": str(wanted.exchange),
        "tradingsymbol": wanted.tradingsymbol,
        "transaction_type": str(wanted.transaction_type),
        "product": str(wanted.product),
        "order_type": str(wanted.order_type),
        "variety": str(wanted.variety),
        "quantity": wanted.quantity,
        "price": wanted.price or Decimal(0),
        "tag": TAG_BASE + "1",
        "order_timestamp": NOW - seconds(10),
    }
    return BrokerOrder(**{**fields, **changes})


def known(**changes: Any) -> KnownOrder:
    """Order 7 as last seen: open, nothing filled."""
    fields: dict[str, Any] = {
        "account_id": "primary",
        "trade_date": date(2026, 7, 6),
        "order_id": "7",
        "task_id": None,
        "status": "OPEN",
        "state": OrderState.OPEN,
        "filled_quantity": 0,
        "average_price": Decimal(0),
        "content_hash": b"",
    }
    document = {
        "exchange": "NSE",
        "tradingsymbol": "INFY",
        "transaction_type": "BUY",
        "variety": "regular",
        "order_type": "LIMIT",
        "validity": "DAY",
        "price": Decimal(1400),
        "quantity": 10,
    }
    return KnownOrder(**{**fields, **changes, "document": {**document, **changes.get("document", {})}})


def leg(number: int, status: TaskStatus, *orders: KnownOrder, **changes: Any) -> Leg:
    """Leg `number` of a batch with its task in `status`; its orders are on the side of the request."""
    fields = {name: changes.pop(name) for name in list(changes) if name not in Leg.__dataclass_fields__}
    placed = task(task_id=UUID(int=100 + number), leg=number, status=status, **fields)
    return Leg(task=placed, orders=tuple(on_side_of(placed.order, one) for one in orders), **changes)


def on_side_of(request: OrderRequest, one: KnownOrder) -> KnownOrder:
    return replace(one, document={**one.document, "transaction_type": str(request.transaction_type)})


def leg_order(
    state: OrderState,
    *,
    filled: int = 0,
    order_id: str = "7",
    price: str = "1500",
    stale: bool = False,
    quantity: int = 10,
) -> KnownOrder:
    return known(
        order_id=order_id,
        state=state,
        filled_quantity=filled,
        average_price=Decimal(price) if filled else Decimal(0),
        document={"quantity": quantity, **({"stale": True} if stale else {})},
    )


def batch(**changes: Any) -> Batch:
    fields: dict[str, Any] = {
        "batch_id": UUID(int=9),
        "account_id": "primary",
        "status": BatchStatus.RUNNING,
        "rollback_on_failure": True,
        "on_filled": "report",
        "total_orders": 2,
        "deadline_at": NOW + seconds(60),
        "created_at": NOW - seconds(11),
        "updated_at": NOW - seconds(11),
    }
    return Batch(**{**fields, **changes})
