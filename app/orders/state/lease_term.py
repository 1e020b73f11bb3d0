"""One term of owning an account: its lease, its beginning, and whether the order book was read since then."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime

from app.db.leases import Lease
from app.orders.state.model import Task

END_OF_TIME = datetime.max.replace(tzinfo=UTC)


@dataclass(slots=True, kw_only=True)
class LeaseTerm:
    """Shared by the loops of one term. The reconciler sets what it knows of the book; sender and reconciler act by it.

    A database that was restored or failed over may have forgotten that a task was sent. Until the order book was read
    in this term, tasks from before the term are therefore not sent and do not expire.
    """

    lease: Lease
    began_at: datetime  # by the database's clock, which also stamps the tasks
    book_was_read: bool = False  # a read showed every order that is known
    book_read_at: datetime | None = None  # when the last read began, by the database's clock; None: it failed
    is_continued: bool = True  # proven: the database has forgotten nothing that it had stored before the term
    given_up: asyncio.Event = field(default_factory=asyncio.Event)  # another replica is to own the account
    is_recovering: bool = False  # orders may be forgotten, and nothing is placed until the book has shown them

    @property
    def known_since(self) -> datetime | None:
        """Tasks created before may have been sent without a trace; None once the book was read, which shows them.

        In a database that may have forgotten orders any request may be the repetition of one.
        """
        if self.book_was_read:
            return None
        return self.began_at if self.is_continued else END_OF_TIME

    def give_up(self) -> None:
        """The term is over in the database: another replica may own the account already."""
        self.lease.ended()
        self.given_up.set()

    def knows(self, task: Task) -> bool:
        """Whether a task that says it was not sent can be believed."""
        return self.known_since is None or task.created_at > self.known_since
