"""How the exchange may misbehave with one order, decided by the fault registry and carried out by the engine."""

from dataclasses import dataclass
from typing import Final, Literal

from simulator.exchange.orders.order import OPEN_PENDING, RECEIVED, VALIDATION_PENDING

STUCK_STATES: Final = (RECEIVED, VALIDATION_PENDING, OPEN_PENDING)


@dataclass(frozen=True, slots=True)
class Quirks:
    """`hidden_ms` and `stuck_ms`: how long; -1 for ever. The default does nothing unusual."""

    hidden_ms: int = 0
    tag: Literal["shown", "lost"] = "shown"
    stuck_status: str | None = None
    stuck_ms: int = -1
    refusal: str | None = None
    """Taken and then turned down: a new order stands REJECTED, a modification leaves the order as it was."""
    fill_at_most: int | None = None
    """The crowd trades this much with the order at once and then no more."""
    cancel_race: Literal["cancel_wins", "fill_wins"] = "cancel_wins"


NORMAL: Final = Quirks()
