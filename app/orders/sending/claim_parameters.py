"""The conditions of a claim, as parameters of the claim statement. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from app.broker.orders import Operation
from app.orders.sending.price_bounds import PriceBounds
from app.orders.state.engine_settings import EngineSettings
from app.orders.state.lease_term import LeaseTerm


@dataclass(frozen=True, slots=True, kw_only=True)
class NextTask:
    """The task that would be claimed next, if its price bounds allow it."""

    task_id: UUID
    operation: Operation
    instrument: str  # ``NSE:INFY``
    fence: int  # a verdict about it is void once it was claimed
    bounds: PriceBounds  # those of its client


@dataclass(frozen=True, slots=True, kw_only=True)
class Priced:
    """The last price of one instrument."""

    instrument: str  # ``NSE:INFY``
    last_price: Decimal  # rupees


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimTerms:
    """What the claim statement checks besides the tasks themselves."""

    guard: Mapping[str, Any]  # the parameters of ``HELD_BY_TERM``: lease, owner and term
    owner: str  # the process that claims
    block_s: float  # a doubt keeps new orders of its instrument and batch waiting for this long after its send
    known_since: datetime | None  # tasks created before wait: they may have been sent, see ``LeaseTerm``; None: none do
    book_read_at: datetime | None  # when the last read of the book began; None if it failed, or there was none yet
    operations: Sequence[
        Operation
    ]  # what may be claimed now: operations with a free place in flight and no open breaker
    places_pass: bool  # whether a placement could be claimed now, whatever ``operations`` this claim is for
    halt_doubts: int  # this many doubts stop new orders
    halt_doubt_age_s: float  # one doubt of this age stops them too
    priced: Priced | None = None  # the last price by which a task with price bounds may be claimed
    waiting_for_price: Sequence[UUID] = ()  # tasks that are passed over until their price is known

    def params(self, account_id: str) -> dict[str, Any]:
        """The parameters of the claim statement for this account."""
        return {
            "account_id": account_id,
            "operations": [str(operation) for operation in self.operations],
            "places_pass": self.places_pass,
            "block_s": self.block_s,
            "halt_doubts": self.halt_doubts,
            "halt_doubt_age_s": self.halt_doubt_age_s,
            "priced_instrument": None if self.priced is None else self.priced.instrument,
            "last_price": None if self.priced is None else self.priced.last_price,
            "waiting_for_price": list(self.waiting_for_price),
            "known_since": self.known_since or datetime.min.replace(tzinfo=UTC),
            "book_read_at": self.book_read_at or datetime.min.replace(tzinfo=UTC),
            **self.guard,
        }


def claim_terms(
    term: LeaseTerm, operations: Sequence[Operation], *, places_pass: bool, settings: EngineSettings
) -> ClaimTerms:
    """The terms of one claim by which no task with price bounds is claimed; arguments as in ``ClaimTerms``."""
    return ClaimTerms(
        guard=term.lease.guard,
        owner=term.lease.owner,
        block_s=settings.block_on_doubt_s,
        known_since=term.known_since,
        book_read_at=term.book_read_at,
        operations=operations,
        places_pass=places_pass,
        halt_doubts=settings.halt_doubts,
        halt_doubt_age_s=settings.halt_doubt_age_s,
    )
