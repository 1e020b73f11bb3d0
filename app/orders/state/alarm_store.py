"""SQL of alarms: each is raised once per account, kind and subject."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from app.db.postgres import Tx
from app.orders.state.alarms import RaisedAlarm


async def raise_alarm(
    tx: Tx, account_id: str, *, alarm_id: UUID, kind: str, subject: str, data: Mapping[str, Any]
) -> bool:
    """Record an alarm, once per kind and subject. Returns False when this one was raised before."""
    cursor = await tx.execute(
        """INSERT INTO order_alarm (alarm_id, account_id, kind, subject, data) VALUES (%s, %s, %s, %s, %s)
           ON CONFLICT DO NOTHING""",
        (alarm_id, account_id, kind, subject, Jsonb(dict(data))),
    )
    return cursor.rowcount == 1


async def newest(tx: Tx, *, limit: int) -> list[RaisedAlarm]:
    """The newest alarms of all accounts, newest first, at most ``limit``."""
    async with tx.cursor(row_factory=class_row(RaisedAlarm)) as cursor:
        await cursor.execute(
            """SELECT account_id, kind, subject, data, raised_at FROM order_alarm
               ORDER BY raised_at DESC LIMIT %s""",
            (limit,),
        )
        return await cursor.fetchall()
