"""Would an order placed now reach the broker, and if not, why? Decided from facts of the account's owner. Pure.

That no process sends for the account is no fact of an owner: nothing is written then, which every replica sees.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from app.kit.hysteresis import is_shown
from app.orders.risk.halts import Halt, halt_sentence
from app.orders.state.trading_reasons import Reason

STALLED_AFTER_S = 1.5
"""A statement of the owner that is not answered for this long says that the database has stalled."""

UNANSWERED_AFTER_S = 1.5
"""A market order waits for three seconds only, and is not sent before one of the placements under way has ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TradingFacts:
    """What the owner of an account knows at one moment. The defaults are those of an account that can trade."""

    database_answers: bool = True  # statements of the owner's loops are answered, and soon
    recovering: str | None = None  # what is not known yet after a loss of the database; None: nothing was lost
    has_session: bool = True  # there is a token, and the broker has not refused it since it last accepted one
    address_refused: str | None = None  # the broker's words, when it takes no orders from this address
    halt: Halt | None = None  # what an operator, or the service, has stopped
    too_much_in_doubt: bool = False  # so many outcomes are unknown, or one for so long, that nothing may be added
    book_unreadable: str | None = None  # why the order book cannot be read; None: it can
    placements_fail: bool = False  # the circuit breaker of placements is not closed
    placements_unanswered: bool = False  # as many as may be under way have had no answer for ``UNANSWERED_AFTER_S``
    day_is_used_up: bool = False  # the broker takes no more placements of the account today


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """A reason that was seen: the sentence of the newest time, and that time (monotonic seconds)."""

    text: str
    seen_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TradingDecision:
    """The reasons that are shown, each with its newest sighting; none of them: the account can trade."""

    sightings: Mapping[Reason, Sighting] = field(default_factory=dict)

    @property
    def reasons(self) -> Sequence[Reason]:
        """In their fixed order."""
        return [reason for reason in Reason if reason in self.sightings]

    @property
    def detail(self) -> Mapping[str, str]:
        """A sentence for each reason."""
        return {reason.value: self.sightings[reason].text for reason in self.reasons}


def decide_trading_status(facts: TradingFacts, *, before: TradingDecision, now: float) -> TradingDecision:
    """The status at ``now`` (monotonic seconds); ``before`` is the one before it, in the same lease term.

    A reason is shown at once, and for some seconds after it was last seen.
    """
    kept = {reason: one for reason, one in before.sightings.items() if is_shown(one.seen_at, now=now)}
    seen = {reason: Sighting(text=text, seen_at=now) for reason, text in _sentences(facts).items() if text is not None}
    return TradingDecision(sightings=kept | seen)


def _sentences(facts: TradingFacts) -> Mapping[Reason, str | None]:
    """For each reason what an operator reads; None where the facts do not give it."""
    mode = None if facts.halt is None else facts.halt.mode
    halt = None if facts.halt is None else halt_sentence(facts.halt)
    return {
        Reason.DATABASE_STALLED: _if(not facts.database_answers, "the owner's statements are not answered in time"),
        Reason.RECOVERING: facts.recovering,
        Reason.NO_SESSION: _if(not facts.has_session, "the broker has no live session for the account: log in"),
        Reason.ADDRESS_REFUSED: facts.address_refused,
        Reason.HALTED: _if(mode == "halt", halt),
        Reason.REDUCE_ONLY: _if(mode == "reduce_only", halt),
        Reason.TOO_MUCH_IN_DOUBT: _if(
            facts.too_much_in_doubt, "too many outcomes are unknown, or one for too long: only reductions pass"
        ),
        Reason.BOOK_UNREADABLE: facts.book_unreadable,
        Reason.BREAKER_OPEN: _if(
            facts.placements_fail, "too many placements failed or had no answer: the order book is read first"
        )
        or _if(facts.placements_unanswered, "the broker does not answer: as many placements as may be are under way"),
        Reason.DAY_LIMIT_REACHED: _if(facts.day_is_used_up, "the account's placements of this day are used up"),
    }


def _if(holds: bool, sentence: str | None) -> str | None:
    return sentence if holds else None
