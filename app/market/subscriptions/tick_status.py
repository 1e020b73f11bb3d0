"""Does a subscribed instrument tick as it should? Pure."""

from __future__ import annotations

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
