"""Checks that an order is still as the client saw it when it decided on a command. Pure.

``If-Match`` names the versions that the client accepts; a replacement names the one on which the client decided.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from app.errors import Conflict
from app.orders.state.documents import version_of
from app.orders.state.model import OrderState
from app.orders.state.new_tasks import NewTask


class NotAsSeen(Conflict):
    """The order is not in the state that the command requires; nothing was stored.

    Codes: ``VERSION_STALE``, ``ORDER_ALREADY_FINAL``, ``ORDER_NOT_REPLACEABLE``, ``HALTED``.
    """

    sent = "no"

    def __init__(self, message: str, *, code: str, retryable: Literal["no", "after_check"] = "after_check") -> None:
        super().__init__(message, code=code)
        self.retryable = retryable


def check_as_seen(task: NewTask, order: PresentOrder | None) -> None:
    """Raises NotAsSeen when the order is final, has another version, or is about to change. None: not in the book."""
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
    """Raises NotAsSeen while new orders are stopped: the cancel would be sent and its replacement would not."""
    if stopped:
        message = "new orders are stopped, so the order would be cancelled and nothing would take its place"
        raise NotAsSeen(message, code="HALTED")


@dataclass(frozen=True, slots=True, kw_only=True)
class PresentOrder:
    """An order as it is now."""

    content_hash: bytes  # its version is derived from it
    state: OrderState
    changing: bool  # a modification or replacement is open, or accepted and not yet in the book
    alone: bool  # the only order of its request (no slice, no second leg), and its end was or can still be observed
