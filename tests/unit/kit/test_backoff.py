"""Waits grow, are spread, and stay within their bounds, whatever chance says."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from app.kit.backoff import Backoff, jittered

CHANCE = st.floats(0, 1, exclude_max=True)


@given(attempt=st.integers(1, 10_000), chance=CHANCE)
def test_a_backoff_is_between_half_its_step_and_its_cap(attempt: int, chance: float) -> None:
    """However many failures: no overflow, never above the cap, never at once."""
    delay = Backoff(first_s=1.0, cap_s=60.0).delay(attempt, random=chance)
    step = min(60.0, 2.0 ** min(attempt - 1, 63))
    assert step / 2 <= delay <= step


@given(seconds=st.floats(0, 1e6), chance=CHANCE)
def test_a_poll_is_never_later_than_its_interval(seconds: float, chance: float) -> None:
    """It is the bound of how long a lost wake-up costs."""
    assert seconds * 0.75 - 1e-9 <= jittered(seconds, random=chance) <= seconds
