"""What a new connection of the order engine does before its first order.

PostgreSQL plans a statement the first time that a connection runs it, which takes several times as long as running it.
An account that places ten orders a day would pay that with nearly each of them; so the statements between an accepted
order and the broker are run once beforehand, for an account that does not exist.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from uuid import UUID

from psycopg.errors import ReadOnlySqlTransaction

from app.db.postgres import Tx
from app.orders.batches import batch_store
from app.orders.reconciliation import overdue_store, read_schedule_store
from app.orders.sending import claim_store, claim_terms
from app.orders.state import order_store, task_store
from app.orders.state.model import Operation

_NOBODY = ""
_LONG_AGO = datetime.min.replace(tzinfo=UTC)


async def rehearse(tx: Tx) -> None:
    """Have the slow statements planned on this connection. Finds nothing and changes nothing."""
    terms = claim_terms.ClaimTerms(
        guard={"lease_name": _NOBODY, "lease_owner": _NOBODY, "lease_term": 0},
        owner=_NOBODY,
        block_s=0.0,
        known_since=None,
        operations=tuple(Operation),
        places_pass=True,
        halt_doubts=1,
        halt_doubt_age_s=0.0,
    )
    try:
        await claim_store.peek(tx, _NOBODY, terms)
        await claim_store.claim_next(tx, _NOBODY, terms, claim_s=0.0)
        await overdue_store.glance(tx, _NOBODY, gone_day=date.min, kind="", older_s=0.0, known_since=None)
        await order_store.known_ids(tx, _NOBODY, since=_LONG_AGO, before=_LONG_AGO)
        await read_schedule_store.outlook(tx, _NOBODY, trade_date=date.min)
        await task_store.unresolved(tx, _NOBODY, since=date.min)
        await task_store.lock(tx, UUID(int=0))
        await batch_store.open_batches(tx, _NOBODY)
    except ReadOnlySqlTransaction:
        return  # a server that takes no writes now: whoever uses the connection is told so
