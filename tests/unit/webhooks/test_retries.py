"""What follows from a receiver's answer."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.webhooks.model import Answer
from app.webhooks.retries import (
    RETRY_DELAYS_S,
    Outcome,
    blocks_order,
    cool_down_s,
    decide,
    is_dead,
)

DAY_S = 86_400.0


def answer(status: int | None, *, error: str | None = None, retry_after_s: float | None = None) -> Answer:
    if error is None and status is not None and not 200 <= status < 300:
        error = "http_status"
    return Answer(http_status=status, ms=1, address="203.0.113.1", error=error, retry_after_s=retry_after_s)


@pytest.mark.parametrize("status", [200, 201, 204, 299])
def test_a_2xx_is_delivered(status: int) -> None:
    """Whatever its body says."""
    assert decide(answer(status), failures_before=3, random=0.5).outcome is Outcome.DELIVERED


@pytest.mark.parametrize(
    ("status", "error", "tries"),
    [
        (500, None, 10), (503, None, 10), (301, None, 10), (302, None, 10), (429, None, 10), (402, None, 10),
        (None, "timeout", 10), (None, "connect", 10), (None, "address_refused", 10), (None, "tls", 10),
        (400, None, 5), (401, None, 5), (403, None, 5), (404, None, 5), (413, None, 5),
        (410, None, 1),
    ],
)  # fmt: skip
def test_a_failure_is_tried_again_so_many_times(status: int | None, error: str | None, tries: int) -> None:
    """Ten tries in 28 hours; five where the receiver refuses the request for what it is; one where it is gone."""
    outcomes = [decide(answer(status, error=error), failures_before=n, random=0.5).outcome for n in range(10)]
    assert outcomes.index(Outcome.GIVEN_UP) == tries - 1
    assert set(outcomes[: tries - 1]) <= {Outcome.FAILED}
    assert Outcome.DELIVERED not in outcomes


def test_the_schedule_takes_more_than_a_day() -> None:
    """5 s, 30 s, 2 and 10 and 30 minutes, 2, 5, 10 and 10 hours."""
    delays = [decide(answer(500), failures_before=n, random=0.5).delay_s for n in range(9)]
    assert delays == [5, 30, 120, 600, 1800, 7200, 18000, 36000, 36000]
    assert sum(delays) > DAY_S


def test_gone_disables_the_endpoint_at_once() -> None:
    """410 is the receiver's own wish; no other status is."""
    assert decide(answer(410), failures_before=0, random=0.0).disable
    assert not decide(answer(404), failures_before=9, random=0.0).disable


@pytest.mark.parametrize(
    ("status", "error", "retry_after_s", "failures_before", "expected"),
    [
        (503, None, 7.0, 0, 7.0),  # within twice the base
        (503, None, 100.0, 0, 10.0),
        (503, None, 1.0, 1, 30.0),  # never shorter than the base
        (429, None, None, 0, 60.0),
        (429, None, 90.0, 0, 90.0),
        (429, None, 3600.0, 0, 120.0),
        (None, "timeout", None, 0, 60.0),
        (None, "timeout", None, 3, 600.0),
    ],
)
def test_the_receiver_may_ask_for_a_longer_delay(
    status: int | None, error: str | None, retry_after_s: float | None, failures_before: int, expected: float
) -> None:
    """Up to twice that of the schedule; after a timeout and a 429 it is a minute at least."""
    found = decide(
        answer(status, error=error, retry_after_s=retry_after_s), failures_before=failures_before, random=0.5
    )
    assert found.delay_s == pytest.approx(expected)


@given(
    failures=st.integers(0, 8),
    random=st.floats(0, 1, exclude_max=True),
    retry_after_s=st.none() | st.floats(0, 1e6),
)
def test_a_delay_stays_around_its_step(failures: int, random: float, retry_after_s: float | None) -> None:
    """A fifth below the schedule at least, a fifth above twice of it at most."""
    base = RETRY_DELAYS_S[failures]
    found = decide(answer(500, retry_after_s=retry_after_s), failures_before=failures, random=random)
    assert 0.8 * base <= found.delay_s <= 2.4 * base


@pytest.mark.parametrize(
    ("failures", "seconds"), [(0, 0), (1, 0), (4, 0), (5, 30), (6, 120), (7, 600), (8, 1800), (9, 1800), (10_000, 1800)]
)
def test_an_endpoint_rests_after_five_failures_in_a_row(failures: int, seconds: float) -> None:
    """Longer with each further one, up to half an hour."""
    assert cool_down_s(failures) == seconds


@pytest.mark.parametrize(
    ("failures", "days", "dead"), [(19, 6, False), (20, 4.9, False), (20, 5, True), (1000, 0.1, False)]
)
def test_an_endpoint_is_disabled_after_five_days_of_failures(failures: int, days: float, dead: bool) -> None:
    """And twenty attempts: neither alone is enough."""
    assert is_dead(failures=failures, failing_s=days * DAY_S) is dead


def test_only_an_ordered_endpoint_is_paused_by_the_delivery_that_must_come_first() -> None:
    """After a quarter of an hour."""
    assert blocks_order(ordered=True, failing_s=900)
    assert not blocks_order(ordered=True, failing_s=899)
    assert not blocks_order(ordered=False, failing_s=9000)
