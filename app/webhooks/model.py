"""Webhooks as values: endpoints, deliveries, and the receiver's answers. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

PER_ACCOUNT = 10
"""Endpoints of an account."""


class EndpointStatus(StrEnum):
    """Of a registration. A paused one keeps what is due until it is resumed, a disabled one gets nothing new."""

    ACTIVE = "active"
    PAUSED = "paused"
    DISABLED = "disabled"


class DeliveryStatus(StrEnum):
    """As clients see it: ``failed`` was tried and will be tried again."""

    PENDING = "pending"
    FAILED = "failed"
    DELIVERED = "delivered"
    GIVEN_UP = "given_up"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What the client decides about an endpoint."""

    url: str
    events: Sequence[str]  # empty: all
    tags: Sequence[str]  # of orders; empty: all
    ordered: bool
    max_age_s: float | None
    description: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """A registered endpoint. ``failures``: attempts that failed since the last one that did not."""

    webhook_id: UUID
    account_id: str
    wanted: Wanted
    status: EndpointStatus
    failures: int
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedSecret:
    """Encrypted, for the row and the column where it stands."""

    sealed: bytes
    key_version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A delivery that this process may try now, with what the request needs. A later claim makes this one void."""

    delivery_id: UUID  # the same at every try
    webhook_id: UUID  # the endpoint
    account_id: str
    seq: int  # of the event
    type: str  # of the event
    data: str | None  # JSON text; None: the event is no longer in the log
    occurred_at: datetime  # of the event
    fence: int  # rises with each claim
    failures: int  # tries of this delivery that failed
    replayed: bool  # the client asked for it again
    url: str  # where to
    secrets: tuple[SealedSecret, ...]  # the newest first

    @property
    def message_id(self) -> str:
        """The ``webhook-id``, the same at every try: receivers recognise repeats by it."""
        return f"msg_{self.delivery_id.hex}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came of one request. ``error`` is None for a 2xx, else a word for its kind."""

    http_status: int | None
    ms: int
    address: str | None  # that was connected to
    error: str | None
    body: str = ""  # the first KiB
    retry_after_s: float | None = None

    @property
    def succeeded(self) -> bool:
        return self.error is None

    @property
    def timed_out(self) -> bool:
        return self.error == "timeout"


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """An entry of an endpoint's log, as clients see it."""

    delivery_id: UUID
    seq: int
    type: str
    status: DeliveryStatus
    attempts: Sequence[Mapping[str, Any]]  # the newest last
