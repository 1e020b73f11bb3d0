"""Begins the recovery of an account: from the commit on nothing but cancels is sent for it, by any process."""

from __future__ import annotations

from uuid import UUID

from app.db.postgres import Tx
from app.orders.recovery import recovery_store
from app.orders.state.alarms import Alarm
from app.orders.state.settlement import Settlement


async def begin_recovery(
    tx: Tx, account_id: str, *, sign: str, quiet_s: float, settlement: Settlement, alarm_id: UUID
) -> None:
    """Begin it, or begin its window anew. The caller holds the account's lock.

    The event log begins a new epoch, because the numbers of forgotten events are given a second time.
    """
    before = await recovery_store.find(tx, account_id)
    await recovery_store.begin(tx, account_id, sign=sign, quiet_s=quiet_s)
    if before is not None and not before.is_over:
        return
    await settlement.events.begin_epoch(tx, account_id)
    now = await recovery_store.find(tx, account_id)
    subject = "" if now is None else now.began_at.isoformat()
    await settlement.raise_alarm(
        tx, Alarm.DATABASE_LOST, account_id=account_id, alarm_id=alarm_id, subject=subject, data={"sign": sign}
    )
