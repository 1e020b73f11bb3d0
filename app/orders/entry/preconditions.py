"""What must be true of an order for a command that is meant for it as its caller has seen it. Pure.

``If-Match`` names the versions that a caller would accept, and a replacement names the one that it was decided on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from app.errors import Conflict
from app.orders.state.documents import version_of
from app.orders.state.model import OrderState
from app.orders.state.new_tasks import NewTask


class NotAsSeen(Conflict):
    """Nothing was stored. Codes: ``VERSION_STALE``, ``ORDER_ALREADY_FINAL``, ``ORDER_NOT_REPLACEABLE``, ``HALTED``."""

    sent = "no"

    def __init__(self, message: str, *, code: str, retryable: Literal["no", "after_check"] = "after_check") -> None:
        super().__init__(message, code=code)
        self.retryable = retryable


def check_order(task: NewTask, order: PresentOrder | None) -> None:
    """Raises NotAsSeen: it is at its end, has moved on, or a change unseen by the caller is about to move it."""
    if task.replaces is not None and order is not None and order.state.is_terminal:
        message = f"the order is {order.state} already; there is nothing to replace"
        raise NotAsSeen(message, code="ORDER_ALREADY_FINAL", retryable="no")
    if task.replaces is not None and order is not None and not order.alone:
        message = (
            "the order is one of several that belong together, or its end was never seen: cancel and place by hand"
        )
        raise NotAsSeen(message, code="ORDER_NOT_REPLACEABLE", retryable="no")
    version = None if order is None else version_of(order.content_hash)
    if version is None or version not in (task.only_if or ()):
        present = "has no version yet: the book has not shown it" if version is None else f"is at version {version} now"
        raise NotAsSeen(f"the order {present}; look at it again", code="VERSION_STALE")
    if order is not None and order.changing:
        message = "another change of the order is on its way; look at it again when the book has shown it"
        raise NotAsSeen(message, code="VERSION_STALE")


def check_not_stopped(*, stopped: bool) -> None:
    """Raises NotAsSeen: the cancel would pass, and nothing would take the order's place."""
    if stopped:
        message = "new orders are stopped, so the order would be cancelled and nothing would take its place"
        raise NotAsSeen(message, code="HALTED")


@dataclass(frozen=True, slots=True, kw_only=True)
class PresentOrder:
    """An order as it is now. ``changing``: a modification or a replacement of it is on its way, or not shown yet.

    ``alone``: all that was made of one request, its end seen or still to be seen; not a slice, a leg, a second leg.
    """

    content_hash: bytes
    state: OrderState
    changing: bool
    alone: bool
