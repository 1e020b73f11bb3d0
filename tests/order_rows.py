"""Rows of the order tables as a test needs them, stored without the engine, so that one statement is tried alone."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from typing import Any, TypeAlias

from psycopg import sql
from psycopg.types.json import Jsonb

from app.db.postgres import Database, Tx

LATER, LONG_AGO, A_MINUTE_AGO = timedelta(hours=1), timedelta(hours=-1), timedelta(minutes=-1)

Row: TypeAlias = Mapping[str, Any]
"""Columns that differ from the usual. A timedelta is from now: the same moment in all of a transaction."""


class _Undone(Exception):
    pass


@contextlib.asynccontextmanager
async def undone(database: Database) -> AsyncIterator[Tx]:
    """A transaction of which nothing is kept."""
    with contextlib.suppress(_Undone):
        async with database.transaction() as tx:
            yield tx
            raise _Undone


async def insert_task(tx: Tx, changes: Row) -> None:
    """A placement of ten INFY that was stored a minute ago and may be sent; ``changes`` has its id."""
    request = {"exchange": "NSE", "tradingsymbol": "INFY", "transaction_type": "BUY", "quantity": 10, "product": "MIS",
               "order_type": "LIMIT", "price": "1400"}  # fmt: skip
    usual = {
        "account_id": "primary",
        "operation": "place",
        "status": "pending",
        "trade_date": timedelta(0),
        "instrument": "NSE:INFY",
        "tag_base": f"SV{changes['task_id'].int:017}",
        "priority": 2,
        "send_by": LATER,
        "not_before": LONG_AGO,
        "created_at": A_MINUTE_AGO,
    }
    changed = {**request, **changes.get("request", {})}
    await insert(tx, "order_task", {**usual, **changes, "request": changed})


async def insert_order(tx: Tx, changes: Row) -> None:
    """A row of the order book: ten INFY bought, open, nothing filled, last changed a minute ago."""
    document = {"exchange": "NSE", "tradingsymbol": "INFY", "transaction_type": "BUY", "quantity": 10, "product": "MIS"}
    usual = {
        "account_id": "primary",
        "trade_date": timedelta(0),
        "order_id": "7",
        "status": "OPEN",
        "state": "open",
        "filled_quantity": 0,
        "average_price": 0,
        "content_hash": b"",
        "updated_at": A_MINUTE_AGO,
    }
    changed = {**document, **changes.get("document", {})}
    await insert(tx, "broker_order", {**usual, **changes, "document": changed})


async def insert_batch(tx: Tx, changes: Row) -> None:
    """A batch that is being placed, with rollback; ``changes`` has its id."""
    usual = {
        "account_id": "primary",
        "status": "running",
        "rollback_on_failure": True,
        "on_filled": "report",
        "total_orders": 2,
        "deadline_at": LATER,
    }
    await insert(tx, "batch", {**usual, **changes})


async def insert(tx: Tx, table: str, row: Row) -> None:
    """One row with these columns."""
    cursor = await tx.execute("SELECT now()")
    (now,) = await cursor.fetchone() or ()
    values = [now + value if isinstance(value, timedelta) else value for value in row.values()]
    statement = sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(
        sql.Identifier(table),
        sql.SQL(", ").join(map(sql.Identifier, row)),
        sql.SQL(", ").join(sql.Placeholder() for _ in row),
    )
    await tx.execute(statement, [Jsonb(value) if isinstance(value, (dict, list)) else value for value in values])
