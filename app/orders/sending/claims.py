"""Claims one account's tasks for sending: which may go next, and the commit that makes one ours.

The claim is committed before a byte leaves, so any later owner of the account knows that the task may have left.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from app.broker.orders import Operation
from app.orders.sending import claim_store
from app.orders.sending.account_breakers import AccountBreakers
from app.orders.sending.claim_terms import ClaimTerms, claim_terms
from app.orders.state.model import Task
from app.orders.state.parts import AccountParts


class Claims:
    """``capacity`` is in each call: the operations of which one more request may be started now.

    Operations that a breaker stops are left out; cancels have no breaker.
    """

    def __init__(self, parts: AccountParts, *, breakers: AccountBreakers) -> None:
        self._account_id = parts.account_id
        self._term = parts.term
        self._database = parts.database
        self._settings = parts.settings
        self._breakers = breakers

    async def peek(self, capacity: Collection[Operation]) -> Operation | None:
        """The operation of the task that should go next; None when there is none. Raises Unavailable."""
        allowed = self._allowed(capacity)
        async with self._database.connection() as connection:
            return await claim_store.peek(connection, self._account_id, self._terms(allowed, allowed))

    async def claim(self, operation: Operation, *, capacity: Collection[Operation]) -> Task | None:
        """Claim the next task of this priority or a more urgent one, and commit; None when there is none any more.

        Raises Unavailable.
        """
        allowed = self._allowed(capacity)
        wanted = [kind for kind in allowed if kind.priority <= operation.priority]
        async with self._database.connection() as connection:  # one statement is a transaction of its own
            return await claim_store.claim_next(
                connection, self._account_id, self._terms(wanted, allowed), claim_s=self._settings.claim_lease_s
            )

    def _allowed(self, capacity: Collection[Operation]) -> list[Operation]:
        return [kind for kind in capacity if not self._breakers.stops(kind)]

    def _terms(self, wanted: Sequence[Operation], allowed: Sequence[Operation]) -> ClaimTerms:
        return claim_terms(self._term, wanted, places_pass=Operation.PLACE in allowed, settings=self._settings)
