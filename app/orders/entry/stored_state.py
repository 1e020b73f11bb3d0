"""Reads, in one round trip, the stored state by which the risk check decides about an intent."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

from app.db.pipeline import PendingResult, fetch_or
from app.db.postgres import Tx
from app.kit.clock import Clock, today
from app.kit.ids import uuid7
from app.orders.entry import precondition_store
from app.orders.entry.intent import Intent
from app.orders.entry.preconditions import PresentOrder
from app.orders.risk import limit_store
from app.orders.risk.changed_orders import ChangedOrder
from app.orders.risk.limits import DoubtLimits, OrderIdentity, RiskLimits, Stored
from app.orders.state.engine_settings import EngineSettings
from app.orders.state.new_tasks import NewTask
from app.orders.state.recovery_state_store import RecoveryState, recovery_state

SHOWN_AFTER = timedelta(seconds=60)
"""A live order is in the book this long after its acceptance, so older tasks are not counted beside the book."""

_CLOCKS_APART = timedelta(seconds=5)
"""How much the clocks of two replicas may differ."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredState:
    """What the risk check decides by. A value that was not read, because nothing depends on it, has its default."""

    recovery: RecoveryState = "none"  # whether the account recovers, or has recovered, from a loss of the database
    modifications: int = 0  # of the order that the intent modifies
    changed: ChangedOrder | None = None  # that order
    target: PresentOrder | None = None  # the order of a conditional command; None too if the book has not shown it
    orders_are_stopped: bool = False  # a replacement could not be sent now
    only_reductions_pass: bool = False  # an order is held now, unless it is proven to be a reduction
    stored: Stored = field(default_factory=lambda: Stored(identical={}))  # for limits that count orders


@dataclass(slots=True, kw_only=True)
class PendingState:
    """The queries that were sent; None for those that were not."""

    recovery: PendingResult[RecoveryState] | None = None
    modifications: PendingResult[int] | None = None
    changed: PendingResult[ChangedOrder | None] | None = None
    target: PendingResult[PresentOrder | None] | None = None
    orders_are_stopped: PendingResult[bool] | None = None
    only_reductions_pass: PendingResult[bool] | None = None
    open_orders: PendingResult[int] | None = None
    identical: PendingResult[dict[OrderIdentity, int]] | None = None

    async def fetch(self) -> StoredState:
        """The results, once the pipeline has ended."""
        return StoredState(
            recovery=await fetch_or(self.recovery, "none"),
            modifications=await fetch_or(self.modifications, 0),
            changed=await fetch_or(self.changed, None),
            target=await fetch_or(self.target, None),
            orders_are_stopped=await fetch_or(self.orders_are_stopped, False),
            only_reductions_pass=await fetch_or(self.only_reductions_pass, False),
            stored=Stored(
                open_orders=await fetch_or(self.open_orders, 0), identical=await fetch_or(self.identical, {})
            ),
        )


class StateReader:
    """Sends the queries whose answers decide about an intent."""

    def __init__(self, *, settings: EngineSettings, clock: Clock) -> None:
        self._clock = clock
        self._doubts: DoubtLimits = {
            "halt_doubts": settings.halt_doubts,
            "halt_doubt_age_s": settings.halt_doubt_age_s,
        }

    async def send(self, tx: Tx, intent: Intent, limits: RiskLimits) -> PendingState:
        """Send the queries for this intent; inside a pipeline this waits for nothing."""
        account_id, placing = intent.account_id, bool(intent.placements)
        pending = PendingState()
        if placing or intent.modified:
            pending.recovery = await recovery_state(tx, account_id)
        # The lock first: everything counted after it includes what the previous holder has stored. Every placement
        # takes it, because a square-off or a close at another replica counts it among the orders that may sell.
        if placing or intent.modified or intent.conditional is not None:
            await limit_store.lock_account(tx, account_id)
        if intent.modified:
            pending.modifications = await limit_store.count_modifications(tx, account_id, order_id=intent.modified)
            pending.changed = await limit_store.changed_order(tx, account_id, order_id=intent.modified)
        if intent.conditional is not None:
            await self._send_for_target(tx, intent.conditional, pending)
        if placing or intent.modified:
            pending.only_reductions_pass = await limit_store.only_reductions_pass(tx, account_id, **self._doubts)
        # Cancels and modifications pass the limits that count orders.
        if not placing:
            return pending
        # A limit that is off costs no query.
        if limits.max_open_orders is not None:
            pending.open_orders = await limit_store.count_open_orders(
                tx, account_id, trade_date=today(self._clock), recent=self._lowest_id(SHOWN_AFTER)
            )
        if limits.max_identical is not None:
            pending.identical = await limit_store.count_identical(
                tx,
                account_id,
                instruments=sorted({task.instrument for task in intent.placements}),
                window_s=limits.identical_window_s,
                recent=self._lowest_id(timedelta(seconds=limits.identical_window_s)),
            )
        return pending

    async def _send_for_target(self, tx: Tx, task: NewTask, pending: PendingState) -> None:
        """Send the queries for the order that a conditional command is about.

        The row of an order to replace is locked, so that no other transaction stores a second replacement of it.
        """
        replacing = task.replaces is not None
        pending.target = await precondition_store.present_order(
            tx, task.account_id, order_id=str(task.subject), keep="as_it_is" if replacing else "free"
        )
        if replacing:
            pending.orders_are_stopped = await precondition_store.orders_are_stopped(
                tx, task.account_id, **self._doubts
            )

    def _lowest_id(self, window: timedelta) -> UUID:
        """An id below those of all tasks that any replica has made within this time."""
        earliest = self._clock.now() - window - _CLOCKS_APART
        return uuid7(epoch_ms=int(earliest.timestamp() * 1000), random_bits=0)
