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
from enum import StrEnum
from typing import TypeAlias
from uuid import UUID

from app.broker.orders import TransactionType
from app.orders.model import FINISHED, NOT_FOUND_AT_BROKER, UNSENT, Batch, BatchStatus, OrderState, Task, TaskStatus


class Standing(StrEnum):
    """Where one leg stands."""

    WAITING = "waiting"  # not sent, or accepted and not yet past the broker's checks
    CONFIRMED = "confirmed"  # the broker shows it live or filled
    DOUBTFUL = "doubtful"  # it may or may not exist
    FAILED = "failed"  # it will not happen; nothing of it is live
    LOST = "lost"  # only a person can tell


@dataclass(frozen=True, slots=True, kw_only=True)
class LegOrder:
    """One order at the broker that belongs to a leg (several, when the broker sliced it)."""

    order_id: str
    variety: str
    state: OrderState
    filled_quantity: int
    average_price: Decimal
    parent_order_id: str | None = None
    stale: bool = False  # its end was never seen, and no book will show it any more


@dataclass(frozen=True, slots=True, kw_only=True)
class Leg:
    """A leg's task, its orders at the broker, and the cancels that rollback has already asked for."""

    task: Task
    orders: tuple[LegOrder, ...] = ()
    open_cancels: frozenset[str] = frozenset()  # order ids with an unfinished cancel task
    last_cancel_at: datetime | None = None
    square_off: Leg | None = None  # the order that takes this leg's fills back, once there is one

    @property
    def filled_quantity(self) -> int:
        return sum(order.filled_quantity for order in self.orders)

    @property
    def is_lost(self) -> bool:
        """Only a person can tell what became of it."""
        return self.task.status is TaskStatus.DEAD_LETTER or any(order.stale for order in self.orders)

    @property
    def average_price(self) -> Decimal:
        filled = self.filled_quantity
        if not filled:
            return Decimal(0)
        value = sum((order.average_price * order.filled_quantity for order in self.orders), Decimal(0))
        return (value / filled).quantize(Decimal("0.0001")).normalize() + 0


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Residual:
    """What rollback could not undo: a position that the filled legs left. Quantity is signed, sold is negative."""

    exchange: str
    tradingsymbol: str
    product: str
    quantity: int
    average_price: Decimal


CANCEL_AGAIN_AFTER = timedelta(seconds=1)


def standing(leg: Leg) -> Standing:
    status = leg.task.status
    if status is TaskStatus.IN_DOUBT:
        return Standing.DOUBTFUL
    if leg.is_lost:
        return Standing.LOST
    if status is not TaskStatus.COMPLETED:
        return Standing.FAILED if status in FINISHED else Standing.WAITING
    if not leg.orders or any(order.state is OrderState.PENDING for order in leg.orders):
        return Standing.WAITING
    if any(order.state is OrderState.REJECTED for order in leg.orders):
        return Standing.FAILED
    if any(order.state is OrderState.CANCELLED for order in leg.orders) and not leg.filled_quantity:
        return Standing.FAILED
    return Standing.CONFIRMED


def at_rest(leg: Leg) -> bool:
    """Nothing of this leg is live or may become live."""
    if leg.task.status is TaskStatus.COMPLETED:
        return bool(leg.orders) and all(order.state.is_terminal for order in leg.orders)
    return leg.task.status in FINISHED and leg.task.status is not TaskStatus.DEAD_LETTER


def decide(batch: Batch, legs: Sequence[Leg], *, now: datetime, doubt_patience: timedelta) -> Decision:
    """The next step of a batch that is not at its end."""
    if batch.status is BatchStatus.COMPENSATING:
        return _compensate(batch, legs, now=now, error=None)
    standings = [standing(leg) for leg in legs]
    if batch.rollback_on_failure:
        reason = _reason_to_roll_back(batch, legs, standings, now=now, doubt_patience=doubt_patience)
        if reason:
            return _compensate(batch, legs, now=now, error=reason)
    if all(place is Standing.CONFIRMED for place in standings):
        return Decision(status=BatchStatus.COMPLETED)
    if batch.rollback_on_failure:
        return Decision(status=BatchStatus.RUNNING, again_at=_next_moment(batch, legs, doubt_patience=doubt_patience))
    return _carry_on(batch, legs, standings, now=now)


def _reason_to_roll_back(
    batch: Batch, legs: Sequence[Leg], standings: Sequence[Standing], *, now: datetime, doubt_patience: timedelta
) -> str:
    for leg, place in zip(legs, standings, strict=True):
        if place in {Standing.FAILED, Standing.LOST}:
            return f"leg {leg.task.leg} {_why(leg)}"
        if place is Standing.DOUBTFUL and _doubt_since(leg) + doubt_patience <= now:
            return f"leg {leg.task.leg} is in doubt for longer than {doubt_patience.total_seconds():g} s"
    if now >= batch.deadline_at:
        return "the batch was not placed within its deadline"
    return ""


def _carry_on(batch: Batch, legs: Sequence[Leg], standings: Sequence[Standing], *, now: datetime) -> Decision:
    """Without rollback every leg stands for itself; the batch ends when each has its answer."""
    if Standing.LOST in standings:
        return Decision(status=BatchStatus.NEEDS_ATTENTION, error="a leg's fate could not be proven")
    if all(place in {Standing.CONFIRMED, Standing.FAILED} for place in standings):
        failed = standings.count(Standing.FAILED)
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
    if not leg.orders and task.status is TaskStatus.COMPLETED and task.order_id is not None:
        live = [_unseen(task)]  # accepted, and the book has not shown it yet: it can be cancelled all the same
    if leg.last_cancel_at is not None and now - leg.last_cancel_at < CANCEL_AGAIN_AFTER:
        return []
    return [
        CancelOrder(
            leg=task.leg or 0, order_id=order.order_id, variety=order.variety, parent_order_id=order.parent_order_id
        )
        for order in live
        if order.order_id not in leg.open_cancels
    ]


def _unseen(task: Task) -> LegOrder:
    return LegOrder(
        order_id=task.order_id or "",
        variety=task.variety,
        state=OrderState.PENDING,
        filled_quantity=0,
        average_price=Decimal(0),
    )


def _deal_with_fills(batch: Batch, legs: Sequence[Leg], *, error: str | None) -> Decision:
    if batch.on_filled == "square_off":
        todo = tuple(
            SquareOff(leg=leg.task.leg or 0, quantity=leg.filled_quantity)
            for leg in legs
            if leg.filled_quantity and leg.square_off is None
        )
        placed = [leg.square_off for leg in legs if leg.square_off is not None]
        if todo or not all(at_rest(leg) or leg.is_lost for leg in placed):
            return Decision(status=BatchStatus.COMPENSATING, actions=todo, error=error)
        if any(leg.is_lost for leg in placed):
            return Decision(status=BatchStatus.NEEDS_ATTENTION, error="a square-off's fate could not be proven")
    return Decision(status=BatchStatus.ROLLED_BACK_WITH_FILLS, error=error)


def residuals(legs: Sequence[Leg]) -> list[Residual]:
    """The exact position that the batch left, by exchange, symbol and product; what nets to nothing is left out."""
    sums: dict[tuple[str, str, str], list[tuple[int, Decimal]]] = {}
    for leg in [*legs, *(leg.square_off for leg in legs if leg.square_off is not None)]:
        if not leg.filled_quantity:
            continue
        order = leg.task.order
        signed = leg.filled_quantity if order.transaction_type is TransactionType.BUY else -leg.filled_quantity
        key = (str(order.exchange), order.tradingsymbol, str(order.product))
        sums.setdefault(key, []).append((signed, leg.average_price))
    found = []
    for (exchange, symbol, product), parts in sums.items():
        quantity = sum(signed for signed, _ in parts)
        if quantity:
            price = _average(parts, long=quantity > 0)
            found.append(
                Residual(
                    exchange=exchange, tradingsymbol=symbol, product=product, quantity=quantity, average_price=price
                )
            )
    return found


def _average(parts: Sequence[tuple[int, Decimal]], *, long: bool) -> Decimal:
    """Average price of the side that is left open."""
    side = [(abs(signed), price) for signed, price in parts if (signed > 0) is long]
    total = sum(quantity for quantity, _ in side)
    value = sum((quantity * price for quantity, price in side), Decimal(0))
    return (value / total).quantize(Decimal("0.0001")).normalize() + 0


def _why(leg: Leg) -> str:
    if any(order.stale for order in leg.orders):
        return "was live when it was last seen, and the book of its day is gone"
    if leg.task.last_error is not None:
        return f"failed: {leg.task.last_error['message']}"
    ended = [order for order in leg.orders if order.state in {OrderState.REJECTED, OrderState.CANCELLED}]
    if ended:
        return f"was {ended[0].state} by the exchange"
    return f"is {leg.task.status}"


def _doubt_since(leg: Leg) -> datetime:
    return leg.task.last_sent_at or leg.task.updated_at


def _next_moment(batch: Batch, legs: Sequence[Leg], *, doubt_patience: timedelta) -> datetime:
    doubts = [_doubt_since(leg) + doubt_patience for leg in legs if leg.task.status is TaskStatus.IN_DOUBT]
    return min([batch.deadline_at, *doubts])


def is_provisional(task: Task) -> bool:
    """Given up because the book never showed it: it may still appear until the day is over."""
    return task.status is TaskStatus.FAILED and task.error_code == NOT_FOUND_AT_BROKER
