"""The simulator's clock."""

from datetime import datetime, timedelta

import pytest

from simulator.clock import IST, SimClock

NOON = datetime(2026, 7, 6, 12, 0, tzinfo=IST)


class RealTime:
    """A real clock that the test moves."""

    def __init__(self) -> None:
        self.seconds = 1_000.0

    def __call__(self) -> float:
        return self.seconds


def test_clock_follows_real_time_by_default() -> None:
    """Its time is the real one, aware, in IST."""
    real = RealTime()
    clock = SimClock(real=real)
    assert clock.now() == datetime.fromtimestamp(1_000, IST)
    assert clock.now().utcoffset() == timedelta(hours=5, minutes=30)


def test_clock_runs_at_its_speed_from_where_it_was_set() -> None:
    """Ten real seconds at speed 60 are ten minutes; a change of speed does not move the present."""
    real = RealTime()
    clock = SimClock(NOON, speed=60, real=real)
    real.seconds += 10
    assert clock.now() == NOON + timedelta(minutes=10)
    clock.set(speed=0)
    real.seconds += 10
    assert clock.now() == NOON + timedelta(minutes=10)
    clock.set(NOON, speed=1)
    real.seconds += 1
    assert clock.now() == NOON + timedelta(seconds=1)


@pytest.mark.parametrize("speed", [-1, 100_001, float("nan")])
def test_clock_refuses_a_speed_out_of_range(speed: float) -> None:
    """The error names the value."""
    with pytest.raises(ValueError, match="speed"):
        SimClock().set(speed=speed)


def test_clock_refuses_a_naive_time() -> None:
    """A time without a zone could be wrong by five and a half hours."""
    with pytest.raises(ValueError, match="has no time zone"):
        SimClock().set(NOON.replace(tzinfo=None))
