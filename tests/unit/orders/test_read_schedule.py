"""When the order book is read again."""

from __future__ import annotations

import itertools

import pytest

from app.orders.reconciliation.read_schedule import (
    READS_IN_A_ROW,
    BookReadPace,
    Liveness,
    ReadSchedule,
    next_check,
    seconds_to_next_read,
)
from tests.unit.orders.builders import NOW, seconds, task

AUDIT_S = 30.0


@pytest.mark.parametrize(
    ("liveness", "check_in_s", "fills_incomplete", "expected_s"),
    [
        ("settling", None, False, 0.5),
        ("live", None, False, AUDIT_S),
        ("idle", None, False, 60.0),
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


def test_a_doubt_is_looked_up_ever_more_rarely_and_without_end() -> None:
    """0.3 s after the send, then at these distances; after the last of them the same distance repeats."""
    sent_at = NOW
    moments = [sent_at]
    for _ in range(14):
        moments.append(next_check(task(last_sent_at=sent_at), now=moments[-1]))
    gaps = [round((after - before).total_seconds(), 6) for before, after in itertools.pairwise(moments)]
    assert gaps == [0.3, 0.7, 1.0, 2.0, 4.0, 7.0, 15.0, *[30.0] * 7]


def test_a_read_between_two_planned_ones_does_not_move_them() -> None:
    """A push made the book be read early; a task without a send is as new as one sent now."""
    doubt = task(last_sent_at=NOW)
    assert next_check(doubt, now=NOW + seconds(0.5)) == NOW + seconds(1.0)
    assert next_check(doubt, now=NOW + seconds(1.0)) == NOW + seconds(2.0)
    assert next_check(task(last_sent_at=None), now=NOW) == NOW + seconds(0.3)


@pytest.mark.parametrize(("between_s", "gap_s"), [(0.3, 1.0), (0.6, 0.25)])
def test_constant_hints_make_the_reads_rarer(between_s: float, gap_s: float) -> None:
    """Only a row of fast reads does: the first ones, and reads at a distance, keep the shortest gap."""
    pace = BookReadPace(least_gap_s=0.25, constant_gap_s=1.0)
    gaps = [pace.gap_after_read(index * between_s) for index in range(READS_IN_A_ROW)]
    assert gaps == [0.25] * (READS_IN_A_ROW - 1) + [gap_s]
