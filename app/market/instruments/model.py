"""What is said about the registry of instruments, as values. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeAlias

from app.broker.rows import BadRow

Freshness: TypeAlias = Literal["ok", "stale", "empty"]
"""``stale``: an older dump than the broker's newest is in use, or the last refresh failed.
``empty``: no instruments are loaded at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LastRefresh:
    """The last successful refresh, by any replica; ``instruments`` is how many the dump had."""

    refreshed_at: datetime
    instruments: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistryStatus:
    """For health. ``last_error`` is of the last attempt to refresh, None when it succeeded."""

    status: Freshness
    cached_instruments: int
    last_refresh: datetime | None
    last_error: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RefreshResult:
    """What a refresh changed, in numbers of instruments, and which rows of the dump it could not read."""

    instruments: int
    added: int
    expired: int
    refreshed_at: datetime
    left_out: Sequence[BadRow] = ()
