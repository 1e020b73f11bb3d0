"""The event log, as values. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

EPOCH_LENGTH = 12
"""Characters of the name that a new log gets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredEvent:
    """One event as it was written. ``data`` is JSON text, so that numbers leave exactly as they came in."""

    account_id: str
    seq: int
    type: str
    data: str
    occurred_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class LogHead:
    """Where an account's log stands. A new ``epoch`` means another log: no earlier ``seq`` says anything about it."""

    account_id: str
    epoch: str
    seq: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NewEvent:
    """An event to append. ``type`` is from the closed list that clients know; ``data`` is JSON-ready."""

    type: str
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dropped:
    """The newest event that was dropped of an account's log: every earlier one was dropped too."""

    account_id: str
    seq: int
    hash: bytes | None  # None: from before there were hashes
    occurred_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedDrop:
    """What was dropped, with the signature of the service."""

    dropped: Dropped
    signature: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportedEvent:
    """An event with all that its hash covers; ``hash`` is hexadecimal."""

    account_id: str
    seq: int
    type: str
    data: str
    occurred_at: datetime
    occurred_epoch_s: str
    hash: str | None
