"""When the broker has a new dump of instruments, and whether a dump may replace the one before it. Pure.

The broker writes a new dump early each morning; it is fetched after 08:30 IST
(https://kite.trade/docs/connect/v3/market-quotes/#instruments).
"""

from __future__ import annotations

from datetime import datetime, time, timedelta

from app.kit.clock import IST

DUMP_TIME = time(8, 30)
SMALLEST_SHARE = 0.5
"""A dump with fewer instruments than this share of the former is only taken by force: it is probably incomplete."""


def latest_dump(now: datetime) -> datetime:
    """The last moment, at or before ``now``, at which the broker had a new dump ready."""
    local = now.astimezone(IST)
    today = datetime.combine(local.date(), DUMP_TIME, IST)
    return today if today <= local else today - timedelta(days=1)


def seconds_to_next_dump(now: datetime) -> float:
    """At least one second."""
    return max(1.0, (latest_dump(now) + timedelta(days=1) - now).total_seconds())


def is_due(refreshed_at: datetime | None, *, now: datetime) -> bool:
    """Whether the broker has had a newer dump since ``refreshed_at`` (None: nothing was ever loaded)."""
    return refreshed_at is None or refreshed_at < latest_dump(now)


LARGEST_UNREADABLE_SHARE = 0.1
"""A dump of which more rows cannot be read is only taken by force: something else than single rows is wrong with it."""


def is_readable(size: int, *, unreadable: int, force: bool) -> bool:
    """Whether a dump with ``size`` good rows may be taken although so many others cannot be read."""
    return force or unreadable <= (size + unreadable) * LARGEST_UNREADABLE_SHARE


def is_acceptable(size: int, *, before: int, force: bool) -> bool:
    """Whether a dump of ``size`` instruments may replace one of ``before``. An empty dump never may."""
    return size > 0 and (force or size >= before * SMALLEST_SHARE)
