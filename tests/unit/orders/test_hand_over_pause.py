"""How long a new owner keeps quiet for the sake of the broker's limit."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from app.orders.sending.hand_over_pause import SentToday, pause_before_sending

NOW = datetime(2026, 7, 6, 4, 0, tzinfo=UTC)


def ago(seconds: float | None) -> datetime | None:
    return None if seconds is None else NOW - timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("unanswered_s", "answered_s", "pause"),
    [
        (None, None, 0.0),
        (None, 0.0, 0.12),
        (None, 0.05, 0.07),
        (None, 0.12, 0.0),
        (0.0, None, 1.1),  # its owner died with it on the way
        (0.6, 0.01, 0.5),
        (1.05, 0.01, 0.11),
        (1.1, 3600.0, 0.0),
        (3600.0, None, 0.0),
    ],
)
def test_the_rest_of_the_second_or_the_distance_of_two_orders(
    unanswered_s: float | None, answered_s: float | None, pause: float
) -> None:
    """A request without an answer may have left at any time of its second."""
    sent = SentToday(places=1, unanswered_at=ago(unanswered_s), answered_at=ago(answered_s))
    assert pause_before_sending(sent, now=NOW) == pytest.approx(pause)
