"""The state of a batch's legs and the positions that they leave: pure rules over their tasks and orders.

A leg is one task and the orders that the broker made of it: one order, or several slices. A leg is confirmed only when
the broker has accepted all of its orders, and finished only when none of them is live or can become live.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from app.broker.orders import TransactionType
from app.orders.state.completeness import Accounted, accounted, at_rest, average_price, own_side, untaken
from app.orders.state.model import FINISHED, KnownOrder, OrderState, Task, TaskStatus


class LegStatus(StrEnum):
    """The state of one leg, for the decisions of its batch."""

    WAITING = "waiting"  # not sent, or accepted and not yet past the broker's checks
    CONFIRMED = "confirmed"  # the order book shows it live or filled
    DOUBTFUL = "doubtful"  # its order may or may not exist; the reconciler is finding out
    FAILED = "failed"  # the broker has no order for it, or not all of its slices
    LOST = "lost"  # its outcome was never observed; an operator has to determine it


@dataclass(frozen=True, slots=True, kw_only=True)
class Leg:
    """A leg's task, its orders at the broker, and what closes its fills."""

    task: Task
    orders: tuple[KnownOrder, ...] = ()
    exits: tuple[Leg, ...] = ()  # the orders that close its position, oldest first, each after the end of the others

    @property
    def own(self) -> list[KnownOrder]:
        """Its orders without the stop of a cover order, which is on the other side."""
        return own_side(self.task, self.orders)

    @property
    def filled_quantity(self) -> int:
        """What has filled of what was asked for, in the units of the request."""
        return sum(order.filled_quantity for order in self.own)

    @property
    def open_quantity(self) -> int:
        """The part of that which the stop of a cover order has not closed again."""
        return 2 * self.filled_quantity - sum(order.filled_quantity for order in self.orders)

    @property
    def is_exit(self) -> bool:
        """Whether it closes a position itself, as its batch's client asked."""
        return self.task.purpose == "client" and self.task.exit_by is not None

    @property
    def is_lost(self) -> bool:
        """Whether its outcome was never observed, so that an operator has to determine it."""
        return self.task.status is TaskStatus.DEAD_LETTER or any(order.is_stale for order in self.orders)


@dataclass(frozen=True, slots=True, kw_only=True)
class Residual:
    """A position that the filled legs leave and rollback could not undo.

    ``quantity`` is in Kite's units, negative for a short position; ``average_price`` is in rupees, None where other
    orders than the batch's have opened it.
    """

    exchange: str
    tradingsymbol: str
    product: str
    quantity: int
    average_price: Decimal | None


def leg_status(leg: Leg) -> LegStatus:
    """The state of one leg: by its task until the broker has confirmed it, then by its orders.

    One that closes a position is confirmed when that is closed, by whichever of its exits.
    """
    if leg.is_exit:
        return _exit_status(leg)
    status = leg.task.status
    if status is TaskStatus.IN_DOUBT:
        return LegStatus.DOUBTFUL
    if leg.is_lost:
        return LegStatus.LOST
    if status is not TaskStatus.COMPLETED:
        return LegStatus.FAILED if status in FINISHED else LegStatus.WAITING
    if untaken(leg.task):
        return LegStatus.FAILED
    if accounted(leg.task, leg.orders) is Accounted.PART or any(one.state is OrderState.PENDING for one in leg.orders):
        return LegStatus.WAITING
    if any(order.state is OrderState.REJECTED for order in leg.orders):
        return LegStatus.FAILED
    if any(order.state is OrderState.CANCELLED for order in leg.orders) and not leg.filled_quantity:
        return LegStatus.FAILED
    return LegStatus.CONFIRMED


def _exit_status(leg: Leg) -> LegStatus:
    chain = exits_of(leg)
    if any(one.is_lost for one in chain):
        return LegStatus.LOST
    if chain[-1].task.status is TaskStatus.IN_DOUBT:
        return LegStatus.DOUBTFUL
    is_closed = left_to_close(leg) <= 0 and all(is_finished(one) for one in chain)
    return LegStatus.CONFIRMED if is_closed else LegStatus.WAITING


def exits_of(leg: Leg) -> tuple[Leg, ...]:
    """The exits of a leg's position, oldest first: its own order too, where its client asked to close a position."""
    return (leg, *leg.exits) if leg.is_exit else leg.exits


def left_to_close(leg: Leg) -> int:
    """What the exits of a leg have not closed yet, in the units of the request."""
    wanted = leg.task.order.quantity if leg.is_exit else leg.open_quantity
    return wanted - sum(one.filled_quantity for one in exits_of(leg))


def is_finished(leg: Leg) -> bool:
    """Whether no order of this leg is live or can become live."""
    return at_rest(leg.task, leg.orders)


def residuals(legs: Sequence[Leg]) -> list[Residual]:
    """The positions that the batch leaves, by exchange, symbol and product, without those that net to zero."""
    sums: dict[tuple[str, str, str], list[tuple[int, Decimal]]] = {}
    for leg in [*legs, *(follower for one in legs for follower in one.exits)]:
        if not leg.open_quantity:
            continue
        order = leg.task.order
        signed = leg.open_quantity if order.transaction_type is TransactionType.BUY else -leg.open_quantity
        key = (str(order.exchange), order.tradingsymbol, str(order.product))
        sums.setdefault(key, []).append((signed, average_price(leg.own)))
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


def exposures(legs: Sequence[Leg]) -> list[Residual]:
    """What exits that a client asked for have not closed."""
    found = []
    for leg in legs:
        left, order = left_to_close(leg), leg.task.order
        if leg.is_exit and left > 0:
            found.append(
                Residual(
                    exchange=str(order.exchange),
                    tradingsymbol=order.tradingsymbol,
                    product=str(order.product),
                    quantity=left if order.transaction_type is TransactionType.SELL else -left,
                    average_price=None,
                )
            )
    return found


def _average(parts: Sequence[tuple[int, Decimal]], *, long: bool) -> Decimal:
    """The average price in rupees of the side that stays open, to four decimals."""
    side = [(abs(signed), price) for signed, price in parts if (signed > 0) is long]
    total = sum(quantity for quantity, _ in side)
    value = sum((quantity * price for quantity, price in side), Decimal(0))
    return (value / total).quantize(Decimal("0.0001")).normalize() + 0
