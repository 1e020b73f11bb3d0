"""A halt: an operator's order that stops new orders, for all accounts or for one. Cancels always pass. Values only.

``halt`` stops everything but cancels; ``reduce_only`` also lets proven reductions of a position pass.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from app.kit.clock import ist_iso


def halt_document(halt: Halt) -> dict[str, Any]:
    """A switch as clients see it."""
    everywhere = halt.scope == ALL_ACCOUNTS
    return {
        "scope": "global" if everywhere else "account",
        "account_id": None if everywhere else halt.scope,
        "mode": halt.mode,
        "reason": halt.reason,
        "set_by": halt.set_by,
        "set_at": ist_iso(halt.set_at),
    }


def shown_halt(halt: Halt | None) -> dict[str, Any] | None:
    return None if halt is None else halt_document(halt)


ALL_ACCOUNTS = "*"


HaltMode = Literal["halt", "reduce_only"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Halt:
    """A switch that is in force. ``scope`` is an account id or ``*``."""

    scope: str
    mode: HaltMode
    reason: str
    set_by: str
    set_at: datetime
