"""The one place where a batch's status changes, with its event, in the caller's transaction."""

from __future__ import annotations

from collections.abc import Sequence

from app.db.postgres import Tx
from app.orders.batches import batch_store
from app.orders.batches.batch_documents import batch_document, batch_event_type
from app.orders.batches.legs import Leg
from app.orders.state.model import Batch, BatchStatus, TaskError
from app.orders.state.settlement import Settlement


async def settle_batch(
    tx: Tx, batch: Batch, status: BatchStatus, legs: Sequence[Leg], *, error: str | None, settlement: Settlement
) -> Batch:
    """Store a batch's new status, append the event of a final one, and return the batch as stored.

    The caller holds the account's lock. ``error`` None keeps the reason for which a rollback began.
    """
    code = "BATCH_ROLLBACK" if status is BatchStatus.COMPENSATING else f"BATCH_{status.upper()}"
    stored = None if error is None else TaskError(code=code, message=error)
    settled = await batch_store.write_status(tx, batch.batch_id, status, error=stored)
    settlement.counters.batch_settled(settled)
    event_type = batch_event_type(status)
    if event_type is not None:
        await settlement.events.append(tx, batch.account_id, [(event_type, batch_document(settled, legs))])
    return settled
