"""The state of an order by the broker's row, and whether a row may replace what is known. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from app.broker.orders import BrokerOrder
from app.kit.json import encode_json
from app.orders.state.model import KnownOrder, OrderState


def state_of(order: BrokerOrder) -> OrderState:
    """The state for Kite's status, of which new ones may appear: an unknown status is pending, never an end."""
    match order.status:
        case "COMPLETE":
            return OrderState.COMPLETED
        case "CANCELLED" | "CANCELLED AMO":
            return OrderState.CANCELLED
        case "REJECTED":
            return OrderState.REJECTED
        case status if order.filled_quantity > 0:
            return OrderState.PARTIALLY_FILLED
        case status if status in _TRIGGER_STATUSES:
            return OrderState.TRIGGER_PENDING
        case status if status in _RESTING_STATUSES:
            return OrderState.OPEN
        case _:
            return OrderState.PENDING


def content_hash(document: Mapping[str, object]) -> bytes:
    """SHA-256 of a document: equal for two reads that show the same; each change of it makes an event."""
    return hashlib.sha256(encode_json(dict(document))).digest()


def moves_forward(known: KnownOrder, seen: BrokerOrder) -> bool:
    """Whether a row may replace what is known: an end is final, fills never fall, and a book may be out of date.

    A row is never refused for its state alone, except where it would take a partly filled order, or one that is past
    ``pending``, back to an earlier state.
    """
    if known.state.is_terminal or seen.filled_quantity < known.filled_quantity:
        return False
    if not seen.is_terminal and seen.filled_quantity == known.filled_quantity and _is_older(seen, known):
        return False
    if known.state is OrderState.PARTIALLY_FILLED:
        return _STATE_RANK[state_of(seen)] >= _STATE_RANK[known.state]
    return known.state is OrderState.PENDING or state_of(seen) is not OrderState.PENDING


def _is_older(seen: BrokerOrder, known: KnownOrder) -> bool:
    """By the exchange's own time, where both have one: a stale book shows the order before its last change."""
    if known.exchange_update_timestamp is None or seen.exchange_update_timestamp is None:
        return False
    return seen.exchange_update_timestamp < known.exchange_update_timestamp


_TRIGGER_STATUSES = frozenset({"TRIGGER PENDING"})


_RESTING_STATUSES = frozenset(
    {"OPEN", "MODIFY VALIDATION PENDING", "MODIFY PENDING", "MODIFIED", "CANCEL PENDING", "AMO REQ RECEIVED",
     "MODIFY AMO REQ RECEIVED"}
)  # fmt: skip


_STATE_RANK = {
    OrderState.PENDING: 0,
    OrderState.TRIGGER_PENDING: 1,
    OrderState.OPEN: 2,
    OrderState.PARTIALLY_FILLED: 3,
    OrderState.COMPLETED: 4,
    OrderState.CANCELLED: 4,
    OrderState.REJECTED: 4,
}
