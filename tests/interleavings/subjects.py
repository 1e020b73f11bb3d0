"""What operations act on, as it stands before they begin. ``subject_makers`` makes it."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from uuid import UUID

from app.broker.orders import OrderChanges
from app.broker.outcomes import SendOutcome
from app.orders.state.model import Task

CLIENT_KEY = "the client's key"
MODIFIED = OrderChanges(price=Decimal(1390))
REPLACEMENT_PRICE = Decimal(1395)


class Subject(StrEnum):
    """What there is before two operations begin."""

    NEW = "new"  # nothing: a client is about to place an order
    PENDING = "pending"  # an order that waits to be sent, stored under ``CLIENT_KEY``
    HELD = "held"  # the same, under a halt of the account
    RUNNING = "running"  # an order that the broker has accepted, whose answer is not stored yet
    LAPSED = "lapsed"  # the same, and its claim is over
    UNSENT = "unsent"  # an order that was claimed and could not be sent, which is not stored yet
    LIVE = "live"  # an order that rests at the exchange
    MOVED = "moved"  # the same, and the exchange has cancelled it since the book was read
    FILLED = "filled"  # the same, and it has filled in part since the book was read
    CANCELLING = "cancelling"  # the same, with a cancel that waits to be sent
    MODIFYING = "modifying"  # the same, with a modification that the broker has accepted and whose answer is not stored
    REPLACING = "replacing"  # the same, with an order that waits to take its place
    DOUBT = "doubt"  # an order of unknown outcome that the broker has
    LOST = "lost"  # an order of unknown outcome that the broker has not
    GIVEN_UP = "given_up"  # an order that was given up, and that the broker has after all
    BATCH = "batch"  # leg 0 rests, leg 1 failed, leg 2 waits
    ANSWERED_LEG = "answered_leg"  # leg 0 rests, leg 1 was refused and the refusal is not stored yet, leg 2 waits
    SQUARE_OFF = "square_off"  # leg 0 of two filled, leg 1 failed; what filled is to be closed
    EXIT = "exit"  # the same, and its exit rests at a price that the market has left
    LATE_EXIT = "late_exit"  # the same, and the exit's deadline is over


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One subject as it was made; what does not apply is None."""

    task: Task | None = None  # the one that operations act on
    answer: SendOutcome | None = None  # of the broker, not stored yet
    order_id: str | None = None
    version: str | None = None  # of the order, as a client has seen it: with no fill

    @property
    def task_id(self) -> UUID:
        assert self.task is not None
        return self.task.task_id
