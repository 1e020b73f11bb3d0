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


def _deep(depth: int, inner: str = "1") -> str:
    return "[" * depth + inner + "]" * depth


@pytest.mark.parametrize("depth", [40, 900, 5_000, 200_000])
def test_a_value_nested_too_deeply_spoils_its_row_alone(depth: int) -> None:
    """The other rows of the book are read; the bad one is named by its id."""
    good = {"order_id": "2", "status": "COMPLETE"}
    body = '{"status":"success","data":[{"order_id":"1","status":"OPEN","quantity":%s},%s]}'
    (odd, other) = read_data((body % (_deep(depth), json.dumps(good))).encode(), status=200)
    assert other == good
    assert odd["order_id"] == "1"
    assert not isinstance(odd["quantity"], int)


def test_brackets_in_texts_are_no_depth() -> None:
    """Also after an escaped quotation mark, and beside a value that is too deep."""
    text = "[{" * 50 + '\\" ]}'
    body = json.dumps({"data": [{"name": text}]})[:-2] + f', {{"odd": {_deep(3_000, chr(34) + "]" + chr(34))}}}]}}'
    assert read_data(body.encode(), status=200)[0] == {"name": text}


@pytest.mark.parametrize("body", [b"[" * 100_000, b'{"data":' + b"[" * 5_000 + b"]" * 4_999 + b"}", b'\\"' * 100_000])
def test_a_deep_body_that_is_no_json_is_unreadable_soon(body: bytes) -> None:
    """In a time that grows with its length alone."""
    with pytest.raises(BrokerUnavailable):
        read_data(body, status=200)


@given(st.integers(1, 990))
def test_a_deep_answer_with_a_nul_never_raises(depth: int) -> None:
    """It is read, or is no envelope."""
    envelope = parse_envelope(f'{{"data":{_deep(depth, chr(34) + chr(92) + "u0000" + chr(34))}}}'.encode())
    assert envelope is None or envelope.has_data
