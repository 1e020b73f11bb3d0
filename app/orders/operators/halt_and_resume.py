"""Halts and resumes new orders for an operator, and reads the audit trail. Each action has an entry in the trail.

A halt is in force on every replica from its commit on, because the claim statement itself checks it. Orders that are
being sent at that moment still reach the broker; ``unanswered`` counts them. Only the database is needed, so the
command line can halt while no service runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

from loguru import logger

from app.db.postgres import Tx
from app.errors import Unavailable
from app.kit.clock import ist_iso
from app.orders.risk import halt_store
from app.orders.risk.halt_writer import write_halt
from app.orders.risk.halts import ALL_ACCOUNTS, Halt, HaltMode, shown_halt
from app.orders.sending import egress_store
from app.orders.sending.held_tasks import halted, next_step
from app.orders.state import audit_store, removal_store, task_store
from app.orders.state.audit import Actor, AuditEntry
from app.orders.state.lifecycle import Event
from app.orders.state.order_parts import OrderParts
from app.orders.state.page import Page
from app.orders.state.removal import Removal
from app.orders.state.trading_days import oldest_live_day
from app.orders.state.wakeups import ChangeListener


@dataclass(frozen=True, slots=True, kw_only=True)
class HaltResult:
    """What a halt did."""

    halt: Halt
    cancelled: Mapping[str, tuple[str, ...]]  # by account, the orders for which a cancel was stored now
    unanswered: Mapping[str, int]  # by account, placements without an outcome, which may still become live orders


CancelOpen = Literal["leave", "cancel"]
"""What a halt does about live orders. ``cancel`` also cancels those that unanswered placements turn out to make."""


class HaltService:
    """The commands of operators about halts. ``account_id`` None means all accounts.

    Every method raises Unavailable when the database is away; nothing was done then, unless its docstring says more.
    ``halt`` and ``resume`` raise CommitCutOff when it is not known whether that was stored; asking again does no harm.
    ``listener`` wakes the accounts' loops after the commit.
    """

    def __init__(self, parts: OrderParts, *, listener: ChangeListener) -> None:
        self._database = parts.database
        self._settlement = parts.settlement
        self._removal = Removal(parts)
        self._clock = parts.clock
        self._ids = parts.ids
        self._listener = listener

    async def halt(
        self, account_id: str | None, *, mode: HaltMode, open_orders: CancelOpen, reason: str, by: Actor
    ) -> HaltResult:
        """Stop new orders, in ``reduce_only`` mode those that are not proven reductions, and store a cancel for every
        live order if ``open_orders`` says so.

        Raises Unavailable with code ``HALT_INCOMPLETE`` when the database was lost after the halt was stored: the halt
        is in force, and some orders may not be cancelled.
        """
        scope = account_id or ALL_ACCOUNTS
        async with self._database.transaction() as tx:
            asked = {"open_orders": open_orders}
            halt = await write_halt(
                tx, scope=scope, mode=mode, reason=reason, by=by, entry_id=self._ids.uuid(), details=asked
            )
            accounts = await self._accounts(tx, account_id)
        log = logger.bind(account_id=scope, action=mode, principal=by.principal, reason=reason)
        log.warning("new orders are stopped")
        cancelled: dict[str, tuple[str, ...]] = {}
        unanswered: dict[str, int] = {}
        try:
            for one in accounts:
                cancelled[one] = await self._stop(one, halt, open_orders=open_orders, by=by)
                async with self._database.connection() as connection:
                    unanswered[one] = await removal_store.count_unanswered(connection, one)
                self._listener.changed(one)
        except Unavailable as error:
            done = ", ".join(sorted(cancelled)) or "none"
            message = f"the halt is in force; open orders are being cancelled of these accounts: {done}; ask again"
            raise Unavailable(message, code="HALT_INCOMPLETE") from error
        return HaltResult(
            halt=halt,
            cancelled={one: ids for one, ids in cancelled.items() if ids},
            unanswered={one: count for one, count in unanswered.items() if count},
        )

    async def resume(self, account_id: str | None, *, reason: str, by: Actor) -> bool:
        """Lift the halt of exactly this scope; False when there was none.

        The sender then sends the held tasks that have not passed their ``send_by``. An address that the broker
        has refused may be tried again.
        """
        scope = account_id or ALL_ACCOUNTS
        async with self._database.transaction() as tx:
            before = await halt_store.find_halt(tx, scope=scope)
            lifted = await halt_store.lift_halt(tx, scope=scope)
            await egress_store.end_cool_downs(tx, scope)
            if lifted:
                await self._audit(tx, "resume", scope, by=by, before=shown_halt(before), after={"reason": reason})
            accounts = await self._accounts(tx, account_id)
        for one in accounts:
            self._listener.changed(one)
        return lifted

    async def halts(self) -> list[Halt]:
        """Every halt that is in force."""
        async with self._database.connection() as connection:
            return await halt_store.list_halts(connection)

    async def audit(self, *, before: UUID | None, limit: int) -> Page:
        """One page of the audit trail, newest first; ``before`` is the cursor of the previous page."""
        async with self._database.connection() as connection:
            found = await audit_store.audit_page(connection, before=before, limit=limit + 1)
        cursor = str(found[limit - 1].entry_id) if len(found) > limit else None
        return Page(data=[_audit_document(entry) for entry in found[:limit]], next_cursor=cursor)

    async def _accounts(self, tx: Tx, account_id: str | None) -> list[str]:
        """This account; or each that may have a live order, also one of last week whose book was not read since."""
        if account_id is not None:
            return [account_id]
        return await halt_store.accounts_since(tx, day=oldest_live_day(self._clock.now()))

    async def _stop(self, account_id: str, halt: Halt, *, open_orders: CancelOpen, by: Actor) -> tuple[str, ...]:
        """Hold what the halt stops, and cancel every live order if ``open_orders`` says so; return the order ids.

        A claim that began before the halt was stored does not see it. Locking the unsent tasks waits for those that
        have taken one, and holding the tasks keeps them from those that have not. After that each placement is held, or
        is unwanted, whether its outcome is known or not.
        """
        async with self._database.transaction() as tx:
            await self._settlement.lock(tx, account_id)
            for task in await task_store.lock_unsent(tx, account_id):
                verdict = next_step(task, [halted(halt)])
                if verdict is not None and verdict.event is Event.HOLD:
                    await self._settlement.settle(tx, task.task_id, verdict, fence=task.fence)
            if open_orders == "leave":
                return ()
            since = oldest_live_day(self._clock.now())
            await removal_store.set_all_unwanted(tx, account_id, since=since)
            found = (await self._removal.advance(tx, account_id, since=since, hurry=True)).cancelled
            if found:
                await self._audit(tx, "cancel_open", account_id, by=by, before=None, after={"order_ids": list(found)})
        return found

    async def _audit(
        self,
        tx: Tx,
        action: str,
        subject: str,
        *,
        by: Actor,
        before: Mapping[str, Any] | None,
        after: Mapping[str, Any] | None,
    ) -> None:
        await audit_store.write_audit(
            tx,
            entry_id=self._ids.uuid(),
            principal=by.principal,
            action=action,
            subject=subject,
            request_id=by.request_id,
            before=before,
            after=after,
        )


def _audit_document(entry: AuditEntry) -> dict[str, Any]:
    return {
        "entry_id": str(entry.entry_id),
        "occurred_at": ist_iso(entry.occurred_at),
        "principal": entry.principal,
        "action": entry.action,
        "subject": entry.subject,
        "request_id": entry.request_id,
        "before": entry.before,
        "after": entry.after,
    }
