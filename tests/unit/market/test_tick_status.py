"""Whether subscribed instruments and feeds tick as they should."""

from __future__ import annotations

import pytest

from app.market.subscriptions.feed_silence import is_feed_silent
from app.market.subscriptions.tick_status import TickStatus, status_of


@pytest.mark.parametrize(
    ("streamed", "connected", "ticked", "stale", "expected"),
    [
        (False, True, False, False, TickStatus.REQUESTED),
        (True, False, False, False, TickStatus.REQUESTED),  # the broker was not asked yet
        (True, True, False, False, TickStatus.ACTIVE),
        (True, True, True, False, TickStatus.TICKING),
        (True, False, True, True, TickStatus.STALE),
        (True, False, True, False, TickStatus.TICKING),  # a moment's reconnect is not staleness
    ],
)
def test_the_status_of_an_instrument(
    streamed: bool, connected: bool, ticked: bool, stale: bool, expected: TickStatus
) -> None:
    """requested, active, ticking, stale."""
    assert status_of(is_streamed=streamed, is_connected=connected, has_ticked=ticked, is_stale=stale) is expected


@pytest.mark.parametrize(
    ("quiet_s", "open_since_s", "silent"),
    [
        (31.0, [None, 100.0], True),
        (31.0, [None, 10.0], False),  # the market opened just now
        (31.0, [None], False),  # closed
        (29.0, [100.0], False),
        (31.0, [], False),  # nothing is subscribed
    ],
)
def test_when_a_feed_is_silent(quiet_s: float, open_since_s: list[float | None], silent: bool) -> None:
    """Only what should tick can be silent."""
    assert is_feed_silent(quiet_s=quiet_s, open_since_s=open_since_s, stale_after_s=30.0) is silent
