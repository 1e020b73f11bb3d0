"""Request limits: the class of a request, what exceeds a limit, and the statistics."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.rate_limits import RequestClass, RollingPeak, Traffic, classify
from simulator.settings import RateLimits

NOON = 1_800_000_000.0


@pytest.mark.parametrize(
    ("method", "path", "request_class"),
    [
        ("POST", "/orders/regular", "order"),
        ("PUT", "/orders/regular/1", "other"),
        ("DELETE", "/orders/regular/1", "other"),
        ("GET", "/orders", "other"),
        ("GET", "/quote", "quote"),
        ("GET", "/quote/ltp", "quote"),
        ("GET", "/instruments/historical/1/day", "historical"),
        ("GET", "/instruments/NSE", "other"),
        ("POST", "/session/token", "other"),
        ("POST", "/_sim/faults", None),
        ("GET", "/connect/login", None),
    ],
)
def test_requests_count_in_kites_classes(method: str, path: str, request_class: RequestClass | None) -> None:
    """Only placing counts as an order; control requests are not counted."""
    assert classify(method, path) == request_class


def test_the_eleventh_order_of_a_calendar_second_is_too_fast() -> None:
    """The next second starts from 0; another account has a limit of its own."""
    traffic = Traffic(RateLimits())
    verdicts = [traffic.admit("order", "SIM001", now=NOON + 0.1) for _ in range(11)]
    assert verdicts == ["allowed"] * 10 + ["too_fast"]
    assert traffic.admit("order", "SIM002", now=NOON + 0.1) == "allowed"
    assert traffic.admit("order", "SIM001", now=NOON + 1.0) == "allowed"


def test_the_minute_has_a_cap_of_its_own() -> None:
    """After 400 evenly spread orders none is allowed until the next minute."""
    traffic = Traffic(RateLimits())
    verdicts = [traffic.admit("order", "SIM001", now=NOON + index * 0.14) for index in range(401)]
    assert verdicts[:400] == ["allowed"] * 400
    assert verdicts[400] == "over_cap"
    assert traffic.admit("order", "SIM001", now=NOON + 60) == "allowed"


def test_limits_that_are_off_are_counted_and_not_enforced() -> None:
    """The statistics have the violation."""
    traffic = Traffic(RateLimits(enforced="off"))
    assert [traffic.admit("quote", "simkey", now=NOON) for _ in range(3)] == ["allowed"] * 3
    assert traffic.stats()["violations"] == [{"class": "quote", "caller": "simkey", "count": 2}]


def test_the_peak_second_is_a_rolling_one() -> None:
    """Six at the end of one calendar second and six at the start of the next are twelve."""
    traffic = Traffic(RateLimits())
    for index in range(12):
        traffic.arrive("order", "SIM001", now=NOON + 0.95 + index * 0.01)
    arrived = traffic.stats()["orders"]
    assert arrived == {
        "arrived": {"SIM001": {"total": 12, "max_per_second": 12, "max_per_minute": 12}},
        "accepted": {},
    }


def test_every_class_has_its_peak_second_by_caller() -> None:
    """Orders count by account, all others by key."""
    traffic = Traffic(RateLimits())
    for moment in (0.1, 0.2, 5.0):
        traffic.arrive("quote", "simkey", now=NOON + moment)
    traffic.arrive("order", "SIM001", now=NOON)
    assert traffic.stats()["peaks"] == {
        "quote": {"simkey": {"total": 3, "max_per_second": 2, "max_per_minute": 3}},
        "order": {"SIM001": {"total": 1, "max_per_second": 1, "max_per_minute": 1}},
    }


@pytest.mark.parametrize(("request_class", "limit"), [("quote", 1), ("historical", 3), ("other", 10), ("order", 10)])
def test_each_class_has_its_own_limit_a_second(request_class: RequestClass, limit: int) -> None:
    """By calendar second: full at its end and full again at the start of the next."""
    traffic = Traffic(RateLimits())
    for second in (NOON + 0.99, NOON + 1.0):
        verdicts = [traffic.admit(request_class, "caller", now=second) for _ in range(limit + 1)]
        assert verdicts == ["allowed"] * limit + ["too_fast"]


@given(st.lists(st.integers(0, 50), min_size=1, max_size=60))
def test_a_rolling_peak_is_the_largest_window(gaps: list[int]) -> None:
    """The same as counting every window; times are tenths of a second, windows exclude their start."""
    times = [sum(gaps[: index + 1]) / 10 for index in range(len(gaps))]
    peak = RollingPeak(1.0)
    for moment in times:
        peak.add(moment)
    assert peak.peak == max(sum(moment - 1.0 < other <= moment for other in times) for moment in times)
