"""Makes a known order from a row of the broker's order book, or from a task whose order the book never showed. Pure."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from uuid import UUID

from app.broker.orders import BrokerOrder
from app.orders.state.documents import broker_document, unplaced_document
from app.orders.state.model import KnownOrder, OrderState, Task
from app.orders.state.order_state import content_hash, state_of


def known_order(order: BrokerOrder, *, account_id: str, trade_date: date, task_id: UUID | None) -> KnownOrder:
    """The order of this row; ``task_id`` is its placement, None for an order of another application."""
    document = broker_document(order, account_id=account_id)
    return KnownOrder(
        account_id=account_id,
        trade_date=trade_date,
        order_id=order.order_id,
        task_id=task_id,
        status=order.status,
        state=state_of(order),
        filled_quantity=order.filled_quantity,
        average_price=order.average_price,
        content_hash=content_hash(document),
        document=document,
    )


def confirmed_order(task: Task, order_id: str) -> KnownOrder:
    """An order that the broker confirmed and its book never showed, with the fields of the request."""
    document = {**unplaced_document(task), "order_id": order_id, "status": UNKNOWN_STATUS}
    return KnownOrder(
        account_id=task.account_id,
        trade_date=task.trade_date,
        order_id=order_id,
        task_id=task.task_id,
        status=UNKNOWN_STATUS,
        state=OrderState.PENDING,
        filled_quantity=0,
        average_price=Decimal(0),
        content_hash=content_hash(document),
        document=document,
    )


UNKNOWN_STATUS = "UNKNOWN"
"""Stands for Kite's status where the order book never showed the order."""
