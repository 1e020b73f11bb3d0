"""Claims one account's tasks for sending: finds the next one, and commits that this process sends it.

The claim is committed before a byte leaves, so any later owner of the account knows that the task may have left.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import replace

from app.broker.orders import Operation
from app.orders.sending import claim_store
from app.orders.sending.account_breakers import AccountBreakers
from app.orders.sending.claim_parameters import ClaimTerms, NextTask, claim_terms
from app.orders.sending.price_guard import PriceGuard
from app.orders.state.model import Task
from app.orders.state.order_parts import AccountParts


class Claims:
    """The claims of one account's sender.

    ``capacity`` names the operations of which the sender may start one more request. Those that a breaker stops are
    left out here.
    """

    def __init__(self, parts: AccountParts, *, breakers: AccountBreakers, prices: PriceGuard) -> None:
        self._account_id = parts.account_id
        self._term = parts.term
        self._database = parts.database
        self._settings = parts.settings
        self._breakers = breakers
        self._prices = prices

    async def peek(self, capacity: Collection[Operation]) -> NextTask | None:
        """The task that should be sent next, or None. Raises Unavailable."""
        allowed = self._allowed(capacity)
        terms = replace(self._terms(allowed, allowed), waiting_for_price=self._prices.waiting)
        async with self._database.connection() as connection:
            return await claim_store.peek(connection, self._account_id, terms)

    async def price_passes(self, following: NextTask, requests: asyncio.TaskGroup) -> bool:
        """Whether the last price lets this task be sent, see ``PriceGuard.passes``. Raises Unavailable."""
        return await self._prices.passes(following, requests)

    async def claim(
        self, operation: Operation, *, capacity: Collection[Operation], following: NextTask | None = None
    ) -> Task | None:
        """Claim the next task and commit, or return None when no task can be sent any more. Raises Unavailable.

        The task may be of another operation only if that one is more urgent, because the rate limit was asked for
        ``operation``. ``following`` is what ``peek`` returned: a task with price bounds is claimed only on the same
        instrument, because only that one's last price goes along, and none without ``following``.
        """
        allowed = self._allowed(capacity)
        wanted = [kind for kind in allowed if kind.priority <= operation.priority]
        priced = None if following is None else self._prices.price_for(following)
        terms = replace(self._terms(wanted, allowed), priced=priced)
        async with self._database.connection() as connection:  # the statement commits by itself
            task = await claim_store.claim_next(
                connection,
                self._account_id,
                terms,
                claim_s=self._settings.claim_lease_s,
                lease=self._term.lease,
            )
        if task is not None:
            self._prices.forget(task.task_id)
        return task

    def _allowed(self, capacity: Collection[Operation]) -> list[Operation]:
        return [kind for kind in capacity if not self._breakers.stops(kind)]

    def _terms(self, wanted: Sequence[Operation], allowed: Sequence[Operation]) -> ClaimTerms:
        return claim_terms(self._term, wanted, places_pass=Operation.PLACE in allowed, settings=self._settings)
