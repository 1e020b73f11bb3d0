"""The conditions under which a sender may claim a task, as the parameters of the claim statement. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from app.broker.orders import Operation
from app.orders.state.engine_settings import EngineSettings
from app.orders.state.lease_term import LeaseTerm


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimTerms:
    """Under what a sender may claim: its lease, its patience with doubts, and what it knows of older rows.

    ``guard``: the parameters of ``HELD_BY_TERM``; ``owner``: who claims. ``places_pass``: no breaker stops new orders,
    and there is room for one, whatever ``operations`` this claim is for.
    ``known_since``: rows created before it must wait until the book was read once in this term, because a database
    that was restored or failed over may have forgotten that they were sent. ``None``: the book was read.
    """

    guard: Mapping[str, Any]
    owner: str
    block_s: float
    known_since: datetime | None
    operations: Sequence[Operation]
    places_pass: bool
    halt_doubts: int
    halt_doubt_age_s: float

    def params(self, account_id: str) -> dict[str, Any]:
        return {
            "account_id": account_id,
            "operations": [str(operation) for operation in self.operations],
            "places_pass": self.places_pass,
            "block_s": self.block_s,
            "halt_doubts": self.halt_doubts,
            "halt_doubt_age_s": self.halt_doubt_age_s,
            "known_since": self.known_since or datetime.min.replace(tzinfo=UTC),
            **self.guard,
        }


def claim_terms(
    term: LeaseTerm, operations: Sequence[Operation], *, places_pass: bool, settings: EngineSettings
) -> ClaimTerms:
    """The terms of one claim for tasks of these operations; ``places_pass`` as in ``ClaimTerms``."""
    return ClaimTerms(
        guard=term.lease.guard,
        owner=term.lease.owner,
        block_s=settings.block_on_doubt_s,
        known_since=term.known_since,
        operations=operations,
        places_pass=places_pass,
        halt_doubts=settings.halt_doubts,
        halt_doubt_age_s=settings.halt_doubt_age_s,
    )
