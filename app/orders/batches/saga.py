"""What a batch does next: pure decisions from the state of its legs. The runner carries them out and asks again.

A batch has no memory of its own but its status: everything else is read from the durable legs each time, so a crash
between any two steps changes nothing. ``rolled_back`` is said only when every leg is at its end and nothing filled;
what filled cannot be cancelled and is reported to the last share.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TypeAlias
from uuid import UUID

from app.orders.batches.legs import Leg, LegOrder, LegStatus, at_rest, leg_status
from app.orders.state.model import UNSENT, Batch, BatchStatus, OrderState, Task, TaskStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class Withdraw:
    task_id: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelOrder:
    leg: int
    order_id: str
    variety: str
    parent_order_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SquareOff:
    leg: int
    quantity: int


Action: TypeAlias = Withdraw | CancelOrder | SquareOff


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What to do now, and the batch's status after it. ``again_at``: ask again by then even if nothing happens."""

    status: BatchStatus
    actions: tuple[Action, ...] = ()
    error: str | None = None
    again_at: datetime | None = None


CANCEL_AGAIN_AFTER = timedelta(seconds=1)
_DECIDED = frozenset({LegStatus.CONFIRMED, LegStatus.FAILED, LegStatus.LOST})


def decide(batch: Batch, legs: Sequence[Leg], *, now: datetime, doubt_timeout: timedelta) -> Decision:
    """The next step of a batch that is not at its end."""
    if batch.status is BatchStatus.COMPENSATING:
        return _compensate(batch, legs, now=now, error=None)
    statuses = [leg_status(leg) for leg in legs]
    if batch.rollback_on_failure:
        reason = _reason_to_roll_back(batch, legs, statuses, now=now, doubt_timeout=doubt_timeout)
        if reason:
            return _compensate(batch, legs, now=now, error=reason)
    if all(place is LegStatus.CONFIRMED for place in statuses):
        return Decision(status=BatchStatus.COMPLETED)
    if batch.rollback_on_failure:
        return Decision(status=BatchStatus.RUNNING, again_at=_next_moment(batch, legs, doubt_timeout=doubt_timeout))
    return _carry_on(batch, legs, statuses, now=now)


def _reason_to_roll_back(
    batch: Batch, legs: Sequence[Leg], statuses: Sequence[LegStatus], *, now: datetime, doubt_timeout: timedelta
) -> str:
    for leg, place in zip(legs, statuses, strict=True):
        if place in {LegStatus.FAILED, LegStatus.LOST}:
            return f"leg {leg.task.leg} {_why(leg)}"
        if place is LegStatus.DOUBTFUL and _doubt_since(leg) + doubt_timeout <= now:
            return f"leg {leg.task.leg} is in doubt for longer than {doubt_timeout.total_seconds():g} s"
    if now >= batch.deadline_at:
        return "the batch was not placed within its deadline"
    return ""


def _carry_on(batch: Batch, legs: Sequence[Leg], statuses: Sequence[LegStatus], *, now: datetime) -> Decision:
    """Without rollback every leg stands for itself; the batch ends when each has its answer."""
    if all(place in _DECIDED for place in statuses):
        if LegStatus.LOST in statuses:
            return Decision(status=BatchStatus.NEEDS_ATTENTION, error="a leg's fate could not be proven")
        failed = statuses.count(LegStatus.FAILED)
        return Decision(status=BatchStatus.PARTIALLY_COMPLETED, error=f"{failed} of {len(legs)} legs failed")
    late = now >= batch.deadline_at
    unsent = tuple(Withdraw(task_id=leg.task.task_id) for leg in legs if late and leg.task.status in UNSENT)
    again_at = None if late else batch.deadline_at
    return Decision(status=BatchStatus.RUNNING, actions=unsent, again_at=again_at)


def _compensate(batch: Batch, legs: Sequence[Leg], *, now: datetime, error: str | None) -> Decision:
    actions = [action for leg in legs for action in _undo(leg, now=now)]
    if actions or not all(at_rest(leg) or leg.is_lost for leg in legs):
        again_at = now + CANCEL_AGAIN_AFTER
        return Decision(status=BatchStatus.COMPENSATING, actions=tuple(actions), error=error, again_at=again_at)
    if any(leg.is_lost for leg in legs):
        return Decision(status=BatchStatus.NEEDS_ATTENTION, error="a leg's fate could not be proven")
    if not any(leg.filled_quantity for leg in legs):
        return Decision(status=BatchStatus.ROLLED_BACK, error=error)
    return _deal_with_fills(batch, legs, error=error)


def _undo(leg: Leg, *, now: datetime) -> list[Action]:
    """What takes one leg back, given what was already tried."""
    task = leg.task
    if task.status in UNSENT:
        return [Withdraw(task_id=task.task_id)]
    live = [order for order in leg.orders if not order.state.is_terminal and not order.stale]
    if task.status is TaskStatus.COMPLETED:  # what the book has not shown yet can be cancelled all the same
        live += [_unseen(task, order_id) for order_id in leg.unseen]
    if leg.last_cancel_at is not None and now - leg.last_cancel_at < CANCEL_AGAIN_AFTER:
        return []
    return [
        CancelOrder(
            leg=task.leg or 0, order_id=order.order_id, variety=order.variety, parent_order_id=order.parent_order_id
        )
        for order in live
        if order.order_id not in leg.open_cancels
    ]


def _unseen(task: Task, order_id: str) -> LegOrder:
    return LegOrder(
        order_id=order_id,
        variety=task.variety,
        state=OrderState.PENDING,
        filled_quantity=0,
        average_price=Decimal(0),
    )


def _deal_with_fills(batch: Batch, legs: Sequence[Leg], *, error: str | None) -> Decision:
    backs = [leg.square_off for leg in legs if leg.square_off is not None]
    if batch.on_filled == "square_off":
        todo = tuple(
            SquareOff(leg=leg.task.leg or 0, quantity=leg.filled_quantity)
            for leg in legs
            if leg.filled_quantity and leg.square_off is None
        )
        waiting = not all(at_rest(back) or back.is_lost for back in backs)
        if todo or waiting:
            return Decision(status=BatchStatus.COMPENSATING, actions=todo, error=error)
    if any(back.is_lost for back in backs):
        return Decision(status=BatchStatus.NEEDS_ATTENTION, error="the fate of a square-off could not be proven")
    return Decision(status=BatchStatus.ROLLED_BACK_WITH_FILLS, error=error)


def _why(leg: Leg) -> str:
    if any(order.stale for order in leg.orders):
        return "was live when it was last seen, and the book of its day is gone"
    if leg.task.last_error is not None:
        return f"failed: {leg.task.last_error.message}"
    if leg.refused_slices:
        return f"was taken in part only: {leg.refused_slices[0]}"
    ended = [order for order in leg.orders if order.state in {OrderState.REJECTED, OrderState.CANCELLED}]
    if ended:
        return f"was {ended[0].state} by the exchange"
    return f"is {leg.task.status}"


def _doubt_since(leg: Leg) -> datetime:
    return leg.task.last_sent_at or leg.task.updated_at


def _next_moment(batch: Batch, legs: Sequence[Leg], *, doubt_timeout: timedelta) -> datetime:
    doubts = [_doubt_since(leg) + doubt_timeout for leg in legs if leg.task.status is TaskStatus.IN_DOUBT]
    return min([batch.deadline_at, *doubts])
