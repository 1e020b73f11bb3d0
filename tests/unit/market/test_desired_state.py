"""What owners want, combined, and what feeds are asked for."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from app.broker.market import Mode
from app.market.subscriptions.desired_state import combine, modes_of, plan_feed, plan_set
from app.market.subscriptions.model import Subscription
from tests.unit.market.builders import NOON, subscription

MODES = st.dictionaries(st.integers(1, 30), st.sampled_from(Mode))


def stored_token(item: Subscription) -> int | None:
    return item.instrument_token


def test_the_highest_mode_of_all_owners_is_streamed() -> None:
    """Owners are combined by instrument and account."""
    subscriptions = [
        subscription("api", mode=Mode.LTP),
        subscription("bot", mode=Mode.FULL),
        subscription("ui", mode=Mode.QUOTE),
    ]
    (desired,) = combine(subscriptions, token_of=stored_token).values()
    assert (desired.mode, set(desired.owners)) == (Mode.FULL, {"api", "bot", "ui"})


def test_a_recycled_token_is_followed_by_symbol() -> None:
    """What is streamed is today's token of the symbol, not the token that was stored."""
    desired = combine([subscription(token=1)], token_of=lambda _: 2)
    assert modes_of(desired.values(), account_id="primary") == {2: Mode.QUOTE}


def test_an_instrument_that_is_gone_is_not_streamed() -> None:
    """Its subscription stays."""
    desired = combine([subscription()], token_of=lambda _: None)
    assert modes_of(desired.values(), account_id="primary") == {}
    assert len(desired) == 1


def test_created_is_the_first_and_updated_the_last_of_all_owners() -> None:
    """Times of the record, over owners."""
    later = NOON + timedelta(minutes=5)
    (desired,) = combine([subscription("a"), subscription("b", at=later)], token_of=stored_token).values()
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
    kept = {stream: mode for stream, mode in before.items() if stream not in change.remove}
    assert {**kept, **change.upsert} == after
