"""How far an account was served."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.events.delivery_cursor import DeliveryCursor, Position, compare, hinted_seq
from app.events.model import LogHead


def head(seq: int, *, epoch: str = "e") -> LogHead:
    return LogHead(account_id="a", epoch=epoch, seq=seq)


def live_at(cursor: int) -> DeliveryCursor:
    feed = DeliveryCursor("a", sockets=1)
    feed.go_live(head(cursor))
    return feed


def test_nobody_reads_nothing() -> None:
    """Without a socket and without a commit of ours there is no reason to read."""
    assert DeliveryCursor("a").read_after() is None


def test_reading_goes_on_where_the_one_furthest_behind_is() -> None:
    """Sockets and Redis are served from one read."""
    feed = live_at(10)
    assert feed.read_after() == 10
    feed.relayed, feed.woken = 7, True
    assert feed.read_after() == 7


def test_the_cursor_of_the_last_socket_goes_with_it() -> None:
    """It would be stale by the time that the next one comes."""
    feed = live_at(10)
    feed.sockets = 2
    feed.leave()
    assert feed.live
    feed.leave()
    assert not feed.live


def test_what_another_replica_published_is_not_published_again() -> None:
    """Unless a commit of our own still waits to be read: its hint may be below."""
    feed = live_at(10)
    assert feed.heard(12)
    assert feed.relayed == 12
    feed.woken = True
    feed.heard(15)
    assert feed.relayed == 12
    assert not feed.heard(10)


@given(relayed=st.integers(0, 10**6), seq=st.integers(0, 10**6))
def test_a_forged_hint_does_not_last(relayed: int, seq: int) -> None:
    """The head of the log puts it right, and bounds how much is published late."""
    feed = DeliveryCursor("a", relayed=relayed)
    feed.remember_head(seq)
    assert seq - 1000 <= feed.relayed <= seq


@pytest.mark.parametrize(
    ("heads", "verdict"),
    [
        ({"a": head(10)}, "level"),
        ({"a": head(11)}, "behind"),
        ({"a": head(9)}, "lost"),  # the log is shorter than what was sent: a restored database
        ({"a": head(10, epoch="f")}, "lost"),
        ({}, "lost"),
    ],
)
def test_what_the_head_of_the_log_means(heads: dict[str, LogHead], verdict: str) -> None:
    """Compared with where the feed stood before the heads were read."""
    assert compare(live_at(10), before=Position("e", 10), heads=heads) == verdict


def test_a_feed_that_advanced_while_the_heads_were_read_is_not_lost() -> None:
    """It knows more than the answer, that is all."""
    assert compare(live_at(12), before=Position("e", 10), heads={"a": head(11)}) == "level"


@pytest.mark.parametrize(
    ("data", "seq"),
    [(b'{"type": "order_update", "seq": 5}', 5), (b"", None), (b"5", None), (b'{"seq": null}', None), (b"\xff", None)],
)
def test_hints_of_others_are_ignored(data: bytes, seq: int | None) -> None:
    """Anybody may publish to Redis."""
    assert hinted_seq(data) == seq
