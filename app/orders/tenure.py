"""One term of owning an account: the lease, when it began, and whether the broker's book was read in it yet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from app.db.leases import Lease
from app.orders.model import Operation
from app.orders.rules import OrderRules
from app.orders.store.claims import ClaimTerms


@dataclass(slots=True, kw_only=True)
class Tenure:
    """``began_at`` is by the database's clock, which also stamps the tasks."""

    lease: Lease
    began_at: datetime
    book_was_read: bool = False

    def claim_terms(self, operations: Sequence[Operation], *, rules: OrderRules) -> ClaimTerms:
        return ClaimTerms(
            lease=self.lease,
            block_s=rules.block_on_doubt_s,
            known_since=None if self.book_was_read else self.began_at,
            operations=operations,
            halt_doubts=rules.halt_doubts,
            halt_doubt_age_s=rules.halt_doubt_age_s,
        )
