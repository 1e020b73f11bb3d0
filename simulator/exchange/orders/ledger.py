"""Every order that was ever accepted, in the order of acceptance. Tests of an order system compare its tables with it.

An order is recorded when it is accepted, before the client is answered. Nothing is removed, not even by a new day.
State and fills are read from the order itself.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from simulator.exchange.orders.order import Order
from simulator.formats import format_time


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """One accepted order. `seq` counts from 1 without gaps; `request` is the client's form as it was sent."""

    seq: int
    order: Order
    request: Mapping[str, str]


class Ledger:
    """Append-only, with at most `MAX_ENTRIES` orders."""

    MAX_ENTRIES = 1_000_000

    def __init__(self) -> None:
        self._entries: list[LedgerEntry] = []
        self._requests: dict[str, Mapping[str, str]] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def newest(self, count: int) -> list[LedgerEntry]:
        """The last `count` entries, oldest first."""
        return self._entries[-count:]

    def record(self, order: Order, *, request: Mapping[str, str]) -> LedgerEntry:
        """Appends an order. Raises RuntimeError when the ledger is full."""
        if len(self._entries) >= self.MAX_ENTRIES:
            raise RuntimeError(f"the ledger is full: {self.MAX_ENTRIES} orders")
        entry = LedgerEntry(seq=len(self._entries) + 1, order=order, request=dict(request))
        self._entries.append(entry)
        self._requests[order.order_id] = entry.request
        return entry

    def request_of(self, order: Order) -> Mapping[str, str]:
        """The form that the client sent, of an order of any day."""
        return self._requests[order.order_id]

    def entries(
        self, *, user_id: str | None = None, after_seq: int = 0, since: datetime | None = None
    ) -> list[LedgerEntry]:
        """The entries of a user (None: of all), after a sequence number, accepted at `since` or later."""
        return [
            entry
            for entry in self._entries[after_seq:]
            if (user_id is None or entry.order.user_id == user_id)
            and (since is None or entry.order.accepted_at >= since)
        ]


def ledger_row(entry: LedgerEntry) -> dict[str, object]:
    """A row of `GET /_sim/ledger`. Moments are given in milliseconds since the epoch as well."""
    order = entry.order
    return {
        "seq": entry.seq,
        "order_id": order.order_id,
        "user_id": order.user_id,
        "tag": order.request.tag,
        "variety": order.request.variety,
        "request": dict(entry.request),
        "accepted_at": format_time(order.accepted_at),
        "accepted_at_ms": int(order.accepted_at.timestamp() * 1000),
        "ended_at_ms": None if order.ended_at is None else int(order.ended_at.timestamp() * 1000),
        "state": order.status,
        "filled_quantity": order.filled_quantity,
        "unfilled_quantity": order.unfilled_quantity,
        "average_price": order.average_price,
    }
