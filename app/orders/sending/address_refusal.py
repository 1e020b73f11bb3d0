"""What follows when the broker refuses an order because of this replica's address, or takes one from it.

Another replica may have an address that the broker takes: then the account is handed over, and the refused task goes
back to ``pending``, once. Where no other replica could send, every further order would be refused too, so the account
is halted.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from loguru import logger

from app.broker.outcomes import Accepted, Refused, SendOutcome, Sent
from app.db.postgres import Tx
from app.kit.ids import IdSource
from app.orders.risk.halt_store import find_halt
from app.orders.risk.halt_writer import write_halt
from app.orders.risk.halts import SERVICE
from app.orders.sending import egress_store
from app.orders.state.alarms import Alarm
from app.orders.state.audit import Actor
from app.orders.state.egress import Egress
from app.orders.state.lifecycle import Event
from app.orders.state.model import Task, TaskError
from app.orders.state.order_parts import AccountParts
from app.orders.state.settlement import Settlement
from app.orders.state.verdicts import Verdict

_BY = Actor(principal=SERVICE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Noted:
    """What ``AddressRecord.note`` has written."""

    accepted: bool = False  # that the broker takes orders from the address
    hands_over: bool = False  # the end of this replica's lease term
    verdict: Verdict | None = None  # about the task, where it is another than that of the outcome alone


class AddressRecord:
    """What this replica learns of its address by the outcomes of one account's requests, in one lease term."""

    def __init__(self, parts: AccountParts) -> None:
        self._account_id = parts.account_id
        self._settlement = parts.settlement
        self._settings = parts.settings
        self._term = parts.term
        self._ids = parts.ids
        self._egress = Egress.of(parts.settings, replica=parts.term.lease.owner)
        self._is_accepted = False  # an acceptance is stored

    async def note(self, tx: Tx, task: Task, outcome: SendOutcome) -> Noted:
        """Store what the outcome says of the address, and what follows; the caller has the account's lock.

        After the commit the caller passes the returned value to ``committed``.
        """
        if isinstance(outcome, Accepted) and not self._is_accepted:
            await egress_store.store_acceptance(tx, self._account_id, self._egress.address)
            return Noted(accepted=True)
        if not isinstance(outcome, Refused) or not outcome.address_refused:
            return Noted()
        cool_down_s, address = self._settings.egress_cool_down_s, self._egress.address
        await egress_store.store_refusal(
            tx, self._account_id, address, message=outcome.message, cool_down_s=cool_down_s
        )
        if not await egress_store.another_may_send(tx, self._account_id, self._egress):
            await halt_for_addresses(
                tx,
                self._account_id,
                day=task.trade_date,
                message=outcome.message,
                settlement=self._settlement,
                ids=self._ids,
            )
            return Noted()
        # in this transaction, so that this process cannot claim again what it gives back
        await self._term.lease.end(tx)
        if await egress_store.was_returned(tx, task.task_id, attempt=task.attempts):
            return Noted(hands_over=True)
        broker = {"error_type": outcome.error_type, "message": outcome.message, "http_status": outcome.http_status}
        error = TaskError(code="ADDRESS_REFUSED", message=outcome.message, broker=broker)
        return Noted(hands_over=True, verdict=Verdict(event=Event.RETURNED, sent=Sent.NO, error=error))

    def committed(self, noted: Noted) -> None:
        """What ``note`` has written is stored: the loops of this term end, if the account was handed over."""
        self._is_accepted |= noted.accepted
        if noted.hands_over:
            self._term.give_up()


async def halt_for_addresses(
    tx: Tx, account_id: str, *, day: date, message: str, settlement: Settlement, ids: IdSource
) -> None:
    """Halt the account, for which no replica may send, and raise an alarm. The caller has the account's lock.

    An operator resumes it once an address is registered with the broker. An older halt stays as it is.
    """
    await settlement.raise_alarm(
        tx,
        Alarm.ADDRESS_REFUSED,
        account_id=account_id,
        alarm_id=ids.uuid(),
        subject=day.isoformat(),
        data={"message": message},
    )
    if await find_halt(tx, scope=account_id) is not None:
        return
    reason = f"no replica has an address from which the broker takes orders: {message}"
    await write_halt(tx, scope=account_id, mode="halt", reason=reason, by=_BY, entry_id=ids.uuid(), details={})
    logger.bind(account_id=account_id, action="halt", reason=reason).error("account halted")
