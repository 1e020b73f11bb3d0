"""What the broker says about an account as a whole halts it: every further order would only be refused again."""

from __future__ import annotations

from loguru import logger

from app.broker.outcomes import Refused, SendOutcome
from app.db.postgres import Tx
from app.kit.ids import IdSource
from app.orders.alarms import Alarm
from app.orders.model import Task
from app.orders.settlement import Settlement
from app.orders.store.controls import find_halt, set_halt
from app.orders.store.operations import write_audit

PRINCIPAL = "service"


async def halt_if_locked_out(
    tx: Tx, task: Task, outcome: SendOutcome, *, settlement: Settlement, ids: IdSource
) -> bool:
    """Halt the account and raise the alarm when its orders are refused for where they come from; True if it did.

    An operator resumes it once the address is registered with the broker. A halt that is in force already stays.
    """
    if not isinstance(outcome, Refused) or not outcome.address_refused:
        return False
    day, said = task.trade_date.isoformat(), {"message": outcome.message}
    await settlement.raise_alarm(
        tx, Alarm.ADDRESS_REFUSED, account_id=task.account_id, alarm_id=ids.uuid(), subject=day, data=said
    )
    if await find_halt(tx, scope=task.account_id) is not None:
        return False
    reason = f"the broker said: {outcome.message}"
    await set_halt(tx, scope=task.account_id, mode="halt", reason=reason, set_by=PRINCIPAL)
    await write_audit(
        tx,
        entry_id=ids.uuid(),
        principal=PRINCIPAL,
        action="kill",
        subject=task.account_id,
        request_id=None,
        before=None,
        after={"mode": "halt", "reason": reason},
    )
    logger.error("account {} is halted: {}", task.account_id, reason)
    return True
