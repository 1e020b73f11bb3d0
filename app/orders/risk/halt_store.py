"""SQL of the kill switch. The claim statement reads these rows itself, so no claim after the commit passes a halt."""

from __future__ import annotations

from datetime import date

from psycopg.rows import class_row

from app.db.postgres import Tx
from app.orders.risk.halts import Halt, HaltMode
from app.orders.state.task_store import DAYS_AHEAD

_COLUMNS = "scope, mode, reason, set_by, set_at"


async def halt_in_force(tx: Tx, account_id: str) -> Halt | None:
    """The halt that stops this account now, or None; the stricter one where the account and all accounts have one."""
    async with tx.cursor(row_factory=class_row(Halt)) as cursor:
        await cursor.execute(
            f"SELECT {_COLUMNS} FROM kill_switch WHERE scope IN ('*', %s) ORDER BY mode, scope LIMIT 1",
            (account_id,),
        )
        return await cursor.fetchone()


async def find_halt(tx: Tx, *, scope: str) -> Halt | None:
    """The halt of exactly this scope, or None."""
    async with tx.cursor(row_factory=class_row(Halt)) as cursor:
        await cursor.execute(f"SELECT {_COLUMNS} FROM kill_switch WHERE scope = %s", (scope,))
        return await cursor.fetchone()


async def list_halts(tx: Tx) -> list[Halt]:
    """Every halt that is in force, by scope."""
    async with tx.cursor(row_factory=class_row(Halt)) as cursor:
        await cursor.execute(f"SELECT {_COLUMNS} FROM kill_switch ORDER BY scope")
        return await cursor.fetchall()


async def set_halt(tx: Tx, *, scope: str, mode: HaltMode, reason: str, set_by: str) -> None:
    """Set or replace the halt of a scope. No claim that begins after the commit passes it."""
    await tx.execute(
        """INSERT INTO kill_switch (scope, mode, reason, set_by) VALUES (%s, %s, %s, %s)
           ON CONFLICT (scope) DO UPDATE SET mode = excluded.mode, reason = excluded.reason,
             set_by = excluded.set_by, set_at = clock_timestamp()""",
        (scope, mode, reason, set_by),
    )


async def lift_halt(tx: Tx, *, scope: str) -> bool:
    """Remove the halt of a scope. Returns whether there was one."""
    cursor = await tx.execute("DELETE FROM kill_switch WHERE scope = %s", (scope,))
    return cursor.rowcount == 1


async def accounts_since(tx: Tx, *, day: date) -> list[str]:
    """Every account with an order of this day or a later one, of this service or another application."""
    cursor = await tx.execute(
        f"""SELECT account_id FROM broker_order
              WHERE trade_date BETWEEN %(day)s AND %(day)s::date + {DAYS_AHEAD}
            UNION SELECT account_id FROM order_task
              WHERE trade_date BETWEEN %(day)s AND %(day)s::date + {DAYS_AHEAD} ORDER BY account_id""",
        {"day": day},
    )
    return [row[0] for row in await cursor.fetchall()]
