"""When an account stops sending by itself, and when it dares again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.broker.outcomes import Accepted, InDoubt, NotSent, Refused, SendOutcome, SessionRejected, Throttled
from app.orders.sending.circuit_breaker import Breaker, Sample, sample_of

GOOD, FAILED, DOUBT = Sample.GOOD, Sample.FAILED, Sample.DOUBT


@pytest.mark.parametrize(
    ("outcome", "sample"),
    [
        (Accepted(order_id="1"), GOOD),
        (InDoubt(reason="502"), DOUBT),
        (NotSent(reason="refused connection"), FAILED),
        (Refused(error_type="MarginException", message="no money", http_status=400), None),
        (SessionRejected(message="token"), None),
        (Throttled(message="429"), None),
    ],
)
def test_only_outcomes_of_the_brokers_systems_count(outcome: SendOutcome, sample: Sample | None) -> None:
    """A refusal is the broker at work; a dead token and our own pace are no outage."""
    assert sample_of(outcome) is sample


@pytest.mark.parametrize(
    ("samples", "closed"),
    [
        ([(0, DOUBT), (1, DOUBT)], True),
        ([(0, DOUBT), (1, DOUBT), (9.9, DOUBT)], False),
        ([(0, DOUBT), (1, DOUBT), (10, DOUBT)], True),  # the first is ten seconds old
        (
            [(0, GOOD), (1, DOUBT), (2, GOOD), (3, DOUBT), (4, GOOD), (5, DOUBT)],
            False,
        ),  # successes do not excuse doubts
        ([(0, FAILED), (1, FAILED), (2, FAILED), (3, FAILED)], True),  # four are too few to tell
        ([(0, FAILED), (1, FAILED), (2, FAILED), (3, FAILED), (4, FAILED)], False),
        ([(0, GOOD), (1, GOOD), (2, FAILED), (3, FAILED), (4, GOOD), (5, FAILED)], False),  # half
        ([(0, GOOD), (1, GOOD), (2, FAILED), (3, FAILED), (4, GOOD)], True),
        ([(0, FAILED), (7, FAILED), (14, FAILED), (21, FAILED), (28, FAILED)], False),  # all within thirty seconds
        ([(0, FAILED), (7, FAILED), (14, FAILED), (21, FAILED), (30, FAILED)], True),  # the first is thirty seconds old
        ([(0, FAILED), (1, FAILED), (2, FAILED), (33, FAILED), (34, FAILED)], True),  # the first three are forgotten
    ],
)
def test_a_breaker_opens_at_three_doubts_in_ten_seconds_or_half_of_five_in_thirty(
    samples: list[tuple[float, Sample]], closed: bool
) -> None:
    """Each number at its edge."""
    breaker = Breaker()
    for now, sample in samples:
        breaker.record(sample, now=now)
    assert breaker.is_closed is closed


def _opened(now: float = 0.0) -> Breaker:
    breaker = Breaker()
    for _ in range(3):
        breaker.record(DOUBT, now=now)
    return breaker


def test_a_breaker_closes_only_after_a_probe_succeeds() -> None:
    """Not by time alone, and not by a read that was no probe."""
    breaker = _opened()
    breaker.probed("ok", now=1.0)
    assert not breaker.is_closed
    assert not breaker.probe_due(now=4.9)
    assert breaker.probe_due(now=5.0)
    assert not breaker.probe_due(now=6.0)  # one probe at a time
    assert not breaker.is_closed
    breaker.probed("ok", now=6.0)
    assert breaker.is_closed


@pytest.mark.parametrize(
    ("samples", "closed"),
    [
        ([FAILED] * 5, True),
        ([GOOD, FAILED, FAILED, FAILED, FAILED], True),
        ([DOUBT, FAILED, FAILED, FAILED, FAILED], False),  # a doubt among them: reads may work while orders do not
        ([DOUBT] * 3, False),
    ],
)
def test_any_read_ends_an_outage_of_connections_and_nothing_else(samples: list[Sample], closed: bool) -> None:
    """A broker that is back gets orders immediately, not a pause later."""
    breaker = Breaker()
    for sample in samples:
        breaker.record(sample, now=0.0)
    assert not breaker.is_closed
    breaker.reached()
    assert breaker.is_closed is closed


def test_the_pause_is_the_same_after_each_probe_that_fails() -> None:
    """However long the outage was, orders go within one pause of its end."""
    breaker, now = _opened(), 0.0
    for _ in range(6):
        assert not breaker.probe_due(now=now + 4.9)
        now += 5
        assert breaker.probe_due(now=now)
        breaker.probed("failed", now=now)


def test_the_pause_is_the_same_for_a_breaker_that_opens_again_soon() -> None:
    """The limit on doubts holds meanwhile, so another opening adds as few doubts as the first."""
    breaker = _opened()
    assert breaker.probe_due(now=5)
    breaker.probed("ok", now=5)
    for _ in range(3):
        breaker.record(DOUBT, now=6)
    assert not breaker.probe_due(now=10.9)
    assert breaker.probe_due(now=11)


@given(st.lists(st.tuples(st.floats(0, 5), st.sampled_from([GOOD, GOOD, GOOD, FAILED, DOUBT])), max_size=60))
def test_a_breaker_never_opens_without_a_reason(steps: list[tuple[float, Sample]]) -> None:
    """At the moment of opening one of the two rules holds, computed anew from all samples."""
    breaker, now, seen = Breaker(), 0.0, []
    for gap, sample in steps:
        now += gap
        seen.append((now, sample))
        breaker.record(sample, now=now)
        if not breaker.is_closed:
            doubts = sum(one is DOUBT for at, one in seen if at > now - 10)
            recent = [one for at, one in seen if at > now - 30]
            bad = sum(one is not GOOD for one in recent)
            assert doubts >= 3 or (len(recent) >= 5 and 2 * bad >= len(recent))
            return
        assert sum(one is DOUBT for at, one in seen if at > now - 10) < 3
