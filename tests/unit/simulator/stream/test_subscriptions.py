"""What one socket is subscribed to, and what it is sent."""

import struct

import numpy as np
import pytest

from simulator.market.state import State, new_state
from simulator.stream.messages import Command
from simulator.stream.subscriptions import MAX_TOKENS, Subscriptions
from tests.unit.simulator.market.builders import make_index, make_share

SHARES = [make_share(number) for number in range(1, MAX_TOKENS + 11)]
INDEX = make_index()
INSTRUMENTS = [*SHARES, INDEX]
ROW_OF = {item.instrument_token: row for row, item in enumerate(INSTRUMENTS)}
A, B, C = (share.instrument_token for share in SHARES[:3])


@pytest.fixture(scope="module")
def state() -> State:
    return new_state(INSTRUMENTS)


def packets(frame: tuple[bytes, int] | None) -> dict[int, int]:
    """Token to packet length."""
    if frame is None:
        return {}
    body, count = frame
    assert struct.unpack_from(">H", body)[0] == count
    found, at = {}, 2
    while at < len(body):
        length, token = struct.unpack_from(">HI", body, at)
        found[token] = length
        at += 2 + length
    assert len(found) == count
    return found


def changed(*tokens: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.array([ROW_OF[token] for token in tokens], dtype=np.int64)


def test_subscribing_sends_a_snapshot_in_quote_mode(state: State) -> None:
    """44 bytes for a share, 28 for an index, once."""
    wanted = Subscriptions(ROW_OF)
    assert wanted.apply(Command("subscribe", (A, INDEX.instrument_token))) is None
    assert packets(wanted.take_frame(state)) == {A: 44, INDEX.instrument_token: 28}
    assert wanted.take_frame(state) is None


def test_mode_subscribes_and_a_bare_subscribe_keeps_the_mode(state: State) -> None:
    """Clients send both in either order when they reconnect."""
    wanted = Subscriptions(ROW_OF)
    wanted.apply(Command("mode", (A, B), "full"))
    wanted.apply(Command("mode", (B,), "ltp"))
    wanted.apply(Command("subscribe", (A, B, C)))
    assert packets(wanted.take_frame(state)) == {A: 184, B: 8, C: 44}


def test_only_changes_of_subscribed_instruments_are_due(state: State) -> None:
    """Nothing is sent for instruments that are not subscribed, or not any more."""
    wanted = Subscriptions(ROW_OF)
    wanted.apply(Command("subscribe", (A, B)))
    wanted.take_frame(state)
    wanted.apply(Command("unsubscribe", (B,)))
    assert wanted.count == 1
    assert not wanted.mark(changed(B, C), np.ones(2, dtype=bool))
    assert wanted.mark(changed(A), np.zeros(1, dtype=bool))
    assert packets(wanted.take_frame(state)) == {A: 44}


def test_ltp_mode_is_silent_while_the_last_price_stays(state: State) -> None:
    """A change of depth or volume is not sent in mode ltp."""
    wanted = Subscriptions(ROW_OF)
    wanted.apply(Command("mode", (A, B), "ltp"))
    wanted.take_frame(state)
    assert wanted.mark(changed(A, B), np.array([False, True]))
    assert packets(wanted.take_frame(state)) == {B: 8}


def test_changes_conflate_until_they_are_sent(state: State) -> None:
    """A slow client gets the newest state once, not every change."""
    wanted = Subscriptions(ROW_OF)
    wanted.apply(Command("subscribe", (A, B)))
    for _ in range(100):
        wanted.mark(changed(A, B), np.ones(2, dtype=bool))
    assert packets(wanted.take_frame(state)) == {A: 44, B: 44}


def test_instruments_above_the_limit_are_counted_and_the_others_subscribed() -> None:
    """3,000 instruments per socket; repeated and unknown tokens do not count."""
    wanted = Subscriptions(ROW_OF)
    tokens = tuple(share.instrument_token for share in SHARES)
    complaint = wanted.apply(Command("subscribe", (*tokens, *tokens[:5], 77)))
    assert complaint == (
        "Maximum 3000 instruments allowed per connection; 10 not subscribed. 1 unknown instrument tokens ignored."
    )
    assert wanted.count == MAX_TOKENS
    assert wanted.apply(Command("mode", tokens[:MAX_TOKENS], "full")) is None


def test_a_new_listing_keeps_what_is_still_listed(state: State) -> None:
    """With a new day rows change and contracts expire; subscriptions follow the tokens."""
    wanted = Subscriptions(ROW_OF)
    wanted.apply(Command("mode", (A, B), "full"))
    wanted.apply(Command("subscribe", (C,)))
    survivors = [SHARES[2], SHARES[0], INDEX]
    tokens = np.array([item.instrument_token for item in INSTRUMENTS])
    wanted.move({item.instrument_token: row for row, item in enumerate(survivors)}, tokens=tokens)
    assert wanted.count == 2
    assert packets(wanted.take_frame(new_state(survivors))) == {A: 184, C: 44}
