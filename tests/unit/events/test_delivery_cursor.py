"""How far an account was served."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.events.delivery_cursor import DeliveryCursor, Position, compare, hinted_seq
from app.events.model import LogHead


def head(seq: int, *, epoch: str = "e") -> LogHead:
    return LogHead(account_id="a", epoch=epoch, seq=seq)


def live_at(seq: int) -> DeliveryCursor:
    cursor = DeliveryCursor("a", sockets=1)
    cursor.go_live(head(seq))
    return cursor


def test_an_account_without_readers_is_not_read() -> None:
    """Without a socket and without a commit of this process there is no reason to read."""
    assert DeliveryCursor("a").read_after() is None


def test_the_log_is_read_on_after_the_least_served_reader() -> None:
    """Sockets and Redis are served from one read."""
    cursor = live_at(10)
    assert cursor.read_after() == 10
    cursor.relayed, cursor.woken = 7, True
    assert cursor.read_after() == 7


def test_a_cursor_means_nothing_after_its_last_socket() -> None:
    """It is out of date when the next one joins."""
    cursor = live_at(10)
    cursor.sockets = 2
    cursor.leave()
    assert cursor.live
    cursor.leave()
    assert not cursor.live


def test_an_event_that_another_replica_published_is_not_published_again() -> None:
    """Unless a commit of this process still waits to be read: its hint may be below."""
    cursor = live_at(10)
    assert cursor.hear_hint(12)
    assert cursor.relayed == 12
    cursor.woken = True
    cursor.hear_hint(15)
    assert cursor.relayed == 12
    assert not cursor.hear_hint(10)


@given(relayed=st.integers(0, 10**6), seq=st.integers(0, 10**6))
def test_a_forged_hint_does_not_last(relayed: int, seq: int) -> None:
    """The head of the log corrects it, and bounds how much is published late."""
    cursor = DeliveryCursor("a", relayed=relayed)
    cursor.remember_head(seq)
    assert seq - 1000 <= cursor.relayed <= seq


@pytest.mark.parametrize(
    ("heads", "lag"),
    [
        ({"a": head(10)}, "level"),
        ({"a": head(11)}, "behind"),
        ({"a": head(9)}, "lost"),  # the log is shorter than what was sent: a restored database
        ({"a": head(10, epoch="f")}, "lost"),
        ({}, "lost"),
    ],
)
def test_the_head_of_the_log_decides_how_far_a_cursor_lags(heads: dict[str, LogHead], lag: str) -> None:
    """Compared with where the cursor was before the heads were read."""
    assert compare(live_at(10), before=Position("e", 10), heads=heads) == lag


def test_a_cursor_that_advanced_while_the_heads_were_read_is_not_lost() -> None:
    """It knows more than the answer."""
    assert compare(live_at(12), before=Position("e", 10), heads={"a": head(11)}) == "level"


@pytest.mark.parametrize(
    ("data", "seq"),
    [(b'{"type": "order_update", "seq": 5}', 5), (b"", None), (b"5", None), (b'{"seq": null}', None), (b"\xff", None)],
)
def test_only_events_are_hints(data: bytes, seq: int | None) -> None:
    """Any program may publish to Redis."""
    assert hinted_seq(data) == seq
