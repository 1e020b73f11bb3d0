"""When the order book is read again."""

from __future__ import annotations

import pytest

from app.orders.reconciliation.read_schedule import (
    READS_IN_A_ROW,
    BookReadPace,
    Liveness,
    ReadSchedule,
    seconds_to_next_read,
)
from tests.unit.orders.builders import NOW, seconds

AUDIT_S = 30.0


@pytest.mark.parametrize(
    ("liveness", "check_in_s", "fills_incomplete", "expected_s"),
    [
        ("settling", None, False, 0.5),
        ("live", None, False, AUDIT_S),
        ("idle", None, False, 300.0),
        ("idle", None, True, AUDIT_S),
        ("live", 3.0, False, 3.0),
        ("live", -3.0, False, 0.0),
        ("settling", 3.0, True, 0.5),
    ],
)
def test_the_earliest_reason_to_read_decides(
    liveness: Liveness, check_in_s: float | None, fills_incomplete: bool, expected_s: float
) -> None:
    """What is live gives the longest wait; a missing fill, a claim or a doubt only shortens it."""
    next_check_at = None if check_in_s is None else NOW + seconds(check_in_s)
    schedule = ReadSchedule(liveness=liveness, next_check_at=next_check_at)
    found = seconds_to_next_read(schedule, now=NOW, audit_s=AUDIT_S, fills_incomplete=fills_incomplete)
    assert found == pytest.approx(expected_s)


@pytest.mark.parametrize(("between_s", "gap_s"), [(0.3, 1.0), (0.6, 0.25)])
def test_constant_hints_make_the_reads_rarer(between_s: float, gap_s: float) -> None:
    """Only a row of fast reads does: the first ones, and reads at a distance, keep the shortest gap."""
    pace = BookReadPace(least_gap_s=0.25, constant_gap_s=1.0)
    gaps = [pace.gap_after_read(index * between_s) for index in range(READS_IN_A_ROW)]
    assert gaps == [0.25] * (READS_IN_A_ROW - 1) + [gap_s]
