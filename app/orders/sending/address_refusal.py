"""Halts an account when the broker refuses its orders as a whole: every further order would be refused too."""

from __future__ import annotations

from loguru import logger

from app.broker.outcomes import Refused, SendOutcome
from app.db.postgres import Tx
from app.kit.ids import IdSource
from app.orders.risk.halt_store import find_halt
from app.orders.risk.halt_writer import write_halt
from app.orders.risk.halts import SERVICE
from app.orders.state.alarms import Alarm
from app.orders.state.audit import Actor
from app.orders.state.model import Task
from app.orders.state.settlement import Settlement

_BY = Actor(principal=SERVICE)


async def halt_if_address_refused(
    tx: Tx, task: Task, outcome: SendOutcome, *, settlement: Settlement, ids: IdSource
) -> None:
    """Halt the account and raise an alarm when the broker refuses orders from this machine's address.

    An operator resumes it once the address is registered with the broker. An older halt stays as it is.
    """
    if not isinstance(outcome, Refused) or not outcome.address_refused:
        return
    account_id, day, answer = task.account_id, task.trade_date.isoformat(), {"message": outcome.message}
    await settlement.raise_alarm(
        tx, Alarm.ADDRESS_REFUSED, account_id=account_id, alarm_id=ids.uuid(), subject=day, data=answer
    )
    if await find_halt(tx, scope=account_id) is not None:
        return
    reason = f"the broker said: {outcome.message}"
    await write_halt(tx, scope=account_id, mode="halt", reason=reason, by=_BY, entry_id=ids.uuid(), details={})
    fields = {"account_id": account_id, "task_id": task.task_id, "batch_id": task.batch_id, "action": task.operation}
    logger.bind(**fields, reason=reason).error("account halted: the broker takes no orders from this address")
