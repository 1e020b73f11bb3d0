"""What an operator has to know after a loss of the database, and the decision about orders without a tag."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from app.errors import Conflict, NotFound
from app.orders.operators import recovery_report_store
from app.orders.recovery import recovery_store
from app.orders.recovery.recovery_store import Recovery
from app.orders.state import audit_store, order_store
from app.orders.state.audit import Actor
from app.orders.state.order_parts import OrderParts
from app.orders.state.wakeups import ChangeListener


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoverySummary:
    """One account's newest recovery, and what it left open."""

    recovery: Recovery
    found: Sequence[str]  # orders that no task had, and that have one again
    unclaimed: Sequence[str]  # those of them whose request no client has repeated
    without_tag: Sequence[str]  # orders that may be of a forgotten request
    stopped_batches: Sequence[str]  # batches that were not continued


class Recoveries:
    """Reads the reports, and stores an operator's word. ``listener`` wakes the account's loops after the commit."""

    def __init__(self, parts: OrderParts, *, listener: ChangeListener) -> None:
        self._database = parts.database
        self._ids = parts.ids
        self._listener = listener

    async def summaries(self) -> list[RecoverySummary]:
        """One for each account that recovers or has recovered, by account."""
        async with self._database.connection() as connection:
            recoveries = await recovery_store.list_all(connection)
            return [
                RecoverySummary(
                    recovery=one,
                    found=await recovery_report_store.found_orders(connection, one),
                    unclaimed=await recovery_report_store.unclaimed_orders(connection, one),
                    without_tag=await recovery_store.ids_without_tag(connection, one),
                    stopped_batches=await recovery_report_store.stopped_batches(connection, one),
                )
                for one in recoveries
            ]

    async def not_ours(self, account_id: str, order_id: str, *, note: str, by: Actor) -> None:
        """An operator says that an order without a tag is none of this service: it blocks no key any more.

        Raises NotFound for an account without a recovery or an unknown order, Conflict for one that has a task.
        """
        async with self._database.transaction() as tx:
            order = await order_store.find(tx, order_id, account_id=account_id)
            if order is None:
                raise NotFound("order", order_id)
            if order.task_id is not None:
                raise Conflict(f"order {order_id} belongs to task {order.task_id}", code="ORDER_OF_A_TASK")
            if not await recovery_store.dismiss(tx, account_id, order_id):
                raise NotFound("recovery of account", account_id)
            await audit_store.write_audit(
                tx,
                entry_id=self._ids.uuid(),
                principal=by.principal,
                action="order_not_ours",
                subject=order_id,
                request_id=by.request_id,
                before=None,
                after={"account_id": account_id, "note": note},
            )
        self._listener.changed(account_id)
