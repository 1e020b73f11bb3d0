"""Which instruments tick next, and how often the market is stepped."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.market.market_loop import SHORTEST_STEP_S, STEP_S, step_period
from simulator.market.rotation import Rotation


def rotation(size: int) -> Rotation:
    return Rotation(np.arange(size), random=np.random.default_rng(1))


@settings(max_examples=50)
@given(size=st.integers(1, 50), amounts=st.lists(st.floats(0, 20), max_size=30))
def test_rows_are_taken_evenly_and_completely(size: int, amounts: list[float]) -> None:
    """No row is taken more than once more often than another; unless a call exceeds the set, every amount is taken."""
    rows = rotation(size)
    taken = [rows.take(amount) for amount in amounts]
    assert all(len(set(part.tolist())) == len(part) for part in taken), "at most once in a call"
    counts = np.bincount(np.concatenate([*taken, np.empty(0, dtype=np.int64)]), minlength=size)
    assert counts.max() - counts.min() <= 1
    if all(amount <= size - 1 for amount in amounts):
        assert sum(amounts) - 1 - 1e-6 <= counts.sum() <= sum(amounts) + 1e-6


def test_an_empty_set_gives_no_rows() -> None:
    """As without any subscription."""
    assert rotation(0).take(100).size == 0


@pytest.mark.parametrize(
    ("rate", "subscribed", "period"),
    [
        (0, 0, STEP_S),
        (500, 1, STEP_S),  # one instrument ticks twenty times a second, not five hundred
        (5_000, 3_000, STEP_S),
        (20_000, 3_000, STEP_S),
        (200_000, 3_000, 0.012),  # 15 ms for 3,000 would just be enough
        (2_000_000, 3_000, SHORTEST_STEP_S),
        (200_000, 0, SHORTEST_STEP_S),
    ],
)
def test_steps_are_short_enough_for_the_rate(rate: float, subscribed: int, period: float) -> None:
    """An instrument ticks at most once in a step."""
    assert step_period(rate, subscribed=subscribed) == pytest.approx(period)
