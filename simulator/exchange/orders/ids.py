"""Ids of orders, trades, triggers and alerts, counted from the seed.

The same seed and the same requests give the same ids.
"""

import hashlib
from dataclasses import dataclass
from typing import Final
from uuid import UUID

ORDER_ID_BASE: Final = 2_000_000_000_000_000_000
"""Order ids have 19 digits, as Kite's have since 2025. They contain no date."""
EXCHANGE_ORDER_ID_BASE: Final = 1_000_000_000_000_000
TRADE_ID_BASE: Final = 10_000_000
TRIGGER_ID_BASE: Final = 100_000_000
SEED_SPAN: Final = 10**9
IDS_PER_SEED: Final = 10**8
EXCHANGE_IDS_PER_SEED: Final = 10**6


@dataclass(slots=True)
class IdCounts:
    """How many ids of each kind were given. They only grow, also over a reset and a new day."""

    orders: int = 0
    exchange_orders: int = 0
    trades: int = 0
    triggers: int = 0
    alerts: int = 0


class IdGenerator:
    """Gives the next id of each kind. `counts` is what the journal saves."""

    def __init__(self, seed: int) -> None:
        self._seed = seed % SEED_SPAN
        self.counts = IdCounts()

    def order_id(self) -> str:
        self.counts.orders += 1
        return str(ORDER_ID_BASE + self._seed * IDS_PER_SEED + self.counts.orders)

    def exchange_order_id(self) -> str:
        self.counts.exchange_orders += 1
        return str(EXCHANGE_ORDER_ID_BASE + self._seed * EXCHANGE_IDS_PER_SEED + self.counts.exchange_orders)

    def trade_id(self) -> str:
        self.counts.trades += 1
        return str(TRADE_ID_BASE + self.counts.trades)

    def trigger_id(self) -> int:
        self.counts.triggers += 1
        return TRIGGER_ID_BASE + self.counts.triggers

    def alert_id(self) -> str:
        """A UUID in text form, as Kite's alerts have."""
        self.counts.alerts += 1
        digest = hashlib.sha256(f"{self._seed}:alert:{self.counts.alerts}".encode()).digest()
        return str(UUID(bytes=digest[:16], version=4))
