"""What a read of the order book does not show although it should, and what can still be proven without it. Pure rules.

An absence is proven by a whole read only. A row that cannot be read may be the order that is looked for, unless its id
is legible and its tags are, and none of them is of this service. An order that the broker has confirmed and never
shows makes every read incomplete, so after a window of reads that lack nothing else it no longer counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from app.broker.orders import BrokerOrder
from app.broker.rows import BadRow, Rows
from app.orders.state.engine_settings import CLEAN_READS_NEEDED


def missing_from(book: Rows[BrokerOrder], known: Mapping[str, UUID | None]) -> dict[str, UUID | None]:
    """The known orders that the book does not show, not even in a row of which only the id is legible."""
    shown = {order.order_id for order in book} | {row.subject for row in book.bad}
    return {order_id: task_id for order_id, task_id in known.items() if order_id not in shown}


def possibly_ours(bad: Iterable[BadRow], *, deployment: str) -> list[BadRow]:
    """The unreadable rows that could be an order of this service."""
    return [
        row
        for row in bad
        if row.subject is None or row.tags is None or any(tag.startswith(deployment) for tag in row.tags or ())
    ]


def unreadable_sentence(bad: Sequence[BadRow]) -> str | None:
    """What an operator reads about rows that make the book prove nothing; None without any."""
    if not bad:
        return None
    first = bad[0]
    name = f"{first.place} of the order book" + (f" (order {first.subject})" if first.subject else "")
    others = f", and {len(bad) - 1} more" if len(bad) > 1 else ""
    return f"{name} cannot be read{others}: {first.reason}"


@dataclass(slots=True)
class _Absence:
    since: datetime
    reads: int = 0


@dataclass(slots=True)
class UnseenOrders:
    """Counts, for orders that the broker has confirmed and its book never showed, the reads that lack nothing else."""

    window_s: float
    _absent: dict[str, _Absence] = field(default_factory=dict)

    def count(self, missing: Mapping[str, UUID | None], *, now: datetime) -> dict[str, UUID]:
        """Count a read that could have shown them; return those that it is proven not to show, each with its task.

        ``missing``: the known orders that the read lacks, None for one that the book has shown before: a read that
        lacks such an order counts for nothing. ``now``: when the read began, by the database's clock.
        """
        never_shown = {order_id: task_id for order_id, task_id in missing.items() if task_id is not None}
        self._absent = {order_id: one for order_id, one in self._absent.items() if order_id in never_shown}
        if len(never_shown) < len(missing):
            return {}
        for order_id in never_shown:
            self._absent.setdefault(order_id, _Absence(now)).reads += 1
        return {order_id: task_id for order_id, task_id in never_shown.items() if self._is_proven(order_id, now=now)}

    def _is_proven(self, order_id: str, *, now: datetime) -> bool:
        absence = self._absent[order_id]
        return absence.reads >= CLEAN_READS_NEEDED and now - absence.since >= timedelta(seconds=self.window_s)
