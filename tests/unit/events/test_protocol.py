"""The messages of the streams, without a socket."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.api.events import start_of
from app.events.model import LogHead, StoredEvent
from app.events.protocol import (
    Auth,
    CloseReason,
    MessageRate,
    Resume,
    StreamClosed,
    event_frame,
    parse_auth,
    parse_tick_command,
    snapshot_frame,
)
from app.events.resume import can_resume


def refusal(parse: Callable[[str], object], text: str) -> CloseReason | None:
    try:
        parse(text)
    except StreamClosed as closed:
        return closed.reason
    return None


@given(st.text(max_size=200) | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(json.dumps))
def test_no_text_breaks_the_parsers(text: str) -> None:
    """Whatever a client says is a message or `bad_message`."""
    for parse in (parse_auth, parse_tick_command):
        assert refusal(parse, text) in {None, CloseReason.BAD_MESSAGE}


@given(key=st.text(min_size=1, max_size=100), epoch=st.text(max_size=20), seq=st.integers(0, 2**63 - 1))
def test_a_first_message_is_read_as_it_was_meant(key: str, epoch: str, seq: int) -> None:
    """Key and position survive."""
    text = json.dumps({"type": "auth", "api_key": key, "resume": {"epoch": epoch, "seq": seq}})
    assert parse_auth(text) == Auth(api_key=key, resume=Resume(epoch=epoch, seq=seq))


def test_the_key_is_not_printed() -> None:
    """A traceback or a log line cannot give it away."""
    assert "sesame" not in repr(parse_auth('{"type": "auth", "api_key": "sesame"}'))


@pytest.mark.parametrize(
    ("epoch", "seq", "possible"),
    [
        ("e", 100, True),  # nothing missed
        ("e", 90, True),  # exactly the limit behind
        ("e", 89, False),  # one too many
        ("e", 101, False),  # ahead: this log never had it
        ("other", 100, False),
    ],
)
def test_when_a_resume_is_possible(epoch: str, seq: int, possible: bool) -> None:
    """The same log, not ahead, not too far behind."""
    head = LogHead(account_id="a", epoch="e", seq=100)
    assert can_resume(Resume(epoch=epoch, seq=seq), head=head, limit=10) is possible


@given(st.lists(st.floats(0, 0.5), max_size=60), st.integers(1, 10))
def test_the_rate_is_a_rolling_second(gaps: list[float], limit: int) -> None:
    """A message is too many exactly when `limit` others came in the second before it."""
    rate, now = MessageRate(limit=limit), 0.0
    times: list[float] = []
    for gap in gaps:
        now += gap
        assert rate.exceeded(now) is (sum(now - earlier < 1.0 for earlier in times) >= limit)
        times.append(now)


def test_an_event_is_written_as_stored() -> None:
    """The data untouched, the time in IST."""
    event = StoredEvent(
        account_id="a", seq=7, type="order_updated", data='{"price": 10.50}',
        occurred_at=datetime(2026, 1, 5, 3, 45, tzinfo=UTC),
    )  # fmt: skip
    assert event_frame(event) == (
        '{"type":"order_update","account_id":"a","seq":7,"event":"order_updated",'
        '"timestamp":"2026-01-05T09:15:00+05:30","data":{"price": 10.50}}'
    )


def test_a_snapshot_writes_prices_as_numbers() -> None:
    """As Kite does."""
    assert snapshot_frame([{"price": Decimal("10.50")}], seq=3) == (
        '{"type":"snapshot","seq":3,"orders":[{"price":10.50}]}'
    )


def test_close_codes_separate_permanent_from_temporary_reasons() -> None:
    """1008: do not just come back; 1012 and 1013: come back and resume; never 1000."""
    assert {reason.code for reason in CloseReason} == {1008, 1012, 1013}
    assert {reason.text for reason in CloseReason if reason.code != 1008} == {
        "restart", "slow_consumer", "idle_timeout", "unavailable",
    }  # fmt: skip


def test_a_page_begins_after_the_further_of_both() -> None:
    """A client that keeps ``after`` in its address goes on with the cursor."""
    assert start_of(after=None, cursor=None) == 0
    assert start_of(after=7, cursor=None) == 7
    assert start_of(after=None, cursor="8") == 8
    assert start_of(after=7, cursor="8") == 8
    assert start_of(after=8, cursor="7") == 8
