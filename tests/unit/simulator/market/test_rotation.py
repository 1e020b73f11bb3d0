"""Whose turn it is to tick, and how often the market is asked."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.market.market_loop import SHORTEST_STEP_S, STEP_S, step_period
from simulator.market.rotation import Rotation


def rotation(size: int) -> Rotation:
    return Rotation(np.arange(size), random=np.random.default_rng(1))


@settings(max_examples=50)
@given(size=st.integers(1, 50), turns=st.lists(st.floats(0, 20), max_size=30))
def test_turns_are_fair_and_none_is_lost_within_the_bound(size: int, turns: list[float]) -> None:
    """No row is two turns ahead of another, and as long as no step asks for more than the set, all turns are given."""
    rows = rotation(size)
    taken = [rows.take(turn) for turn in turns]
    assert all(len(set(part.tolist())) == len(part) for part in taken), "at most once a step"
    given_turns = np.bincount(np.concatenate([*taken, np.empty(0, dtype=np.int64)]), minlength=size)
    assert given_turns.max() - given_turns.min() <= 1
    if all(turn <= size - 1 for turn in turns):
        assert sum(turns) - 1 - 1e-6 <= given_turns.sum() <= sum(turns) + 1e-6


def test_an_empty_set_has_no_turns() -> None:
    """Nobody is subscribed."""
    assert rotation(0).take(100).size == 0


@pytest.mark.parametrize(
    ("rate", "subscribed", "period"),
    [
        (0, 0, STEP_S),
        (500, 1, STEP_S),  # one instrument ticks twenty times a second, not five hundred
        (5_000, 3_000, STEP_S),
        (20_000, 3_000, STEP_S),
        (200_000, 3_000, 0.012),  # 3,000 each 15 ms would be just enough
        (2_000_000, 3_000, SHORTEST_STEP_S),
        (200_000, 0, SHORTEST_STEP_S),
    ],
)
def test_steps_are_short_enough_for_the_rate(rate: float, subscribed: int, period: float) -> None:
    """An instrument ticks once a step at most."""
    assert step_period(rate, subscribed=subscribed) == pytest.approx(period)
