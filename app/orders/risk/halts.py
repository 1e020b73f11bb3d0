"""A halt stops new orders, for one account or for all. An operator sets and lifts it. Values only.

``halt`` stops everything but cancels; ``reduce_only`` also lets orders pass that are proven to reduce a position.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from app.kit.clock import ist_iso

SERVICE = "service"
"""Who has set a halt because the broker refuses the addresses of all replicas."""


def halt_document(halt: Halt) -> dict[str, Any]:
    """A halt as clients see it."""
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
    """The document of a halt; None for None."""
    return None if halt is None else halt_document(halt)


def halt_sentence(halt: Halt) -> str:
    """What an operator reads of a halt."""
    return f"{halt.mode} by {halt.set_by}: {halt.reason}"


ALL_ACCOUNTS = "*"


HaltMode = Literal["halt", "reduce_only"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Halt:
    """A halt that is in force."""

    scope: str  # an account id, or ``ALL_ACCOUNTS``
    mode: HaltMode
    reason: str  # as its operator gave it
    set_by: str  # an ``Actor.principal``
    set_at: datetime

    @property
    def is_for_want_of_an_address(self) -> bool:
        """Whether the service has set it because no replica has an address from which the broker takes orders."""
        return self.mode == "halt" and self.set_by == SERVICE and self.scope != ALL_ACCOUNTS
