"""Text of the ticker socket: its address, requests, pushes (https://kite.trade/docs/connect/v3/websocket/)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlencode, urlsplit, urlunsplit

import msgspec

from app.broker.market import Mode

TOKENS_PER_MESSAGE = 500

_decoder = msgspec.json.Decoder()
_encoder = msgspec.json.Encoder()


def ticker_url(base_url: str, *, api_key: str, access_token: str) -> str:
    """The address of one socket. It carries credentials: it is for connecting, never for a log."""
    parts = urlsplit(base_url)
    query = urlencode({"api_key": api_key, "access_token": access_token})
    return urlunsplit((parts.scheme, parts.netloc, parts.path or "/", query, ""))


def subscribe_messages(modes: Mapping[int, Mode]) -> Iterator[bytes]:
    """``subscribe`` and ``mode`` for each group of tokens: the mode of a bare subscription is undocumented."""
    by_mode: dict[Mode, list[int]] = {}
    for token, mode in modes.items():
        by_mode.setdefault(mode, []).append(token)
    for mode, tokens in by_mode.items():
        for part in _parts(tokens):
            yield _encoder.encode({"a": "subscribe", "v": part})
            yield _encoder.encode({"a": "mode", "v": [mode.value, part]})


def unsubscribe_messages(tokens: Sequence[int]) -> Iterator[bytes]:
    for part in _parts(tokens):
        yield _encoder.encode({"a": "unsubscribe", "v": part})


def _parts(tokens: Sequence[int]) -> Iterator[Sequence[int]]:
    for start in range(0, len(tokens), TOKENS_PER_MESSAGE):
        yield tokens[start : start + TOKENS_PER_MESSAGE]


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderPush:
    """The state of an order, as the broker pushes it."""

    payload: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerNote:
    """An ``error`` or ``message`` of the broker, with its text."""

    kind: Literal["error", "message"]
    text: str


def parse_text(frame: bytes) -> OrderPush | BrokerNote | None:
    """A text frame; None for a type that this service does not use. Raises ValueError for what is not Kite's JSON."""
    try:
        parsed = _decoder.decode(frame)
    except RecursionError:
        raise ValueError("text frame is nested too deeply") from None
    if not isinstance(parsed, dict):
        raise ValueError("text frame is not an object")  # noqa: TRY004 - one error for the caller to catch
    kind, data = parsed.get("type"), parsed.get("data")
    if kind == "order":
        if not isinstance(data, dict):
            raise ValueError("order push without an object")
        return OrderPush(payload=data)
    if kind in ("error", "message"):
        return BrokerNote(kind=kind, text=str(data))
    return None
