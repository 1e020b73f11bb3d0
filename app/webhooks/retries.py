"""What follows from a receiver's answer: is it delivered, when is it tried again, and what becomes of the endpoint?"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from app.webhooks.model import Answer

RETRY_DELAYS_S = (5.0, 30.0, 120.0, 600.0, 1800.0, 7200.0, 18000.0, 36000.0, 36000.0)
"""After the first failure, the second and so on; after the last one the delivery is given up, a day and more later."""

TRIES_REFUSED = 5
"""Tries of a delivery that the receiver refuses for what it is: repeating that for a day changes nothing."""

OVERLOADED_S = 60.0
"""The shortest delay after a timeout or a 429."""

JITTER = 0.2
COOL_AFTER = 5
COOL_DOWNS_S = (30.0, 120.0, 600.0, 1800.0)
"""How long an endpoint rests after its 5th failure in a row, the 6th and so on; then one delivery is tried."""

DISABLE_AFTER_S = 5 * 86400.0
DISABLE_AFTER_FAILURES = 20
PAUSE_ORDERED_AFTER_S = 15 * 60.0

_REFUSED = frozenset({400, 401, 403, 404, 413})
_GONE = 410
_TOO_MANY = 429


class Outcome(StrEnum):
    """Of one attempt."""

    DELIVERED = "delivered"
    FAILED = "failed"  # it is tried again
    GIVEN_UP = "given_up"


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """``delay_s`` until the next try, after a failure; ``disable``: the receiver says that it is gone for good."""

    outcome: Outcome
    delay_s: float = 0.0
    disable: bool = False


def decide(answer: Answer, *, failures_before: int, random: float) -> Decision:
    """What becomes of a delivery that has failed ``failures_before`` times; ``random`` is in [0, 1)."""
    if answer.succeeded:
        return Decision(outcome=Outcome.DELIVERED)
    if answer.http_status == _GONE:
        return Decision(outcome=Outcome.GIVEN_UP, disable=True)
    tries = TRIES_REFUSED if answer.http_status in _REFUSED else len(RETRY_DELAYS_S) + 1
    if failures_before + 1 >= tries:
        return Decision(outcome=Outcome.GIVEN_UP)
    return Decision(outcome=Outcome.FAILED, delay_s=_delay_s(answer, failures_before, random=random))


def _delay_s(answer: Answer, failures_before: int, *, random: float) -> float:
    """The schedule's delay with jitter; a ``Retry-After`` may make it longer, by at most the same again."""
    base = RETRY_DELAYS_S[failures_before]
    if answer.timed_out or answer.http_status == _TOO_MANY:
        base = max(base, OVERLOADED_S)
    wanted = min(max(base, answer.retry_after_s or 0.0), 2 * base)
    return wanted * (1 - JITTER + 2 * JITTER * random)


def cool_down_s(failures: int) -> float:
    """How long an endpoint rests after this many failures in a row; 0.0 while they are few."""
    if failures < COOL_AFTER:
        return 0.0
    return COOL_DOWNS_S[min(failures - COOL_AFTER, len(COOL_DOWNS_S) - 1)]


def is_dead(*, failures: int, failing_s: float) -> bool:
    """Whether an endpoint is disabled that had only failures, this many, for so many seconds."""
    return failures >= DISABLE_AFTER_FAILURES and failing_s >= DISABLE_AFTER_S


def blocks_order(*, ordered: bool, failing_s: float) -> bool:
    """Whether an ordered endpoint is paused: its next delivery must come first, and has failed for too long."""
    return ordered and failing_s >= PAUSE_ORDERED_AFTER_S
