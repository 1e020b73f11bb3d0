"""Kite's envelope, and the error that a failed read becomes."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import BrokerError, BrokerRefused, BrokerThrottled, BrokerUnavailable, SessionExpired
from app.kite.wire.envelope import parse_envelope, read_data

TOKEN = b'{"status":"error","message":"Incorrect `api_key` or `access_token`.","error_type":"TokenException"}'
PERMISSION = b'{"status":"error","message":"Insufficient permission.","error_type":"PermissionException"}'
INPUT = b'{"status":"error","message":"invalid token","error_type":"InputException","data":null}'

# body, status, error: a comment says why
FAILURES: list[tuple[bytes, int, type[BrokerError]]] = [
    (TOKEN, 403, SessionExpired),  # exactly this pair asks for a new login
    (TOKEN, 400, BrokerRefused),
    (PERMISSION, 403, BrokerRefused),  # a new login would not help
    (b"<html>", 403, BrokerRefused),
    (INPUT, 400, BrokerRefused),
    (b"", 404, BrokerRefused),
    (b"", 429, BrokerThrottled),
    (INPUT, 429, BrokerThrottled),
    (b"<html>502</html>", 502, BrokerUnavailable),
    (INPUT, 500, BrokerUnavailable),
    (INPUT, 200, BrokerUnavailable),  # an error under 200 is not data
    (b"", 302, BrokerUnavailable),
    (b'{"data": 1}', 204, BrokerUnavailable),
    (b'{"status":"success"}', 200, BrokerUnavailable),  # no data at all
    (b'{"status":"success","data":[1,', 200, BrokerUnavailable),  # half a book is no book
    (b"[]", 200, BrokerUnavailable),
    (b"\xff\xfe", 200, BrokerUnavailable),
]


@pytest.mark.parametrize(("body", "status", "expected"), FAILURES)
def test_failed_reads(body: bytes, status: int, expected: type[BrokerError]) -> None:
    """Each row raises exactly its class, with the broker's status."""
    with pytest.raises(BrokerError) as caught:
        read_data(body, status=status)
    assert type(caught.value) is expected
    assert caught.value.http_status == status


def test_an_error_carries_the_brokers_text() -> None:
    """Type and message are the broker's own."""
    with pytest.raises(BrokerRefused, match="invalid token") as caught:
        read_data(INPUT, status=400)
    assert caught.value.error_type == "InputException"


@pytest.mark.parametrize("data", [None, True, [], {"a": 1}])
def test_data_is_given_as_it_came(data: object) -> None:
    """Null and true are data too (log-out, alert deletion); a missing status key is tolerated."""
    assert read_data(json.dumps({"data": data}).encode(), status=200) == data


def test_long_messages_are_cut() -> None:
    """A hostile message cannot fill a log."""
    envelope = parse_envelope(json.dumps({"message": "x" * 10_000}).encode())
    assert envelope is not None
    assert envelope.message == "x" * 500


@given(st.binary(max_size=200), st.integers(0, 999))
def test_arbitrary_bodies_raise_only_broker_errors(body: bytes, status: int) -> None:
    """Whatever arrives, the caller sees a value or the BrokerError tree."""
    try:
        read_data(body, status=status)
    except BrokerError:
        return
