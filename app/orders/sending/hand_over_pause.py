"""How long a new owner waits before its first order, so that the broker's rate limit holds across owners. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

RATE_WINDOW_S = 1.1
"""Seconds. The broker counts orders over one second; the rest is for the time that a request travels."""

SPACING_S = 0.12
"""Seconds between the last owner's answered order and the first of the next owner: the spacing that one owner keeps
(``kite/pace.py``, 0.112), and a little for storing the answer. So no second exceeds the limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SentToday:
    """What all owners have sent for an account on this trading day."""

    places: int = 0  # placements
    unanswered_at: datetime | None = None  # when the newest request without a stored outcome was claimed
    answered_at: datetime | None = None  # when the newest outcome was stored; that request left before
    ages_s: Sequence[float] = ()  # of each request of the last minutes, since its claim; for the limit of a minute


def pause_before_sending(sent: SentToday, *, now: datetime) -> float:
    """Seconds that a new owner waits, because the owner before it may have sent until its last moment.

    A request with an answer left before the answer was stored. A request without one may have left at any time until
    ``RATE_WINDOW_S`` after its claim.
    """
    pauses = [0.0]
    if sent.unanswered_at is not None:
        pauses.append(RATE_WINDOW_S - (now - sent.unanswered_at).total_seconds())
    if sent.answered_at is not None:
        pauses.append(SPACING_S - (now - sent.answered_at).total_seconds())
    return max(pauses)
