"""SQL of the kill switch: a row that the claim statement itself reads, so a halt holds from the next claim on."""

from __future__ import annotations

from datetime import date

from psycopg.rows import class_row

from app.db.postgres import Tx
from app.orders.risk.halts import Halt, HaltMode

MANY_DOUBTS = """(SELECT count(*) >= %(halt_doubts)s
    OR coalesce(min(d.last_sent_at) < clock_timestamp() - make_interval(secs => %(halt_doubt_age_s)s), false)
  FROM order_task d
  WHERE d.account_id = %(account_id)s AND d.operation <> 'cancel' AND d.status = 'in_doubt')"""
"""Whether so much is unknown that nothing may be added; cancels do not count, repeating them does no harm."""

_COLUMNS = "scope, mode, reason, set_by, set_at"


async def halt_in_force(tx: Tx, account_id: str) -> Halt | None:
    """What stops this account now; the stricter one when both its own and the global switch are set."""
    async with tx.cursor(row_factory=class_row(Halt)) as cursor:
        await cursor.execute(
            f"SELECT {_COLUMNS} FROM kill_switch WHERE scope IN ('*', %s) ORDER BY mode, scope LIMIT 1",
            (account_id,),
        )
        return await cursor.fetchone()


async def find_halt(tx: Tx, *, scope: str) -> Halt | None:
    """The switch of exactly this scope."""
    async with tx.cursor(row_factory=class_row(Halt)) as cursor:
        await cursor.execute(f"SELECT {_COLUMNS} FROM kill_switch WHERE scope = %s", (scope,))
        return await cursor.fetchone()


async def list_halts(tx: Tx) -> list[Halt]:
    async with tx.cursor(row_factory=class_row(Halt)) as cursor:
        await cursor.execute(f"SELECT {_COLUMNS} FROM kill_switch ORDER BY scope")
        return await cursor.fetchall()


async def set_halt(tx: Tx, *, scope: str, mode: HaltMode, reason: str, set_by: str) -> None:
    """In force from the commit on: no claim that begins later passes it."""
    await tx.execute(
        """INSERT INTO kill_switch (scope, mode, reason, set_by) VALUES (%s, %s, %s, %s)
           ON CONFLICT (scope) DO UPDATE SET mode = excluded.mode, reason = excluded.reason,
             set_by = excluded.set_by, set_at = clock_timestamp()""",
        (scope, mode, reason, set_by),
    )


async def lift_halt(tx: Tx, *, scope: str) -> bool:
    """Returns whether there was one."""
    cursor = await tx.execute("DELETE FROM kill_switch WHERE scope = %s", (scope,))
    return cursor.rowcount == 1


async def many_doubts(tx: Tx, account_id: str, *, halt_doubts: int, halt_doubt_age_s: float) -> bool:
    """Whether the account may place nothing new until its doubts are resolved."""
    cursor = await tx.execute(
        f"SELECT {MANY_DOUBTS}",
        {"account_id": account_id, "halt_doubts": halt_doubts, "halt_doubt_age_s": halt_doubt_age_s},
    )
    row = await cursor.fetchone()
    return row is not None and bool(row[0])


async def accounts_of_day(tx: Tx, *, trade_date: date) -> list[str]:
    """Every account that had an order today, ours or not."""
    cursor = await tx.execute(
        """SELECT account_id FROM broker_order WHERE trade_date = %(day)s
           UNION SELECT account_id FROM order_task WHERE trade_date = %(day)s ORDER BY account_id""",
        {"day": trade_date},
    )
    return [row[0] for row in await cursor.fetchall()]
