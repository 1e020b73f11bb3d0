"""How the exchange may misbehave with one order. The fault registry decides it, the engine carries it out."""

from dataclasses import dataclass
from typing import Final, Literal

from simulator.exchange.orders.status import OPEN_PENDING, RECEIVED, VALIDATION_PENDING

STUCK_STATUSES: Final = (RECEIVED, VALIDATION_PENDING, OPEN_PENDING)


@dataclass(frozen=True, slots=True)
class OrderFaults:
    """The faults of one order. The default has none."""

    hidden_ms: int = 0
    """How long the order book does not show the order, in milliseconds; -1: never."""
    tag: Literal["shown", "lost"] = "shown"
    """Whether the order book shows the order's tag."""
    stuck_status: str | None = None
    """The status of `STUCK_STATUSES` in which the order stays for `stuck_ms`; None: it is not delayed."""
    stuck_ms: int = -1
    """How long it stays there, in milliseconds; -1: for ever."""
    refusal: str | None = None
    """Why the exchange refuses what the broker accepted: a new order is REJECTED, a modification is not applied."""
    fill_at_most: int | None = None
    """Only this quantity is filled at once; the order is excluded from matching afterwards."""
    cancel_race: Literal["cancel_wins", "fill_wins"] = "cancel_wins"
    """With `fill_wins` a cancel comes too late: the order is filled instead."""


NO_FAULTS: Final = OrderFaults()
