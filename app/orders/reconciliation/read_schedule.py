"""When the order book is read again, and what is due meanwhile. Values only."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

Liveness = Literal["settling", "live", "idle"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadSchedule:
    """``settling``: an accepted order has not shown where it stands; ``live``: something may still change.

    An order that was given up counts as live: it may appear until the day is over. ``next_moment``: when a task wants
    to be looked at again, at the latest.
    """

    liveness: Liveness
    next_moment: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DueWork:
    """The time by which sends are stamped, and whether time alone has decided anything (see the five that follow).

    ``unwanted``: there are placements whose orders are to be cancelled on sight, and may be or become live.
    """

    now: datetime
    overdue: bool
    unwanted: bool
