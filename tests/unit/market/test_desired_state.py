"""What owners want, added up, and what feeds are told."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.broker.market import Mode
from app.market.subscriptions.desired_state import (
    TickStatus,
    Want,
    add_up,
    choose_account,
    is_feed_silent,
    modes_of,
    plan_feed,
    plan_set,
    status_of,
)
from tests.unit.market.builders import NOON, want

MODES = st.dictionaries(st.integers(1, 30), st.sampled_from(Mode))


def stored_token(item: Want) -> int | None:
    return item.instrument_token


def test_the_highest_mode_that_anybody_wants_is_streamed() -> None:
    """Owners are added up per instrument and account."""
    wants = [want("api", mode=Mode.LTP), want("bot", mode=Mode.FULL), want("ui", mode=Mode.QUOTE)]
    (desired,) = add_up(wants, token_of=stored_token).values()
    assert (desired.mode, set(desired.owners)) == (Mode.FULL, {"api", "bot", "ui"})


def test_a_recycled_token_is_followed_by_symbol() -> None:
    """What is streamed is today's token of the symbol, not the token that was stored."""
    desired = add_up([want(token=1)], token_of=lambda _: 2)
    assert modes_of(desired.values(), account_id="primary") == {2: Mode.QUOTE}


def test_an_instrument_that_is_gone_is_not_streamed() -> None:
    """Its want stays."""
    desired = add_up([want()], token_of=lambda _: None)
    assert modes_of(desired.values(), account_id="primary") == {}
    assert len(desired) == 1


def test_created_is_the_first_and_updated_the_last_of_all_owners() -> None:
    """Times of the record, over owners."""
    later = NOON + timedelta(minutes=5)
    (desired,) = add_up([want("a"), want("b", at=later)], token_of=stored_token).values()
    assert (desired.created_at, desired.updated_at) == (NOON, later)


@given(desired=MODES, actual=MODES)
def test_applying_the_plan_gives_exactly_what_is_desired(desired: dict[int, Mode], actual: dict[int, Mode]) -> None:
    """And nothing that was right is touched."""
    change = plan_feed(desired, actual)
    result = {token: mode for token, mode in actual.items() if token not in change.unsubscribe}
    assert {**result, **change.subscribe} == desired
    assert all(actual.get(token) is not mode for token, mode in change.subscribe.items())


@given(present=MODES, wanted=MODES)
def test_a_set_becomes_the_wanted_one(present: dict[int, Mode], wanted: dict[int, Mode]) -> None:
    """The same rule for an owner's set in the table."""
    before = {("primary", ("NSE", str(token))): mode for token, mode in present.items()}
    after = {("primary", ("NSE", str(token))): mode for token, mode in wanted.items()}
    change = plan_set(before, after)
    kept = {place: mode for place, mode in before.items() if place not in change.remove}
    assert {**kept, **change.upsert} == after


@pytest.mark.parametrize(
    ("held", "loads", "expected"),
    [
        (["second"], {"primary": 0, "second": 9}, "second"),  # it is streamed there already, full or not
        ([], {"primary": 2, "second": 0}, "primary"),  # the preferred one while it has room
        ([], {"primary": 3, "second": 1, "third": 0}, "third"),  # then the emptiest
        ([], {"primary": 3, "second": 3}, None),  # nowhere
        (["gone"], {"primary": 0}, "primary"),  # held by an account that may not be used
        ([], {}, None),
    ],
)
def test_choice_of_account(held: list[str], loads: dict[str, int], expected: str | None) -> None:
    """For a capacity of three."""
    assert choose_account(held, loads=loads, preferred="primary", capacity=3) == expected


@pytest.mark.parametrize(
    ("streamed", "connected", "ticked", "stale", "expected"),
    [
        (False, True, False, False, TickStatus.REQUESTED),
        (True, False, False, False, TickStatus.REQUESTED),  # the broker has not been told
        (True, True, False, False, TickStatus.ACTIVE),
        (True, True, True, False, TickStatus.TICKING),
        (True, False, True, True, TickStatus.STALE),
        (True, False, True, False, TickStatus.TICKING),  # a moment's reconnect is not staleness
    ],
)
def test_status(streamed: bool, connected: bool, ticked: bool, stale: bool, expected: TickStatus) -> None:
    """requested, active, ticking, stale."""
    assert status_of(is_streamed=streamed, is_connected=connected, has_ticked=ticked, is_stale=stale) is expected


@pytest.mark.parametrize(
    ("quiet_s", "open_since_s", "silent"),
    [
        (31.0, [None, 100.0], True),
        (31.0, [None, 10.0], False),  # the market opened just now
        (31.0, [None], False),  # closed
        (29.0, [100.0], False),
        (31.0, [], False),  # nothing is wanted
    ],
)
def test_feed_silence(quiet_s: float, open_since_s: list[float | None], silent: bool) -> None:
    """Only what should tick can be silent."""
    assert is_feed_silent(quiet_s=quiet_s, open_since_s=open_since_s, stale_after_s=30.0) is silent
