"""Requests that the copy of a database calls unsent: in doubt until the book has proven that they were not sent.

A batch of which the book shows any leg is never continued: hours may have passed, and its client has given it up. What
is live of it stays or is cancelled as the client asked, the other legs are cancelled, and an operator looks at it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from app.broker.orders import Operation
from app.broker.outcomes import Sent
from app.db.postgres import Tx
from app.orders.batches import batch_store
from app.orders.batches.batch_end import settle_batch
from app.orders.batches.leg_reader import load_legs
from app.orders.batches.legs import Leg
from app.orders.recovery import unfinished_store
from app.orders.recovery.unfinished_store import RESTORED_UNSENT
from app.orders.state import removal_store
from app.orders.state.lifecycle import Event
from app.orders.state.model import Batch, BatchStatus, KnownOrder, Task, TaskError, TaskStatus
from app.orders.state.settlement import Settlement
from app.orders.state.verdicts import Verdict

NOT_CONTINUED = "the database was lost while the batch was being placed; it is not continued"

CLOSE_NOT_CONTINUED = (
    "the database was lost: the exits that the order book shows under this key are listed, without those of positions "
    "for which none was sent; look at the positions, and close what is open under a new key"
)


def forgotten(*, now: datetime) -> Verdict:
    """It may have been sent: this database is an older copy than the one under which its sender worked."""
    message = "the database was put back to an older copy; the order book shows whether it was sent meanwhile"
    error = TaskError(code=RESTORED_UNSENT, message=message)
    return Verdict(event=Event.FORGOTTEN, sent=Sent.UNKNOWN, error=error, next_check_at=now)


def may_be_of(task: Task, order: KnownOrder) -> bool:
    """Whether an order without a tag could be the one of this placement."""
    wanted, row = task.order, order.document
    same = (order.instrument, order.transaction_type, row["product"]) == (
        task.instrument, wanted.transaction_type, wanted.product,
    )  # fmt: skip
    return same and (int(row["quantity"]) == wanted.quantity or bool(row.get("modified")))


def never_shown(task: Task, *, of_broken_batch: bool, without_tag: Sequence[KnownOrder]) -> Verdict:
    """The whole window was read without it. An order without a tag that could be it is an operator's case."""
    if task.operation is Operation.MODIFY:
        message = "the database was lost, and no row of the order book proves whether it took effect"
        error = TaskError(code="NOT_CONFIRMED", message=message)
        return Verdict(event=Event.ABSENT, sent=Sent.UNKNOWN, error=error)
    similar = [order.order_id for order in without_tag if may_be_of(task, order)]
    if similar:
        message = f"the database was lost, and order {', '.join(similar)} has no tag and may be this one"
        error = TaskError(code="LOOK_ALIKE", message=message)
        return Verdict(event=Event.MISMATCH, sent=Sent.UNKNOWN, error=error)
    if of_broken_batch:
        error = TaskError(code="WITHDRAWN", message=NOT_CONTINUED)
        return Verdict(event=Event.NOT_CONTINUED, sent=Sent.NO, error=error)
    message = "not sent before the database was put back to an older copy: the order book never showed it"
    return Verdict(event=Event.NEVER_SHOWN, sent=Sent.NO, error=TaskError(code="EXPIRED", message=message))


async def doubt_unsent(tx: Tx, account_id: str, *, now: datetime, settlement: Settlement) -> bool:
    """Put every request that this database calls unsent in doubt; return whether there was one."""
    found = await unfinished_store.unsent_but_cancels(tx, account_id)
    for task in found:
        await settlement.settle(tx, task.task_id, forgotten(now=now), fence=task.fence)
    return bool(found)


async def end_unsent(tx: Tx, account_id: str, *, without_tag: Sequence[KnownOrder], settlement: Settlement) -> None:
    """The window is over: end what the book has not shown, and the batches of which it has shown a part.

    ``without_tag``: orders without any tag that the book has first shown since the loss.
    """
    doubts = await unfinished_store.restored_doubts(tx, account_id)
    broken = await _broken_batches(tx, doubts)
    for task in doubts:
        verdict = never_shown(task, of_broken_batch=task.batch_id in broken, without_tag=without_tag)
        await settlement.settle(tx, task.task_id, verdict, fence=task.fence)
    for batch, legs in broken.values():
        await stop_batch(tx, batch, legs, why=NOT_CONTINUED, settlement=settlement)


async def _broken_batches(tx: Tx, doubts: Sequence[Task]) -> dict[UUID, tuple[Batch, Sequence[Leg]]]:
    """The open batches of these legs of which the book has shown another leg."""
    found: dict[UUID, tuple[Batch, Sequence[Leg]]] = {}
    for batch_id in dict.fromkeys(task.batch_id for task in doubts if task.batch_id is not None):
        batch = await batch_store.load(tx, batch_id)
        if batch is None or not batch.status.is_open:
            continue
        legs = (await load_legs(tx, [batch]))[batch_id]
        if any(leg.task.status is TaskStatus.COMPLETED for leg in legs):
            found[batch_id] = (batch, legs)
    return found


async def stop_batch(tx: Tx, batch: Batch, legs: Sequence[Leg], *, why: str, settlement: Settlement) -> None:
    """Cancel what is live of a broken batch if its client asked for that, and leave it to an operator."""
    if batch.rollback_on_failure:
        placed = [leg.task.task_id for leg in legs if leg.task.status is TaskStatus.COMPLETED]
        await removal_store.set_unwanted(tx, placed, "rollback")
    present = (await load_legs(tx, [batch]))[batch.batch_id]
    await settle_batch(tx, batch, BatchStatus.NEEDS_ATTENTION, present, error=why, settlement=settlement)
