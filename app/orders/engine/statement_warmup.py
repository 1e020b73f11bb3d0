"""Runs the statements of the order path once on each new connection, before its first order.

PostgreSQL plans a statement when a connection first runs it, and planning takes several times as long as running. With
ten orders a day nearly every order would wait for that. So the statements between an accepted order and the broker are
run beforehand, for an account that does not exist.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from uuid import UUID

from psycopg.errors import ReadOnlySqlTransaction

from app.broker.orders import Operation
from app.db.postgres import Tx
from app.orders.batches import batch_store
from app.orders.reconciliation import overdue_store, read_schedule_store
from app.orders.sending import claim_parameters, claim_store
from app.orders.state import order_store, task_store

_NO_ACCOUNT = ""
_LONG_AGO = datetime.min.replace(tzinfo=UTC)


async def warm_up(tx: Tx) -> None:
    """Let PostgreSQL plan the slow statements on this connection. They find nothing and change nothing."""
    terms = claim_parameters.ClaimTerms(
        guard={"lease_name": _NO_ACCOUNT, "lease_owner": _NO_ACCOUNT, "lease_term": 0, "lease_generation": 0},
        owner=_NO_ACCOUNT,
        block_s=0.0,
        known_since=None,
        book_read_at=None,
        operations=tuple(Operation),
        places_pass=True,
        halt_doubts=1,
        halt_doubt_age_s=0.0,
    )
    try:
        await claim_store.peek(tx, _NO_ACCOUNT, terms)
        await claim_store.claim_next(tx, _NO_ACCOUNT, terms, claim_s=0.0)
        await overdue_store.find_due_work(tx, _NO_ACCOUNT, gone_day=date.min, kind="", older_s=0.0, known_since=None)
        await order_store.known_ids(tx, _NO_ACCOUNT, since=_LONG_AGO, before=_LONG_AGO)
        await read_schedule_store.read_schedule(tx, _NO_ACCOUNT, trade_date=date.min)
        await task_store.unresolved(tx, _NO_ACCOUNT, since=date.min)
        await task_store.lock(tx, UUID(int=0))
        await batch_store.open_batches(tx, _NO_ACCOUNT)
    except ReadOnlySqlTransaction:
        return  # the server takes no writes now; the first caller that writes gets the error
