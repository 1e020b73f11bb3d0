"""Which modifications of an order that only reduces a position pass reduce-only mode. Pure."""

from __future__ import annotations

from app.broker.orders import OrderChanges, OrderType, TransactionType
from app.orders.state.order_terms import OrderTerms

POSITIONS_MAX_AGE_S = 5.0
"""Seconds. Older positions do not prove that an order still reduces one."""

_STOPS = frozenset({OrderType.SL, OrderType.SL_M})
_MAY_CHANGE = frozenset({"quantity", "trigger_price", "price", "market_protection"})


def lowers_or_tightens(changes: OrderChanges, terms: OrderTerms, side: TransactionType) -> bool:
    """Whether a modification does nothing but lower the quantity, or move a stop's trigger towards the market.

    The limit of a stop may go with its trigger; by itself it may not change.
    """
    given = changes.to_json().keys()
    lowers = changes.quantity is not None and changes.quantity < terms.quantity
    tightens = False
    if changes.trigger_price is not None and terms.order_type in _STOPS:
        moved = changes.trigger_price - terms.trigger_price
        tightens = moved > 0 if side is TransactionType.SELL else moved < 0
    if not given <= _MAY_CHANGE or (changes.quantity is not None and not lowers):
        return False
    if given & {"trigger_price", "price", "market_protection"}:
        return tightens
    return lowers
