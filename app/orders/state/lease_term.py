"""One term of owning an account: the lease, when it began, and whether the broker's book was read in it yet."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from app.db.leases import Lease
from app.orders.state.model import Task


@dataclass(slots=True, kw_only=True)
class LeaseTerm:
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
