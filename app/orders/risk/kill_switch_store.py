"""The kill switch: an operator's word that stops new orders, for all accounts or for one. Cancels always pass.

It is a row that the claim statement itself looks at, so it holds from the next claim on, on every replica. ``halt``
stops everything but cancels; ``reduce_only`` also lets through what is proven to make a position smaller.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from psycopg.rows import class_row

from app.db.postgres import Tx

ALL_ACCOUNTS = "*"
Mode = Literal["halt", "reduce_only"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Halt:
    """A switch that is in force. ``scope`` is an account id or ``*``."""

    scope: str
    mode: Mode
    reason: str
    set_by: str
    set_at: datetime


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


async def set_halt(tx: Tx, *, scope: str, mode: Mode, reason: str, set_by: str) -> None:
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
