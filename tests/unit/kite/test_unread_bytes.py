"""Where an answer ends on a connection, and that anything behind it is noticed."""

from __future__ import annotations

import pytest

from app.kite.unread_bytes import AnswerEnd

PLAIN = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"
EMPTY = b"HTTP/1.1 204 No Content\r\n\r\n"
INTERIM = b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"


def after(*events: bytes | None) -> bool:
    """Whether there are stray bytes after these reads; None stands for a request that is written."""
    end = AnswerEnd()
    for event in events:
        if event is None:
            end.on_write()
        else:
            end.on_read(event)
    return end.has_stray_bytes


@pytest.mark.parametrize("answer", [PLAIN, CHUNKED, EMPTY, INTERIM + PLAIN])
def test_each_request_may_have_its_answer(answer: bytes) -> None:
    """Whole, byte by byte, and one request after another."""
    assert not after(None, answer, None, answer)
    assert not after(None, *(answer[at : at + 1] for at in range(len(answer))), None, answer)


@pytest.mark.parametrize("answer", [PLAIN, CHUNKED, EMPTY])
def test_anything_behind_an_answer_is_stray(answer: bytes) -> None:
    """In the same bytes, or in later ones before the next request."""
    assert after(None, answer + answer)
    assert after(None, answer + b"\n")
    assert after(None, answer, answer)
    assert after(None, answer, None, answer + answer[:1])
    assert not after(None, answer, b"")


def test_what_is_no_answer_is_stray() -> None:
    """The connection cannot be followed any further."""
    assert after(None, b"SSH-2.0-OpenSSH\r\n\r\n")
    assert after(PLAIN)


def test_a_request_in_several_writes_has_one_answer() -> None:
    """Head and body are written apart."""
    assert not after(None, None, PLAIN, None, None, PLAIN)
