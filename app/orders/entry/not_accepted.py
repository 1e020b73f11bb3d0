"""How the acceptance of a request ends when the database is away: nothing was stored, or that is not known."""

from __future__ import annotations

from app.broker.outcomes import Sent
from app.errors import Conflict, Unavailable


class NotAccepted(Unavailable):
    """The database is away, and nothing of the request was stored. An earlier one under its key may be."""

    def __init__(self, message: str) -> None:
        super().__init__(message, code="DATABASE_UNAVAILABLE")
        self.sent = str(Sent.NO)
        self.retryable = "yes"


class AcceptanceUnknown(Conflict):
    """The connection broke during the commit and the database is away: the order may be stored, and then is sent.

    It is no server error, because client libraries repeat those by themselves.
    """

    def __init__(self, what: str = "the database was lost during the commit") -> None:
        message = f"{what}; look at the order book and the tasks before trying again"
        super().__init__(message, code="ACCEPTANCE_UNKNOWN")
        self.sent = str(Sent.UNKNOWN)
        self.retryable = "after_check"
