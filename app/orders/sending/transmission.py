"""Sends a claimed task to the broker, once.

Requests are never repeated here: a task that may go again is claimed again, with a new fence and a new tag.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from uuid import UUID

from app.broker.orders import Operation
from app.broker.outcomes import InDoubt, NotSent, SendOutcome, Throttled
from app.broker.port import Governor
from app.orders.sending.account_breakers import AccountBreakers
from app.orders.sending.outcome_rules import THROTTLE_COOL_DOWN_S
from app.orders.state.model import Task
from app.orders.state.parts import AccountParts

_SENDS_REMEMBERED = 10_000


class Transmission:
    """The way of one account's claimed tasks to its broker."""

    def __init__(self, parts: AccountParts, *, governor: Governor, breakers: AccountBreakers) -> None:
        self._term = parts.term
        self._gateway = parts.broker.orders
        self._settings = parts.settings
        self._clock = parts.clock
        self._governor = governor
        self._breakers = breakers
        self._sent: OrderedDict[UUID, int] = OrderedDict()  # by task the last fence under which bytes may have left

    async def send(self, task: Task, *, claim_began_at: float) -> SendOutcome:
        """What became of one request for the task; never raises for what the broker or the line does.

        ``claim_began_at``: on the monotonic clock, before the claim was committed. If that is too long ago, or the
        lease is no longer trusted, another process may be the owner by now, and nothing is sent.
        """
        await self._governor.depart()
        if self._clock.monotonic() - claim_began_at > self._settings.longest_pause_s or not self._term.lease.held:
            return NotSent(reason="this process was paused between the claim and the send")
        if self._was_sent(task):
            return InDoubt(reason="the database has forgotten that this was sent")
        return await self._call_once(task)

    def _was_sent(self, task: Task) -> bool:
        """A fence only rises, unless a standby was promoted that lacked our last commits, faster than our term ended:
        then the book of a new term is not asked, and only we know. Repeating a cancel does no harm."""
        return task.operation is not Operation.CANCEL and self._sent.get(task.task_id, 0) >= task.fence

    async def _call_once(self, task: Task) -> SendOutcome:
        """Send it, and remember that unless it is proven that nothing left."""
        self._sent[task.task_id] = task.fence
        if len(self._sent) > _SENDS_REMEMBERED:
            self._sent.popitem(last=False)
        outcome = await self._call(task)
        if isinstance(outcome, NotSent):
            self._sent.pop(task.task_id, None)
        self._breakers.record(task.operation, outcome)
        if isinstance(outcome, Throttled):
            self._governor.cool_down(THROTTLE_COOL_DOWN_S)
        return outcome

    async def _call(self, task: Task) -> SendOutcome:
        try:
            async with asyncio.timeout(self._settings.send_timeout_s):
                match task.operation:
                    case Operation.PLACE:
                        return await self._gateway.place(task.order, tag=task.tag)
                    case Operation.MODIFY:
                        return await self._gateway.modify(
                            str(task.target_order_id), variety=task.variety, changes=task.changes
                        )
                    case Operation.CANCEL:
                        return await self._gateway.cancel(
                            str(task.target_order_id),
                            variety=task.variety,
                            parent_order_id=task.parent_order_id,
                        )
        except TimeoutError:
            return InDoubt(reason=f"no answer within {self._settings.send_timeout_s:g} s")
