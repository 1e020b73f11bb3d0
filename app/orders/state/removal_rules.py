"""When an unwanted order is cancelled, again and again until the book shows its end. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from app.orders.state.model import UnwantedWhy
from app.orders.state.new_tasks import OrderTarget

CANCEL_SHOWS_WITHIN_S = 1.0
"""Seconds in which the book may still show an order live after its cancel was answered, or had no answer; then it is
cancelled again. An order whose cancels are refused is cancelled ever less often."""

LONGEST_PAUSE_S = 30.0
"""Between two cancels of one order, however many were refused."""

WITHDRAWN_FOR: dict[UnwantedWhy, str] = {
    "rollback": "its batch goes no further",
    "halt": "a halt cancels what was being sent",
    "late": "it was given up before",
    "withdrawal": "it was taken back before it was sent",
    "mass_cancel": "its client cancelled every order like it before it was sent",
}
"""For each reason why a placement is unwanted, what clients read when it ends unsent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnwantedOrder:
    """A live order that must go, and the cancels that it has had."""

    target: OrderTarget
    purpose: Literal["unwanted", "replace"]  # of its cancel: it is unwanted, or another order is to take its place
    since: datetime  # when it became unwanted or, if that was later, when the book first showed it
    cancel_by: datetime | None  # a later cancel would be for nothing; None: it is never too late
    being_cancelled: bool  # a cancel is on its way
    cancels: int  # that have ended, although the order lives
    last_cancel_at: datetime | None  # when the last of them ended

    def cancel_at(self) -> datetime | None:
        """When the next cancel is due; None while one is on its way."""
        if self.being_cancelled:
            return None
        if self.last_cancel_at is None:
            return self.since
        return self.last_cancel_at + timedelta(seconds=pause_s(self.cancels))


def pause_s(cancels: int) -> float:
    """Seconds from the end of the last of so many cancels to the next one."""
    return min(CANCEL_SHOWS_WITHIN_S * 2.0 ** (min(cancels, 10) - 1), LONGEST_PAUSE_S)


def is_due(order: UnwantedOrder, *, now: datetime, hurry: bool) -> bool:
    """Whether to cancel it now; with ``hurry`` (an operator asks) as soon as the last cancel could have shown."""
    due = order.cancel_at()
    if due is None or (order.cancel_by is not None and order.cancel_by <= now):
        return False
    if hurry and order.last_cancel_at is not None:
        due = order.last_cancel_at + timedelta(seconds=CANCEL_SHOWS_WITHIN_S)
    return due <= now
