"""The broker's limits as arithmetic: no request pattern, however hostile, shows more than they allow."""

from __future__ import annotations

import math
from dataclasses import asdict
from datetime import date

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.broker.port import RequestKind
from app.kite.pace import MINUTE_S, BrokerLimits, MinuteWindow, OrderPace, ReadPace

CANCEL, MODIFY, PLACE = RequestKind.CANCEL, RequestKind.MODIFY, RequestKind.PLACE
DAY = date(2026, 7, 6)
PUBLISHED = {
    "order_emission_s": 0.112,  # ten a second, and a margin for the network
    "historical_emission_s": 0.350,  # three a second
    "quote_emission_s": 1.05,  # one a second
    "other_emission_s": 0.150,  # ten a second, of which three may go at once
    "other_burst": 3,
    "orders_per_minute": 400,
    "kept_for_cancels": 0.2,
    "places_per_day": 5_000,
}
kinds = st.sampled_from([CANCEL, MODIFY, PLACE])
gaps = st.floats(0, 0.4, allow_nan=False) | st.just(0.0)


def grant_all(pace: OrderPace | ReadPace, requests: list[tuple[float, RequestKind]]) -> list[float]:
    """Send every request as early as the pace allows; gaps are the sender's own pauses."""
    now, times = 0.0, []
    for gap, kind in requests:
        now = pace.ready_at(kind, now=now + gap, day=DAY)
        pace.take(kind, now=now, day=DAY)
        times.append(now)
    return times


def most_in_window(times: list[float], *, seconds: float) -> int:
    return max((sum(start <= t <= start + seconds for t in times) for start in times), default=0)


@given(st.lists(st.tuples(gaps, kinds), max_size=60))
@example([(0.0, PLACE)] * 60)
def test_never_more_than_ten_orders_in_any_rolling_second(requests: list[tuple[float, RequestKind]]) -> None:
    """Both ends of the second counted, whatever the pattern of arrivals."""
    assert most_in_window(grant_all(OrderPace(BrokerLimits()), requests), seconds=1.0) <= 10


@given(
    st.lists(st.tuples(gaps, kinds), max_size=60),
    st.lists(st.floats(0, 0.12, allow_nan=False), min_size=60, max_size=60),
)
@example([(0.0, PLACE)] * 60, [0.12] * 11 + [0.0] * 49)
@example([(0.0, PLACE)] * 60, [0.12, *[0.0] * 59])
def test_a_bunching_network_still_shows_at_most_ten(
    requests: list[tuple[float, RequestKind]], delays: list[float]
) -> None:
    """With 0 to 120 ms on the way, the broker never counts an eleventh in a second."""
    sent = grant_all(OrderPace(BrokerLimits()), requests)
    arrived = [time + delay for time, delay in zip(sent, delays, strict=False)]
    assert most_in_window(arrived, seconds=0.999_999) <= 10


@given(st.lists(st.tuples(gaps, kinds), max_size=80))
def test_never_more_than_the_minutes_budget(requests: list[tuple[float, RequestKind]]) -> None:
    """A budget of 12 a minute, so that the pattern reaches it."""
    times = grant_all(OrderPace(BrokerLimits(orders_per_minute=12)), requests)
    assert most_in_window(times, seconds=59.999_999) <= 12


def test_the_limits_are_those_that_the_broker_publishes() -> None:
    """Each with its distance; a slip here is a ban."""
    assert asdict(BrokerLimits()) == PUBLISHED
    assert MINUTE_S == 63.0


def test_cancels_keep_a_fifth_of_the_minute() -> None:
    """When places have used their share, the next place waits for the minute and a cancel does not."""
    pace = OrderPace(BrokerLimits(orders_per_minute=10))
    times = grant_all(pace, [(0.0, PLACE)] * 8)
    now = times[-1] + 1
    assert pace.ready_at(PLACE, now=now, day=DAY) == times[0] + MINUTE_S
    assert pace.ready_at(MODIFY, now=now, day=DAY) == times[0] + MINUTE_S
    assert pace.ready_at(CANCEL, now=now, day=DAY) == now


def test_the_day_counts_placements_only() -> None:
    """Beyond the day's limit even exits are refused by the broker; cancels and modifications pass."""
    pace = OrderPace(BrokerLimits(places_per_day=2))
    grant_all(pace, [(0.0, PLACE), (0.0, CANCEL), (0.0, MODIFY), (0.0, PLACE)])
    assert math.isinf(pace.ready_at(PLACE, now=100.0, day=DAY))
    assert pace.ready_at(CANCEL, now=100.0, day=DAY) == 100.0


def test_a_new_day_starts_with_the_whole_budget() -> None:
    """The count belongs to one IST day."""
    pace = OrderPace(BrokerLimits(places_per_day=1))
    grant_all(pace, [(0.0, PLACE)])
    assert pace.ready_at(PLACE, now=100.0, day=date(2026, 7, 7)) == 100.0
    pace.take(PLACE, now=100.0, day=date(2026, 7, 7))
    assert math.isinf(pace.ready_at(PLACE, now=200.0, day=date(2026, 7, 7)))
    two = OrderPace(BrokerLimits(places_per_day=2))
    grant_all(two, [(0.0, PLACE), (0.0, PLACE)])
    two.take(PLACE, now=100.0, day=date(2026, 7, 7))  # the first of the new day is one, not the third
    assert two.ready_at(PLACE, now=200.0, day=date(2026, 7, 7)) == 200.0


def test_a_restart_does_not_forget_what_was_sent() -> None:
    """The count can be set from the database."""
    pace = OrderPace(BrokerLimits(places_per_day=5_000))
    pace.restore(day=DAY, used=5_000)
    assert math.isinf(pace.ready_at(PLACE, now=0.0, day=DAY))


def test_a_slow_way_to_the_broker_does_not_make_a_401st_in_a_minute() -> None:
    """What is granted last in one minute may be three seconds under way, the next minute's first none."""
    pace = OrderPace(BrokerLimits())
    sent = grant_all(pace, [(0.0, CANCEL)] * 900)
    for slow in range(0, 900, 100):
        arrived = [time + (3.0 if index == slow else 0.0) for index, time in enumerate(sent)]
        assert most_in_window(arrived, seconds=59.999_999) <= 400


def test_a_new_owner_goes_on_with_the_minute_of_the_one_before() -> None:
    """The broker counts an account's requests, whichever process sends them."""
    before, after = OrderPace(BrokerLimits()), OrderPace(BrokerLimits())
    sent = grant_all(before, [(0.0, PLACE)] * 320)
    now = sent[-1] + 1.0
    after.restore_minute(sent)
    assert after.ready_at(PLACE, now=now, day=DAY) == before.ready_at(PLACE, now=now, day=DAY) > now
    assert after.ready_at(CANCEL, now=now, day=DAY) == now


def test_a_cool_down_holds_everything_and_shortens_nothing() -> None:
    """Until its moment; one that is over already changes nothing."""
    pace = OrderPace(BrokerLimits())
    pace.cool_down(5.0)
    assert pace.ready_at(CANCEL, now=1.0, day=DAY) == 5.0
    pace.cool_down(3.0)
    assert pace.ready_at(PLACE, now=1.0, day=DAY) == 5.0
    assert pace.ready_at(PLACE, now=6.0, day=DAY) == 6.0


def test_window_holds_no_more_than_its_limit() -> None:
    """Its memory is bounded by the limit."""
    window = MinuteWindow(3)
    now = 0.0
    for _ in range(50):
        now = window.ready_at(now, limit=3)
        window.take(now)
        assert len(window.granted) <= 3


@given(st.lists(gaps, max_size=30))
def test_reads_keep_their_distance(pauses: list[float]) -> None:
    """Quotes one a second, historical three."""
    limits = BrokerLimits()
    for emission, allowed in ((limits.quote_emission_s, 1), (limits.historical_emission_s, 3)):
        times = grant_all(ReadPace(emission), [(pause, RequestKind.OTHER) for pause in pauses])
        assert most_in_window(times, seconds=1.0) <= allowed


@given(
    st.lists(gaps, max_size=60),
    st.lists(st.floats(0, 0.12, allow_nan=False), min_size=60, max_size=60),
)
@example([0.0] * 60, [0.12] * 11 + [0.0] * 49)
def test_other_reads_go_in_threes_and_never_more_than_ten_a_second(pauses: list[float], delays: list[float]) -> None:
    """Also after a network that bunches them."""
    limits = BrokerLimits()
    pace = ReadPace(limits.other_emission_s, burst=limits.other_burst)
    sent = grant_all(pace, [(pause, RequestKind.OTHER) for pause in pauses])
    arrived = [time + delay for time, delay in zip(sent, delays, strict=False)]
    assert most_in_window(arrived, seconds=1.0) <= 10


def test_three_reads_do_not_wait_for_one_another() -> None:
    """The fourth does."""
    pace = ReadPace(0.150, burst=3)
    assert grant_all(pace, [(0.0, RequestKind.OTHER)] * 5) == pytest.approx([0.0, 0.0, 0.0, 0.150, 0.300])


@given(late=st.lists(st.floats(0, 1.5, allow_nan=False), min_size=12, max_size=60))
@example(late=[0.5, 0.4, 0.3, 0.2, 0.1, *[0.0] * 20])
def test_requests_that_pause_after_their_grant_do_not_bunch_up(late: list[float]) -> None:
    """However long each takes from its grant to its departure, no rolling second sees more than ten depart."""
    pace = OrderPace(BrokerLimits())
    ready = sorted(at + pause for at, pause in zip(grant_all(pace, [(0.0, PLACE)] * len(late)), late, strict=True))
    left = []
    for moment in ready:
        at = pace.departures.ready_at(moment)
        pace.departures.take(at)
        left.append(at)
    assert all(at >= moment for at, moment in zip(left, ready, strict=True))
    assert all(tenth - first >= 1.0 - 1e-9 for first, tenth in zip(left, left[9:], strict=False))


def test_departures_in_time_wait_for_nothing() -> None:
    """The grants alone are far enough apart: the second look costs the undisturbed order no time."""
    pace = OrderPace(BrokerLimits())
    for at in grant_all(pace, [(0.0, PLACE)] * 40):
        assert pace.departures.ready_at(at) == at
        pace.departures.take(at)
