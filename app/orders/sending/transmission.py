"""Sends a claimed task to the broker, once.

A request is never repeated here. A task that may be sent again is claimed again, under a new fence and a new tag.
"""

from __future__ import annotations

import asyncio

from app.broker.orders import Operation
from app.broker.outcomes import InDoubt, NotSent, SendOutcome, Throttled
from app.broker.port import Governor
from app.orders.sending.account_breakers import AccountBreakers
from app.orders.sending.outcome_rules import THROTTLE_COOL_DOWN_S
from app.orders.state.model import Task
from app.orders.state.order_parts import AccountParts


class Transmission:
    """Sends the claimed tasks of one account."""

    def __init__(self, parts: AccountParts, *, governor: Governor, breakers: AccountBreakers) -> None:
        self._term = parts.term
        self._gateway = parts.broker.orders
        self._settings = parts.settings
        self._clock = parts.clock
        self._governor = governor
        self._breakers = breakers
        self._sends = parts.settlement.sends

    async def send(self, task: Task, *, claim_began_at: float) -> SendOutcome:
        """Send one request and return its outcome. Failures of the broker or the network are outcomes, not exceptions.

        ``claim_began_at``: on the monotonic clock, before the claim was committed. If that is too long ago, or the
        lease is no longer trusted, another process may own the account by now, and nothing is sent.
        """
        await self._governor.depart()
        if self._clock.monotonic() - claim_began_at > self._settings.claim_to_send_s or not self._term.lease.held:
            return NotSent(reason="this process was paused between the claim and the send")
        if self._was_sent(task):
            return InDoubt(reason="the database has forgotten that this was sent")
        return await self._call_once(task)

    def _was_sent(self, task: Task) -> bool:
        """Whether this process has sent the task under this fence or a later one before.

        That can only be if the database lost the commits of that claim: a standby was promoted that lacked them, and
        faster than the lease term ended. No new term reads the book then, and only this process knows of the request.
        Cancels are not checked, because repeating one does no harm.
        """
        return task.operation is not Operation.CANCEL and self._sends.sent_after(task, task.fence - 1)

    async def _call_once(self, task: Task) -> SendOutcome:
        """Send the request, and remember it unless it is proven that no byte left."""
        self._sends.remember(task)
        outcome = await self._call(task)
        if isinstance(outcome, NotSent):
            self._sends.forget(task)
        self._breakers.record(task.operation, outcome)
        if isinstance(outcome, Throttled):
            self._governor.cool_down(THROTTLE_COOL_DOWN_S)
        return outcome

    async def _call(self, task: Task) -> SendOutcome:
        """The request of the task's operation; no answer in time is a doubt."""
        try:
            async with asyncio.timeout(self._settings.send_timeout_s):
                match task.operation:
                    case Operation.PLACE:
                        return await self._gateway.place(task.order, tag=task.tag)
                    case Operation.MODIFY:
                        return await self._gateway.modify(
                            str(task.target_order_id),
                            variety=task.variety,
                            changes=task.changes,
                            parent_order_id=task.parent_order_id,
                        )
                    case Operation.CANCEL:
                        return await self._gateway.cancel(
                            str(task.target_order_id),
                            variety=task.variety,
                            parent_order_id=task.parent_order_id,
                        )
        except TimeoutError:
            return InDoubt(reason=f"no answer within {self._settings.send_timeout_s:g} s")
