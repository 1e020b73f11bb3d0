"""What an idempotency key stands for. Values only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal
from uuid import UUID

Kind = Literal["task", "batch"]


@dataclass(frozen=True, slots=True, kw_only=True)
class IdempotencyKey:
    """Who used which key for what; the fingerprint tells a repetition from another request under the same key."""

    principal: str
    idem_key: str
    fingerprint: bytes
    kind: Kind
    resource_id: UUID
