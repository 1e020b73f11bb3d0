"""How long a new owner waits before its first order, so that the broker's rate limit holds across owners. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

RATE_WINDOW_S = 1.1
"""The broker counts orders over a second; a little more for the way to it."""


DISTANCE_S = 0.12
"""Between two orders of one owner; across a change of owners the same distance keeps every second within the limit."""


def pause_before_sending(sent: SentToday, *, now: datetime) -> float:
    """Seconds that a new owner waits because of what the one before may have sent up to the last moment.

    What was answered left before its answer was written. What was not may have left at any time in its last second.
    """
    pauses = [0.0]
    if sent.unanswered_at is not None:
        pauses.append(RATE_WINDOW_S - (now - sent.unanswered_at).total_seconds())
    if sent.answered_at is not None:
        pauses.append(DISTANCE_S - (now - sent.answered_at).total_seconds())
    return max(pauses)


@dataclass(frozen=True, slots=True, kw_only=True)
class SentToday:
    """What an account has put on the wire this trading day, of any owner; times are None where there are none.

    ``unanswered_at``: when the newest request began whose end nobody has written down; ``answered_at``: when the
    newest answer was written, so nothing that was answered left later than that. ``ages_s``: how long ago each request
    of the last minutes began, for the broker's count of a minute does not begin anew with a new owner.
    """

    places: int = 0
    unanswered_at: datetime | None = None
    answered_at: datetime | None = None
    ages_s: Sequence[float] = ()
