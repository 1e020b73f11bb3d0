"""One term of owning an account: the lease, when it began, and whether the broker's book was read in it yet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from app.db.leases import Lease
from app.orders.sending.claim_store import ClaimTerms, SentToday
from app.orders.state.engine_settings import OrderRules
from app.orders.state.model import Operation, Task


@dataclass(slots=True, kw_only=True)
class Tenure:
    """``began_at`` is by the database's clock, which also stamps the tasks."""

    lease: Lease
    began_at: datetime
    book_was_read: bool = False

    @property
    def known_since(self) -> datetime | None:
        """Rows that were made before may have been sent without a trace; None: the book has told of all."""
        return None if self.book_was_read else self.began_at

    def knows(self, task: Task) -> bool:
        """Whether the row's word that nothing was sent can be believed."""
        return self.book_was_read or task.created_at > self.began_at

    def claim_terms(self, operations: Sequence[Operation], *, places_pass: bool, rules: OrderRules) -> ClaimTerms:
        return ClaimTerms(
            guard=self.lease.guard,
            owner=self.lease.owner,
            block_s=rules.block_on_doubt_s,
            known_since=self.known_since,
            operations=operations,
            places_pass=places_pass,
            halt_doubts=rules.halt_doubts,
            halt_doubt_age_s=rules.halt_doubt_age_s,
        )


RATE_WINDOW_S = 1.1
"""The broker counts orders over a second; a little more for the way to it."""

DISTANCE_S = 0.12
"""Between two orders of one owner; across a change of owners the same distance keeps every second within the limit."""


def pause_before_sending(sent: SentToday, *, now: datetime) -> float:
    """Seconds that a new owner waits because of what the one before may have sent up to the last moment.

    What was answered left before its answer was written. What was not may have left at any time in its last second.
    """
    pauses = [0.0]
    if sent.unanswered_at is not None:
        pauses.append(RATE_WINDOW_S - (now - sent.unanswered_at).total_seconds())
    if sent.answered_at is not None:
        pauses.append(DISTANCE_S - (now - sent.answered_at).total_seconds())
    return max(pauses)
