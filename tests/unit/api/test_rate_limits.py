"""The arithmetic of the limits; that they hold across processes is proven against Redis elsewhere."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from limits import parse

from app.api.rate_limits import Buckets, LimitClass, Rate, classify


@pytest.mark.parametrize(
    ("method", "path", "kind"),
    [
        ("POST", "/advanced/batch-orders", LimitClass.BATCH_ORDERS),
        ("GET", "/advanced/batch-orders", LimitClass.DEFAULT),
        ("DELETE", "/subscriptions/1", LimitClass.SUBSCRIPTIONS),
        ("PUT", "/subscriptions/sets/me", LimitClass.SUBSCRIPTIONS),
        ("POST", "/subscriptions/bulk", LimitClass.SUBSCRIPTIONS),
        ("GET", "/subscriptions/status", LimitClass.DEFAULT),
        ("POST", "/admin/instrument-refresh", LimitClass.INSTRUMENT_REFRESH),
        ("POST", "/orders", LimitClass.DEFAULT),
        ("DELETE", "/orders/1", LimitClass.DEFAULT),
    ],
)
def test_scarce_things_have_a_class_of_their_own(method: str, path: str, kind: LimitClass) -> None:
    """Reads never are scarce."""
    assert classify(method, path) is kind


def test_a_bucket_gives_its_amount_at_once_and_then_one_per_step() -> None:
    """Ten a second: ten now, the eleventh a tenth of a second later."""
    buckets = Buckets(Rate(amount=10, period_s=1.0))
    assert [buckets.take("a", now=50.0) for _ in range(10)] == [0.0] * 10
    assert buckets.take("a", now=50.0) == pytest.approx(0.1)
    assert buckets.take("a", now=50.1) == 0.0
    assert buckets.take("a", now=50.1) > 0.0


def test_callers_do_not_share_a_bucket() -> None:
    """One caller's flood is not another one's problem."""
    buckets = Buckets(Rate(amount=1, period_s=1.0))
    assert buckets.take("a", now=0.0) == 0.0
    assert buckets.take("a", now=0.0) > 0.0
    assert buckets.take("b", now=0.0) == 0.0


def test_the_number_of_remembered_callers_is_bounded() -> None:
    """The quietest is forgotten first, so addresses cannot fill the memory."""
    buckets = Buckets(Rate(amount=1, period_s=1.0), max_callers=2)
    for caller in ("a", "b", "c"):
        buckets.take(caller, now=0.0)
    assert buckets.take("c", now=0.0) > 0.0
    assert buckets.take("a", now=0.0) == 0.0


@given(
    amount=st.integers(1, 50),
    period=st.floats(0.1, 100.0),
    gaps=st.lists(st.floats(0.0, 5.0), min_size=1, max_size=200),
)
def test_no_window_sees_more_than_twice_the_amount(amount: int, period: float, gaps: list[float]) -> None:
    """A full bucket and its refill: the worst that a period can let through, whatever the rhythm of the asking."""
    buckets = Buckets(Rate(amount=amount, period_s=period))
    now, allowed = 0.0, []
    for gap in gaps:
        now += gap
        if buckets.take("a", now=now) == 0.0:
            allowed.append(now)
    for start in allowed:
        assert sum(start <= moment < start + period for moment in allowed) <= 2 * amount


@given(amount=st.integers(1, 100), period=st.floats(0.1, 100.0), now=st.floats(0.0, 1e6))
def test_the_announced_wait_is_enough(amount: int, period: float, now: float) -> None:
    """A caller that waits as long as announced is allowed."""
    buckets = Buckets(Rate(amount=amount, period_s=period))
    while (wait := buckets.take("a", now=now)) == 0.0:
        pass
    assert buckets.take("a", now=now + wait * (1 + 1e-9) + 1e-9) == 0.0


def test_a_share_of_a_limit_is_never_nothing() -> None:
    """With more replicas than the limit allows each still lets one pass."""
    assert Rate.of(parse("10/minute"), replicas=4) == Rate(amount=2, period_s=60)
    assert Rate.of(parse("5/hour"), replicas=9) == Rate(amount=1, period_s=3600)
