"""What one socket is sent of a recording."""

import pytest

from simulator.replay import cut_frame
from simulator.stream.messages import Action, Command
from simulator.stream.packets import Mode
from simulator.stream.replayed_subscriptions import MAX_WAITING, ReplayedSubscriptions
from simulator.stream.subscriptions import MAX_TOKENS
from tests.unit.simulator.market.builders import any_state

SHARE, INDEX = 408065, 256265


def packet(token: int, *, size: int, last_price: int = 150_000) -> bytes:
    return token.to_bytes(4, "big") + last_price.to_bytes(4, "big") + bytes(range(8, size))


def command(action: Action, *tokens: int, mode: Mode | None = None) -> Command:
    return Command(action, tokens, mode)


def taken(wanted: ReplayedSubscriptions) -> list[list[bytes]]:
    frames = []
    while frame := wanted.take_frame(any_state()):
        packets = cut_frame(frame[0])
        assert len(packets) == frame[1]
        frames.append(packets)
    return frames


@pytest.mark.parametrize(
    ("mode", "recorded", "sent"),
    [
        ("full", 184, 184),
        ("quote", 184, 44),
        ("ltp", 184, 8),
        ("full", 44, 44),
        ("quote", 8, 8),
        ("full", 32, 32),
        ("quote", 32, 28),
        ("ltp", 28, 8),
    ],
)
def test_a_packet_is_cut_to_the_mode(mode: Mode, recorded: int, sent: int) -> None:
    """It is never longer than the recorded one."""
    wanted = ReplayedSubscriptions({})
    wanted.apply(command("mode", SHARE, mode=mode))
    whole = packet(SHARE, size=recorded)
    assert wanted.offer([whole])
    assert taken(wanted) == [[whole[:sent]]]


def test_a_frame_is_cut_to_the_tokens_of_the_socket_and_frames_keep_their_order() -> None:
    """Without a subscribed packet there is no frame."""
    wanted = ReplayedSubscriptions({})
    wanted.apply(command("subscribe", SHARE))
    first, second, other = (packet(SHARE, size=44, last_price=p) for p in (1, 2, 3))
    assert wanted.offer([packet(INDEX, size=32), first])
    assert not wanted.offer([packet(INDEX, size=32)])
    assert wanted.offer([second])
    wanted.apply(command("unsubscribe", SHARE))
    assert not wanted.offer([other])
    assert wanted.waiting
    assert taken(wanted) == [[first], [second]]


def test_in_mode_ltp_only_a_new_price_counts() -> None:
    """As on a socket with simulated prices."""
    wanted = ReplayedSubscriptions({})
    wanted.apply(command("mode", SHARE, mode="ltp"))
    prices = [wanted.offer([packet(SHARE, size=184, last_price=price)]) for price in (5, 5, 6)]
    assert prices == [True, False, True]


def test_a_subscription_is_answered_with_the_last_played_packets() -> None:
    """In the requested mode; instruments above the limit get an error text."""
    wanted = ReplayedSubscriptions({SHARE: packet(SHARE, size=184)})
    assert wanted.apply(command("subscribe", SHARE, INDEX)) is None
    assert taken(wanted) == [[packet(SHARE, size=184)[:44]]]
    complaint = wanted.apply(command("subscribe", *range(1, MAX_TOKENS + 2)))
    assert complaint == "Maximum 3000 instruments allowed per connection; 3 not subscribed."
    assert wanted.count == MAX_TOKENS


def test_a_slow_reader_loses_the_oldest_frames() -> None:
    """The queue is bounded."""
    wanted = ReplayedSubscriptions({})
    wanted.apply(command("subscribe", SHARE))
    for price in range(MAX_WAITING + 2):
        wanted.offer([packet(SHARE, size=44, last_price=price)])
    frames = taken(wanted)
    assert len(frames) == MAX_WAITING
    assert frames[0] == [packet(SHARE, size=44, last_price=2)]
