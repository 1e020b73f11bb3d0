"""Does a subscribed instrument tick as it should, and does a feed? Pure."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum


class TickStatus(StrEnum):
    """How far a subscribed instrument has come."""

    REQUESTED = "requested"  # stored; the broker was not asked yet, or cannot be: see ``error`` of the record
    ACTIVE = "active"  # the broker was asked on a live socket; no tick yet
    TICKING = "ticking"  # a tick has come, and is not too old
    STALE = "stale"  # the exchange is open and the last tick is too old


def status_of(*, is_streamed: bool, is_connected: bool, has_ticked: bool, is_stale: bool) -> TickStatus:
    """``is_streamed``: the feed has it among its subscriptions; ``is_stale``: the last tick is too old.

    A tick proves more than a connection: an instrument that ticked keeps its status through a short reconnect.
    """
    if not is_streamed:
        return TickStatus.REQUESTED
    if has_ticked:
        return TickStatus.STALE if is_stale else TickStatus.TICKING
    return TickStatus.ACTIVE if is_connected else TickStatus.REQUESTED


def is_feed_silent(*, quiet_s: float, open_since_s: Iterable[float | None], stale_after_s: float) -> bool:
    """Whether an account's feed should have ticked and did not.

    ``quiet_s`` is the time since its last tick, or since it was first given something to stream; ``open_since_s`` is
    how long each exchange that it streams has been open (None: closed). One liquid instrument ticks every second, so a
    feed without any tick for this long while an exchange is open is not merely illiquid.
    """
    return any(since is not None and min(quiet_s, since) > stale_after_s for since in open_since_s)
