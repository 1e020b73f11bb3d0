"""Tasks whose fate an operator may have to decide, with what the order book has shown of them. Values only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from app.orders.state.model import Task


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownOrder:
    """A row of the book, as last seen, that carries a task's tag."""

    order_id: str
    status: str
    filled_quantity: int


@dataclass(frozen=True, slots=True, kw_only=True)
class UnresolvedTask:
    """A task that somebody may have to decide, and what the book has shown under its tag."""

    task: Task
    shown: Sequence[ShownOrder]
