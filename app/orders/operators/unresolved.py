"""Tasks that an operator may have to resolve, with the orders that the book has shown for them. Values only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from app.orders.state.model import Task


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownOrder:
    """An order that carries a task's tag, as the book last showed it."""

    order_id: str
    status: str
    filled_quantity: int


@dataclass(frozen=True, slots=True, kw_only=True)
class UnresolvedTask:
    """A task that an operator may have to resolve, and the orders under its tag."""

    task: Task
    shown: Sequence[ShownOrder]
