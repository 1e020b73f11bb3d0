"""What is known after an order request was, or was not, sent. These are values, not exceptions.

    Accepted         200 with an order id: the broker has it
    Refused          the broker refused it with a text that proves that no order exists
    NotSent          no byte of the request can have left; the only outcome that may be sent again at once
    SessionRejected  403 TokenException: refused before the order system; goes again after a new login
    Throttled        429: refused at the gateway; goes again after a clean read of the order book
    InDoubt          anything else; only the order book decides; nothing is sent again before it has proven absence

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
    """``children`` are the slices of an autosliced order."""

    order_id: str
    children: tuple[ChildOrder, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """``address_refused``: the broker takes no order from this machine's address, so the next one would fail too.

    ``being_processed``: the order to change is busy or has ended already; the text is the same, its row shows which.
    """

    error_type: str
    message: str
    http_status: int
    address_refused: bool = False
    being_processed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class NotSent:
    """``reason`` is the kind of failure, for logs."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRejected:
    """``message`` is the broker's text."""

    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Throttled:
    """``message`` is the broker's text."""

    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class InDoubt:
    """``reason`` for people; ``error_type`` and ``http_status`` where the broker answered at all."""

    reason: str
    error_type: str | None = None
    http_status: int | None = None


SendOutcome: TypeAlias = Accepted | Refused | NotSent | SessionRejected | Throttled | InDoubt
