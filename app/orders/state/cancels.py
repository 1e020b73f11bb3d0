"""Cancels that the service asks for by itself: of a rollback, a halt, a late order, a placement that was withdrawn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date
from typing import Any
from uuid import UUID

from app.db.postgres import Tx
from app.orders.state import cancel_store, new_task_store
from app.orders.state.engine_settings import EngineSettings
from app.orders.state.model import Operation, Purpose, Whose
from app.orders.state.new_tasks import CancelTarget, NewTask

_STANDING = frozenset({"late", "halt", "withdrawal"})
"""Purposes behind which nobody looks again whether it helped; a rollback does, and a client can."""


class Canceller:
    """Makes cancel tasks of one account. ``new_id`` gives a task id."""

    def __init__(self, account_id: str, *, settings: EngineSettings, new_id: Callable[[], UUID]) -> None:
        self._account_id = account_id
        self._settings = settings
        self._new_id = new_id

    def task(
        self,
        target: CancelTarget,
        *,
        trade_date: date,
        purpose: Purpose,
        batch_id: UUID | None = None,
        leg: int | None = None,
    ) -> NewTask:
        """A cancel under the order's own variety."""
        request: dict[str, Any] = {"order_id": target.order_id, "variety": target.variety}
        if target.parent_order_id:
            request["parent_order_id"] = target.parent_order_id
        return NewTask(
            task_id=self._new_id(),
            account_id=self._account_id,
            operation=Operation.CANCEL,
            trade_date=trade_date,
            instrument=target.instrument,
            request=request,
            fresh_s=self._settings.freshness_repeated_cancel_s
            if purpose in _STANDING
            else self._settings.freshness_cancel_s,
            batch_id=batch_id,
            leg=leg,
            purpose=purpose,
            target_order_id=target.order_id,
        )

    async def cancel_live(self, tx: Tx, whose: Whose, *, purpose: Purpose, today: date, since: date) -> Sequence[str]:
        """A cancel for each live order since that day that nobody is cancelling yet; returns their order ids.

        The caller holds the account's lock.
        """
        targets = await cancel_store.live_without_cancel(tx, self._account_id, whose=whose, since=since)
        await new_task_store.insert_tasks(
            tx, [self.task(target, trade_date=today, purpose=purpose) for target in targets]
        )
        return [target.order_id for target in targets]
