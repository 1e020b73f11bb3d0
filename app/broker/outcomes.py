"""What is known after an order request was, or was not, sent. These are values, not exceptions.

    Accepted         200 with an order id: the broker has it
    Refused          the broker said no in words that prove that no order exists
    NotSent          no byte of the request can have left; the only outcome that may be sent again at once
    SessionRejected  403 TokenException: turned away before the order system; goes again after a new login
    Throttled        429: turned away at the gateway; goes again after a clean look into the order book
    InDoubt          anything else; only the order book decides, nothing is ever re-sent meanwhile

An order that may exist is never called failed: a client-side timeout, a 5xx, a reset connection and even some HTTP 400
answers have been followed by the order appearing in the book.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias


class Sent(StrEnum):
    """Whether the broker can have received it."""

    NO = "no"
    UNKNOWN = "unknown"
    YES = "yes"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildOrder:
    """One slice of an autosliced order: an ``order_id``, or the error with which the broker refused this slice."""

    order_id: str | None = None
    error_type: str | None = None
    message: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    order_id: str
    children: tuple[ChildOrder, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """``address_refused``: the broker takes no order from where we are, so the next one would fail as well."""

    error_type: str
    message: str
    http_status: int
    address_refused: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class NotSent:
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRejected:
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Throttled:
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class InDoubt:
    reason: str
    error_type: str | None = None
    http_status: int | None = None


SendOutcome: TypeAlias = Accepted | Refused | NotSent | SessionRejected | Throttled | InDoubt
