"""Are these rows all the orders of a placement? One answer, from quantities and what the broker said of slices. Pure.

The broker makes one order of a placement, or several under its tag: the slices of a quantity above the freeze limit,
the legs of an iceberg one after another, the stop of a cover order once its first leg has ended with fills.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from enum import StrEnum
from typing import TypeAlias, TypeVar

from app.broker.orders import BrokerOrder, OrderRequest, Variety
from app.broker.outcomes import Sent
from app.orders.state.model import ENDED_WITHOUT_ORDER, KnownOrder, OrderState, Task, TaskStatus


class Accounted(StrEnum):
    """How much of a placement its rows are."""

    PART = "part"  # the broker has made more orders, or may have
    SO_FAR = "so_far"  # all by now; the broker makes another one when one of these fills
    ALL = "all"  # no other one can follow


Row: TypeAlias = BrokerOrder | KnownOrder
"""An order as the book shows it, or as it is stored."""

SLICES_MISSING = "SLICES_MISSING"
"""The error code of a placement that was completed although the order book shows slices for a part of it only."""

R = TypeVar("R", bound=Row)


def accounted(task: Task, rows: Sequence[Row]) -> Accounted:
    """How much of this placement these rows are; those of a cover order include its stop, on the other side."""
    wanted, own = task.order, own_side(task, rows)
    unseen = set(task.confirmed_ids) - {row.order_id for row in rows}
    quantity = sum(row.quantity for row in own)
    if wanted.autoslice or (task.children and wanted.variety is Variety.REGULAR):
        is_whole = wanted.autoslice and quantity >= wanted.quantity and not any(row.is_modified for row in own)
        return Accounted.ALL if is_whole or (task.children and not unseen) else Accounted.PART
    if unseen or not own:
        return Accounted.PART
    if wanted.variety is Variety.ICEBERG:
        ended_early = any(row.is_terminal and row.filled_quantity < row.quantity for row in own)
        return Accounted.ALL if ended_early or quantity >= wanted.quantity else Accounted.SO_FAR
    if wanted.variety is Variety.CO:
        stopped = sum(row.quantity for row in rows) - quantity
        may_follow = not all(row.is_terminal for row in own) or sum(row.filled_quantity for row in own) > stopped
        return Accounted.SO_FAR if may_follow else Accounted.ALL
    return Accounted.ALL


def surplus(task: Task, rows: Sequence[Row]) -> str:
    """Why the placement cannot have made all of these rows, by their quantities; an empty string when it can."""
    wanted, own = task.order, own_side(task, rows)
    ids = ", ".join(row.order_id for row in own)
    if not makes_several(wanted) and len(rows) > 1:
        return f"{len(rows)} orders carry the tag of one attempt: {ids}"
    quantity = sum(row.quantity for row in own)
    is_less = quantity < wanted.quantity and not makes_several(wanted)
    if (quantity > wanted.quantity or is_less) and not any(row.is_modified for row in own):
        return f"order {ids}: quantity is {quantity}, asked for {wanted.quantity}"
    return ""


def makes_several(wanted: OrderRequest) -> bool:
    """Whether the broker may make several orders of the request, under one tag."""
    return wanted.autoslice or wanted.variety in {Variety.ICEBERG, Variety.CO}


def own_side(task: Task, rows: Sequence[R]) -> list[R]:
    """The rows of the placement's own side, which leaves out the stop of a cover order."""
    return [row for row in rows if row.transaction_type == task.order.transaction_type]


def untaken(task: Task) -> str:
    """Why the broker has taken a completed placement in part only, in words; empty when it has taken all of it."""
    refused = [str(child.message) for child in task.children if child.order_id is None]
    if not refused and task.last_error is not None:
        return task.last_error.message
    return refused[0] if refused else ""


def at_rest(task: Task, rows: Sequence[KnownOrder]) -> bool:
    """Whether no order of the placement is live or can become live, as far as the book has shown."""
    if task.status is TaskStatus.COMPLETED:
        return accounted(task, rows) is Accounted.ALL and all(row.is_terminal or row.is_stale for row in rows)
    return task.status in ENDED_WITHOUT_ORDER


def state_of_all(task: Task, rows: Sequence[KnownOrder]) -> OrderState:
    """The state of all orders of a placement together: that of the least finished one."""
    if not rows:
        return state_without_order(task)
    live = [row.state for row in rows if not row.is_terminal]
    if accounted(task, rows) is Accounted.PART:
        live.append(OrderState.PENDING)
    if live:
        return OrderState.PARTIALLY_FILLED if any(row.filled_quantity for row in rows) else live[0]
    for state in (OrderState.COMPLETED, OrderState.CANCELLED):
        if any(row.state is state for row in rows):
            return state
    return OrderState.REJECTED


def state_without_order(task: Task) -> OrderState:
    """The state of a placement that the book has not shown: ``rejected`` is said only of what the broker has refused,
    and ``cancelled`` of what ended otherwise, unsent or given up."""
    if task.status not in ENDED_WITHOUT_ORDER:
        return OrderState.PENDING
    refused = task.status is TaskStatus.FAILED and task.sent is Sent.YES
    return OrderState.REJECTED if refused else OrderState.CANCELLED


def average_price(rows: Sequence[KnownOrder]) -> Decimal:
    """The average price of the fills in rupees, to four decimals; 0 without a fill."""
    filled = sum(row.filled_quantity for row in rows)
    if not filled:
        return Decimal(0)
    value = sum((row.average_price * row.filled_quantity for row in rows), Decimal(0))
    return (value / filled).quantize(Decimal("0.0001")).normalize() + 0
