"""Would an order of an account reach the broker now? The possible reasons why not, and the answer as a value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from app.orders.state.egress import Candidate

UNCONFIRMED_S = 5.0
"""An answer that its owner has not confirmed for this long is void: no process is known to send for the account."""


class Reason(StrEnum):
    """Why an order would not reach the broker now, in the order in which they are shown."""

    DATABASE_STALLED = "database_stalled"  # the database does not answer
    RECOVERING = "recovering"  # the database was lost; what it forgot is being read from the broker's book
    NO_SENDER = "no_sender"  # no process sends this account's orders
    NO_SESSION = "no_session"  # no token, or the broker has refused it
    ADDRESS_REFUSED = "address_refused"  # the broker takes no orders from the sender's address
    HALTED = "halted"  # an operator, or the service itself, has stopped everything but cancels
    REDUCE_ONLY = "reduce_only"  # only orders pass that are proven to reduce a position
    TOO_MUCH_IN_DOUBT = "too_much_in_doubt"  # too many outcomes are unknown to add to a position
    BOOK_UNREADABLE = "book_unreadable"  # the broker's order book cannot be read, so no doubt could be resolved
    BREAKER_OPEN = "breaker_open"  # too many placements failed, or have no answer
    DAY_LIMIT_REACHED = "day_limit_reached"  # the broker takes no more placements of the account today


@dataclass(frozen=True, slots=True, kw_only=True)
class TradingStatus:
    """The answer for one account. ``detail`` has a sentence for each reason, for an operator."""

    account_id: str
    reasons: Sequence[Reason] = ()
    detail: Mapping[str, str]
    candidates: Sequence[Candidate] = ()  # the replicas that run, with which of them may send
    since: datetime | None  # since when the account can, or cannot, trade; None: no owner has ever said

    @property
    def can_trade(self) -> bool:
        """Whether an order placed now would reach the broker."""
        return not self.reasons


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfirmedStatus:
    """An answer as its owner has written it; ``age_s`` is the time since then, by the database's clock."""

    status: TradingStatus
    written_at: datetime
    age_s: float
