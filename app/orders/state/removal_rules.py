"""When an unwanted order is cancelled, again and again until the book shows its end. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from app.orders.state.new_tasks import OrderTarget

CANCEL_SHOWS_WITHIN_S = 1.0
"""Seconds in which the book may still show an order live after its cancel was answered, or had no answer; then it is
cancelled again. An order whose cancels are refused is cancelled ever less often."""

LONGEST_PAUSE_S = 30.0
"""Between two cancels of one order, however many were refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnwantedOrder(OrderTarget):
    """A live order that must go, and the cancels that it has had."""

    purpose: Literal["unwanted", "replace"]  # of its cancel: it is unwanted, or another order is to take its place
    since: datetime  # when it became unwanted or, if that was later, when the book first showed it
    cancel_by: datetime | None  # a later cancel would be for nothing; None: it is never too late
    being_cancelled: bool  # a cancel is on its way
    cancels: int  # that have ended, although the order lives
    last_cancel_at: datetime | None  # when the last of them ended
    now: datetime  # when this was read, by the database's clock

    def cancel_at(self, *, hurry: bool) -> datetime | None:
        """When the next cancel is due, None while one is on its way; with ``hurry`` no refusal makes it later."""
        if self.being_cancelled:
            return None
        if self.last_cancel_at is None:
            return self.since
        pause_s = CANCEL_SHOWS_WITHIN_S if hurry else CANCEL_SHOWS_WITHIN_S * 2.0 ** min(self.cancels - 1, 9)
        return self.last_cancel_at + timedelta(seconds=min(pause_s, LONGEST_PAUSE_S))
