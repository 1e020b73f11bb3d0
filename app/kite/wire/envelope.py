"""Kite's JSON envelope and what a failed read means (https://kite.trade/docs/connect/v3/response-structure/).

    {"status": "success", "data": ...}
    {"status": "error", "message": "...", "error_type": "...", "data": null}

The body decides, not its Content-Type: the broker has served good JSON as ``text/plain`` and the edge answers in HTML.
A missing ``status`` is tolerated, an ``error_type`` or ``status: error`` makes an error whatever the HTTP status says.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from typing import Any

import msgspec

from app.errors import BrokerError, BrokerRefused, BrokerThrottled, BrokerUnavailable, SessionExpired

_decoder = msgspec.json.Decoder()

MESSAGE_LIMIT = 500
"""Characters of the broker's text that are kept: enough for its longest sentence, and a bound for a hostile one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """A JSON object from the broker. ``has_data`` tells a missing ``data`` from a null one."""

    data: Any
    has_data: bool
    is_error: bool
    error_type: str | None
    message: str | None


def parse_envelope(body: bytes) -> Envelope | None:
    """The envelope, or None for what is not one whole JSON object (HTML, text, a truncated body). Never raises."""
    try:
        parsed = _decoder.decode(body)
        if b"\\u0000" in body:
            parsed = _without_nul(parsed)
    except (ValueError, RecursionError):  # msgspec.DecodeError is a ValueError
        return None
    if not isinstance(parsed, dict):
        return None
    error_type = _text(parsed.get("error_type"))
    return Envelope(
        data=parsed.get("data"),
        has_data="data" in parsed,
        is_error=error_type is not None or parsed.get("status") == "error",
        error_type=error_type,
        message=_text(parsed.get("message")),
    )


def _without_nul(value: Any) -> Any:
    """PostgreSQL stores no NUL: a text of the broker with one could never be stored."""
    if isinstance(value, str):
        return value.replace("\x00", "")
    if isinstance(value, dict):
        return {_without_nul(name): _without_nul(one) for name, one in value.items()}
    return [_without_nul(one) for one in value] if isinstance(value, list) else value


def _repaired(body: bytes) -> bytes:
    """The same JSON with U+FFFD for what is no character, and texts for what is no number or nested too deeply.

    Empty for no JSON at all.
    """
    try:
        parsed = json.loads(
            _without_depth(body).decode(errors="replace"),
            parse_constant=str,
            parse_float=_finite_or_text,
            parse_int=_int_or_text,
        )
        return json.dumps(parsed, ensure_ascii=False).encode(errors="replace")
    except (ValueError, RecursionError):
        return b""


def _without_depth(body: bytes) -> bytes:
    """The same text with ``TOO_DEEP`` for each list and object inside of ``MOST_DEPTH`` others."""
    kept: list[bytes] = []
    depth = at = 0
    for found in _STRUCTURE.finditer(body):
        mark = found[0]
        if mark in (b"[", b"{"):
            depth += 1
            if depth == MOST_DEPTH + 1:
                kept.append(body[at : found.start()])
        elif mark in (b"]", b"}"):
            depth -= 1
            if depth == MOST_DEPTH:
                kept.append(TOO_DEEP)
                at = found.end()
    return b"".join([*kept, body[at:]]) if depth == 0 else b""


MOST_DEPTH = 32
"""Of lists and objects in each other; the broker's own answers have fewer than ten."""

TOO_DEEP = b'"nested too deeply"'
"""A text, so that a row with it where a number or an object belongs counts as one that cannot be read."""

_STRUCTURE = re.compile(rb'"(?:[^"\\]|\\.)*+(?:"|\Z)|[][{}]', re.DOTALL)
"""The texts of a JSON document, and the brackets outside of them."""


def _finite_or_text(text: str) -> float | str:
    number = float(text)
    return number if math.isfinite(number) else text


def _int_or_text(text: str) -> int | str:
    return int(text) if len(text) <= _INT_DIGITS else text


_INT_DIGITS = 18


def _text(value: object) -> str | None:
    return value[:MESSAGE_LIMIT] if isinstance(value, str) and value else None


def read_data(body: bytes, *, status: int) -> Any:
    """``data`` of a successful read. Raises BrokerError; see ``read_error`` for which one.

    One text or number that JSON does not allow, or one value nested absurdly deep, must not hide the rest of a book, so
    such a body is read once more.
    """
    envelope = parse_envelope(body) or parse_envelope(_repaired(body))
    if status == 200 and envelope is not None and not envelope.is_error and envelope.has_data:
        return envelope.data
    raise read_error(envelope, status=status)


def read_error(envelope: Envelope | None, *, status: int) -> BrokerError:
    """The error of a read or session call that did not succeed.

    403 TokenException: SessionExpired. 429: BrokerThrottled. Other 4xx: BrokerRefused. The rest, and every answer that
    is not Kite's JSON: BrokerUnavailable.
    """
    error_type = envelope.error_type if envelope else None
    text = (envelope.message if envelope else None) or _describe(envelope, status=status)
    return _error_class(envelope, status=status)(text, error_type=error_type, http_status=status)


def _error_class(envelope: Envelope | None, *, status: int) -> type[BrokerError]:
    if status == 429:
        return BrokerThrottled
    if status == 403 and envelope is not None and envelope.error_type == "TokenException":
        return SessionExpired
    if 400 <= status < 500:
        return BrokerRefused
    return BrokerUnavailable


def _describe(envelope: Envelope | None, *, status: int) -> str:
    if envelope is None:
        return f"the broker answered HTTP {status} with a body that is not its JSON"
    if status == 200 and not envelope.is_error:
        return "the broker answered HTTP 200 without data"
    return f"the broker answered HTTP {status} without a message"
