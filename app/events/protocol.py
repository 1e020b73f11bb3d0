"""The messages of a stream, as values: first messages, close reasons, frames. No socket, no clock, no database.

Every close has a code of RFC 6455 section 7.4.1: 1008 means that connecting again changes nothing, 1012 and 1013 that
the client should connect again and resume.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Annotated, Any, Literal, TypeVar

import msgspec

from app.broker.market import Mode
from app.events.model import LogHead, StoredEvent
from app.kit.clock import ist_iso

AUTH_MAX_BYTES = 4096
MESSAGE_MAX_BYTES = 65_536
PING = "ping"
PONG = "pong"


class CloseReason(Enum):
    """Why the service closes a socket: the code and the reason that the client reads."""

    UNAUTHORIZED = (1008, "unauthorized")
    AUTH_TIMEOUT = (1008, "auth_timeout")
    BAD_MESSAGE = (1008, "bad_message")
    FORBIDDEN_ACCOUNT = (1008, "forbidden_account")
    CONNECTION_LIMIT = (1008, "connection_limit")
    RESTART = (1012, "restart")
    SLOW_CONSUMER = (1013, "slow_consumer")
    IDLE_TIMEOUT = (1013, "idle_timeout")
    UNAVAILABLE = (1013, "unavailable")

    @property
    def code(self) -> int:
        return self.value[0]

    @property
    def text(self) -> str:
        return self.value[1]


class StreamClosed(Exception):
    """The socket has to be closed, for this ``reason``."""

    def __init__(self, reason: CloseReason) -> None:
        super().__init__(reason.text)
        self.reason = reason


class Resume(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The last event that the client has, and of which log."""

    epoch: Annotated[str, msgspec.Meta(max_length=64)]
    seq: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


class Auth(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="auth"):
    """The first message of every stream."""

    api_key: Annotated[str, msgspec.Meta(max_length=512)]
    resume: Resume | None = None

    def __repr__(self) -> str:
        return "Auth(...)"  # the key must not reach a log through a traceback


Token = Annotated[int, msgspec.Meta(ge=1, le=2**32 - 1)]


class TickCommand(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A request of a client of ``/ws/ticks``. ``mode`` is the most that it wants of each tick."""

    action: Literal["subscribe", "unsubscribe"]
    tokens: Annotated[list[Token], msgspec.Meta(min_length=1)]
    mode: Mode = Mode.FULL


class OrderUpdate(msgspec.Struct, frozen=True, tag_field="type", tag="order_update"):
    """One event as clients see it, on the socket, in Redis and in ``GET /events``."""

    account_id: str
    seq: int
    event: str
    timestamp: str
    data: msgspec.Raw


class EventPage(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of ``GET /events``."""

    data: list[OrderUpdate]
    next_cursor: str | None
    epoch: str | None
    seq: int
    oldest: int | None


def parse_auth(text: str) -> Auth:
    """The first message. Raises StreamClosed(BAD_MESSAGE) for anything else."""
    return _parse(text, kind=Auth, max_bytes=AUTH_MAX_BYTES)


def parse_tick_command(text: str) -> TickCommand:
    """A subscription of ticks. Raises StreamClosed(BAD_MESSAGE) for anything else."""
    return _parse(text, kind=TickCommand, max_bytes=MESSAGE_MAX_BYTES)


_Message = TypeVar("_Message")


def _parse(text: str, *, kind: type[_Message], max_bytes: int) -> _Message:
    raw = text.encode("utf-8", "surrogatepass")
    if len(raw) > max_bytes:
        raise StreamClosed(CloseReason.BAD_MESSAGE)
    try:
        return msgspec.json.decode(raw, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise StreamClosed(CloseReason.BAD_MESSAGE) from error


def event_frame(event: StoredEvent) -> str:
    """The event as JSON; its numbers are written as they were stored."""
    return msgspec.json.encode(event_update(event)).decode()


def text_message(text: str) -> bytes:
    """A whole text message of the WebSocket protocol (RFC 6455 section 5.2), as a server sends it: not masked."""
    payload = text.encode()
    size = len(payload)
    if size < 126:
        return bytes((0x81, size)) + payload
    if size < 1 << 16:
        return b"\x81\x7e" + size.to_bytes(2, "big") + payload
    return b"\x81\x7f" + size.to_bytes(8, "big") + payload


def event_update(event: StoredEvent) -> OrderUpdate:
    """The event as clients see it."""
    return OrderUpdate(
        account_id=event.account_id,
        seq=event.seq,
        event=event.type,
        timestamp=ist_iso(event.occurred_at),
        data=msgspec.Raw(event.data.encode()),
    )


def authenticated_frame(head: LogHead, *, resumed: bool) -> str:
    """The greeting of the order stream; ``resumed`` False: a snapshot follows."""
    fields = {"account_id": head.account_id, "epoch": head.epoch, "seq": head.seq, "resumed": resumed}
    return json_frame("authenticated", **fields)


def snapshot_frame(orders: Sequence[Mapping[str, Any]], *, seq: int) -> str:
    """The orders of the day as they were at ``seq``."""
    return json_frame("snapshot", seq=seq, orders=orders)


def heartbeat_frame(seq: int) -> str:
    """Everything up to ``seq`` was sent."""
    return f'{{"type":"heartbeat","seq":{seq}}}'


def json_frame(kind: str, **fields: Any) -> str:
    """``{"type": kind, ...}``; decimals become JSON numbers, as Kite writes them."""
    return msgspec.json.Encoder(decimal_format="number").encode({"type": kind} | fields).decode()


class MessageRate:
    """At most ``limit`` messages in any second; ``now`` is monotonic seconds."""

    def __init__(self, *, limit: int) -> None:
        self._times: deque[float] = deque(maxlen=limit)

    def exceeded(self, now: float) -> bool:
        """Count one message; True when it is one too many."""
        full = len(self._times) == self._times.maxlen
        too_many = full and now - self._times[0] < 1.0
        self._times.append(now)
        return too_many
