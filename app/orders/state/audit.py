"""Entries of the audit trail, as values: which operator or client did what to the order engine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """One entry. It is never changed once it is written."""

    entry_id: UUID  # ordered by time
    occurred_at: datetime
    principal: str  # who acted, as in ``Actor``
    action: str  # ``kill``, ``resume``, ``resolve_placed``, ...
    subject: str  # what was changed: a task id, an account id, or ``*`` for all accounts
    request_id: str | None  # the HTTP request; None for a command
    before: Mapping[str, Any] | None  # the subject before the action, JSON-ready; None when it did not exist
    after: Mapping[str, Any] | None  # the subject after it, JSON-ready; None when it is gone


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Who acts, and in which request."""

    principal: str  # the id of an API key, ``cli:<user>`` for a command, ``service`` for the service itself
    request_id: str | None = None  # the HTTP request; None for a command
