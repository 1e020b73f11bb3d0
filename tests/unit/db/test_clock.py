"""Which reading of the database's clock is kept, and what time it is between two of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.db.clock import DRIFT, DatabaseClock, Reading, better

NOON = datetime(2026, 7, 6, 12, tzinfo=UTC)


def reading(*, at_s: float, error_s: float = 0.001, moment: datetime | None = None) -> Reading:
    """Right by default: the database's time was noon when our counter was 0."""
    return Reading(moment=moment or NOON + timedelta(seconds=at_s), at_s=at_s, error_s=error_s)


class StoppedClock:
    """The machine's clock, 90 s ahead; its counter is moved by hand."""

    def __init__(self) -> None:
        self.at_s = 0.0

    def now(self) -> datetime:
        return NOON + timedelta(seconds=self.at_s + 90)

    def monotonic(self) -> float:
        return self.at_s


def test_before_the_first_reading_it_is_the_machines_time() -> None:
    """There is nothing better to go by."""
    machine = StoppedClock()
    assert DatabaseClock(machine).now() == machine.now()


def test_an_exact_reading_replaces_an_old_one_and_a_slow_one_does_not() -> None:
    """A reading becomes less exact with its age, so that each slow answer is taken at last."""
    kept = reading(at_s=0.0, error_s=0.001)
    assert better(kept, reading(at_s=1.0, error_s=0.0005)).at_s == 1.0
    assert better(kept, reading(at_s=1.0, error_s=0.5)) is kept
    much_later = (0.5 - kept.error_s) / DRIFT + 1.0
    assert better(kept, reading(at_s=much_later, error_s=0.5)).at_s == much_later


@pytest.mark.parametrize("step_s", [-90.0, -1.0, 1.0, 90.0])
def test_a_reading_that_contradicts_is_believed(step_s: float) -> None:
    """The server's clock was set, or another server answers."""
    moved = reading(at_s=1.0, error_s=0.2, moment=NOON + timedelta(seconds=1.0 + step_s))
    assert better(reading(at_s=0.0), moved) is moved


@given(
    errors=st.lists(st.floats(min_value=0.0001, max_value=3.0), min_size=1, max_size=20),
    gap_s=st.floats(min_value=0.1, max_value=10.0),
    lag=st.floats(min_value=-1.0, max_value=1.0),
)
def test_the_time_is_right_within_what_the_kept_reading_promises(errors: list[float], gap_s: float, lag: float) -> None:
    """Whatever the answers cost, and wherever within the round trip the database looked at its clock."""
    kept: Reading | None = None
    for number, error_s in enumerate(errors):
        at_s = number * gap_s
        seen = NOON + timedelta(seconds=at_s + lag * error_s)
        kept = better(kept, Reading(moment=seen, at_s=at_s, error_s=error_s))
        off_s = abs((kept.now(at_s) - (NOON + timedelta(seconds=at_s))).total_seconds())
        assert off_s <= kept.error(at_s) + 1e-5
