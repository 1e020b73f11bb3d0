"""Who did what to the order engine, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """Who did what to what; ``before`` and ``after`` are JSON-ready. Never changed once written."""

    entry_id: UUID
    occurred_at: datetime
    principal: str
    action: str
    subject: str
    request_id: str | None
    before: Mapping[str, Any] | None
    after: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Who acts, and under which request; ``principal`` is a key's id or ``cli:<user>``."""

    principal: str
    request_id: str | None = None
