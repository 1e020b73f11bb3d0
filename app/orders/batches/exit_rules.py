"""How exits are finished: the price of one, what becomes of a live one next, and when a new one follows. Pure.

An exit is an order that closes a position. It is a limit order, also when it was placed as a market order: the broker's
market protection makes it one, which rests when the market has moved away. Until ``exit_by`` its price follows the
market; after that it is cancelled, and what it has not closed is reported.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from enum import StrEnum
from typing import TypeAlias

from app.broker.orders import TransactionType
from app.broker.outcomes import Sent
from app.orders.batches.legs import Leg, exits_of, is_finished, left_to_close
from app.orders.risk.limits import MAX_MODIFICATIONS
from app.orders.state.model import NOTHING_TO_REDUCE, TaskStatus

REFERENCE_MAX_AGE_S = 5.0
"""Seconds. An older price says nothing about the market now."""
LEAST_GAP_S = 1.0
"""Between two moves of one order."""
LONGEST_PAUSE_S = 30.0
"""Between two exits of one position, however many the broker or the exchange has ended."""

_BANDS = ((Decimal(10), Decimal(2)), (Decimal(100), Decimal(2)), (Decimal(500), Decimal(1)))
_OPTION_BANDS = ((Decimal(10), Decimal(5)), (Decimal(100), Decimal(3)), (Decimal(500), Decimal(2)))
_BAND_ABOVE = Decimal("0.5")
_OPTION_BAND_ABOVE = Decimal(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """What the market is known to be now. Prices in rupees."""

    last_price: Decimal
    age_s: float  # seconds since the last price arrived
    tick_size: Decimal  # prices are multiples of it
    is_option: bool
    lower_circuit: Decimal | None = None  # no order is taken below it; None: not known
    upper_circuit: Decimal | None = None  # no order is taken above it; None: not known

    @property
    def is_usable(self) -> bool:
        """Whether an order may be priced by it: it is fresh, and the instrument has traded."""
        return self.age_s <= REFERENCE_MAX_AGE_S and self.last_price > 0


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveExit:
    """A live order of an exit, as the book last showed it."""

    transaction_type: TransactionType
    price: Decimal  # its limit in rupees; 0: the book shows none
    is_open: bool  # at the exchange, and not being changed there
    is_moving: bool  # a modification is on its way, in doubt, or not in the book yet
    spent: int  # modifications that the broker has counted, or may count
    last_move_at: datetime | None  # when the last of them was stored
    began_at: datetime  # when its placement was stored
    exit_by: datetime  # when it is cancelled
    is_unwanted: bool  # it is being cancelled


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """Nothing is to be done now."""

    why: str
    until: datetime | None = None  # look again then; None: when the order or the market has changed
    needs_price: bool = False  # only a fresh price is missing


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """Modify the order's price."""

    price: Decimal


Step: TypeAlias = Wait | Move


def band_percent(price: Decimal, *, is_option: bool) -> Decimal:
    """How far from the last price the exchange takes an order, in percent: Kite's own table of market protection."""
    table, above = (_OPTION_BANDS, _OPTION_BAND_ABOVE) if is_option else (_BANDS, _BAND_ABOVE)
    return next((band for limit, band in table if price < limit), above)


def exit_price(side: TransactionType, reference: Reference) -> Decimal:
    """The price, in rupees, that fills first and that broker and exchange still take: at the edge of the price
    protection, inside the circuit, on a tick."""
    band = reference.last_price * band_percent(reference.last_price, is_option=reference.is_option) / 100
    tick = reference.tick_size
    if side is TransactionType.SELL:
        price = _on_tick(reference.last_price - band, tick, ROUND_CEILING)
    else:
        price = _on_tick(reference.last_price + band, tick, ROUND_FLOOR)
    if reference.upper_circuit is not None:
        price = min(price, _on_tick(reference.upper_circuit, tick, ROUND_FLOOR))
    if reference.lower_circuit is not None:
        price = max(price, _on_tick(reference.lower_circuit, tick, ROUND_CEILING))
    return max(price, tick)


def _on_tick(price: Decimal, tick: Decimal, rounding: str) -> Decimal:
    return (price / tick).to_integral_value(rounding=rounding) * tick


def next_step(exit_order: LiveExit, reference: Reference | None, *, now: datetime, budget: int) -> Step:
    """What becomes of one live exit. ``budget``: how many moves the account has left now."""
    if exit_order.is_unwanted:
        return Wait(why="it is being cancelled")
    if now >= exit_order.exit_by:
        return Wait(why="its deadline is over: the finisher cancels it, and what has no order yet")
    if exit_order.is_moving:
        return Wait(why="a modification is on its way, in doubt, or not in the book yet")
    if not exit_order.is_open or not exit_order.price:
        return Wait(why="the exchange does not have it yet, or is changing it")
    if exit_order.spent >= MAX_MODIFICATIONS:
        return Wait(why="its modifications are used up")
    if now < (at := next_move_at(exit_order)):
        return Wait(why="its next modification is for later", until=min(at, exit_order.exit_by))
    if reference is None or not reference.is_usable:
        return Wait(why="no price is fresh", needs_price=True)
    price = exit_price(exit_order.transaction_type, reference)
    selling = exit_order.transaction_type is TransactionType.SELL
    if price >= exit_order.price if selling else price <= exit_order.price:
        return Wait(why="its price is as good as can be")
    if budget < 1:
        return Wait(why="the account's moves are used up", until=now + timedelta(seconds=1))
    return Move(price=price)


def next_move_at(exit_order: LiveExit) -> datetime:
    """When its next modification may be made. They come fast at first and slower later, the last before the deadline:
    number n after the share (n / 25)² of the time."""
    share = (exit_order.spent + 1) / (MAX_MODIFICATIONS + 1)
    at = exit_order.began_at + (exit_order.exit_by - exit_order.began_at) * share**2
    if exit_order.last_move_at is None:
        return at
    return max(at, exit_order.last_move_at + timedelta(seconds=LEAST_GAP_S))


class ExitStatus(StrEnum):
    """How far the closing of a leg's position has come."""

    WORKING = "working"  # an exit is live, or may become so
    NEEDED = "needed"  # an exit must be placed
    FLAT = "flat"  # everything is closed
    GIVEN_UP = "given_up"  # a part stays open, and no exit follows
    LOST = "lost"  # what became of an exit was never observed


@dataclass(frozen=True, slots=True, kw_only=True)
class ExitProgress:
    """How far the closing of a leg's position has come."""

    status: ExitStatus
    left: int  # what is not closed yet, in the units of the request
    at: datetime | None = None  # NEEDED: not before this
    why: str = ""  # GIVEN_UP: in words
    is_exposed: bool = False  # GIVEN_UP: nobody is closing the rest

    @property
    def is_over(self) -> bool:
        """Whether no exit is live or will follow."""
        return self.status in {ExitStatus.FLAT, ExitStatus.GIVEN_UP, ExitStatus.LOST}


def progress(leg: Leg, *, now: datetime) -> ExitProgress:
    """How far the closing of a leg's position has come. A new exit follows only when all earlier ones have ended, for
    what their fills have left."""
    chain, left = exits_of(leg), left_to_close(leg)
    if any(one.is_lost for one in chain):
        return ExitProgress(status=ExitStatus.LOST, left=left)
    if not all(is_finished(one) for one in chain):
        return ExitProgress(status=ExitStatus.WORKING, left=left)
    if left <= 0:
        return ExitProgress(status=ExitStatus.FLAT, left=0)
    if not chain:
        return ExitProgress(status=ExitStatus.NEEDED, left=left)
    return _after(chain, left=left, now=now)


def _after(chain: tuple[Leg, ...], *, left: int, now: datetime) -> ExitProgress:
    """What follows when all exits of a leg have ended and a part is open still."""
    task = chain[-1].task
    if task.error_code == NOTHING_TO_REDUCE:
        return ExitProgress(status=ExitStatus.GIVEN_UP, left=left, why="other orders close the rest, or it is gone")
    if task.unwanted_why in {"withdrawal", "mass_cancel"} or (
        task.status is TaskStatus.CANCELLED and task.unwanted_why is None
    ):
        return ExitProgress(status=ExitStatus.GIVEN_UP, left=left, why="the exit was taken back")
    if task.status is TaskStatus.FAILED and task.sent is Sent.UNKNOWN:
        why = "what became of the exit is not proven, so no other one may follow"
        return ExitProgress(status=ExitStatus.GIVEN_UP, left=left, why=why, is_exposed=True)
    if task.exit_by is None or now >= task.exit_by:
        return ExitProgress(status=ExitStatus.GIVEN_UP, left=left, why="the deadline is over", is_exposed=True)
    pause_s = min(2.0 ** (len(chain) - 1), LONGEST_PAUSE_S)
    at = min(task.created_at + timedelta(seconds=pause_s), task.exit_by)
    return ExitProgress(status=ExitStatus.NEEDED, left=left, at=at)
