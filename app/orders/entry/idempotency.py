"""An idempotency key and the resource that was made under it. Values only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal
from uuid import UUID

Kind = Literal["task", "batch", "mass_cancel"]


@dataclass(frozen=True, slots=True, kw_only=True)
class IdempotencyKey:
    """A row of ``idempotency_key``."""

    principal: str  # the client; two clients may use the same key
    idem_key: str  # as the client sent it
    fingerprint: bytes  # tells a repeated request from another one under the same key
    kind: Kind
    resource_id: UUID  # the task, batch or mass cancel that was accepted
