"""SQL of an account's recovery: its row, the rows of the book that no task explains, and the tasks made of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from app.db.postgres import Tx
from app.orders.recovery.adoption import AdoptedOrder
from app.orders.state.alarms import Alarm
from app.orders.state.attempt_outcomes import AttemptOutcome
from app.orders.state.documents import children_json


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """A row of ``account_recovery``."""

    account_id: str
    sign: str  # why it began
    began_at: datetime
    quiet_from: datetime  # no older owner can have sent an order after this
    clean_reads: int  # clean reads of the book that began after ``quiet_from``
    ended_at: datetime | None  # None while it goes on
    dismissed: list[str]  # orders without a tag that an operator calls none of this service

    @property
    def is_over(self) -> bool:
        return self.ended_at is not None


_COLUMNS = "account_id, sign, began_at, quiet_from, clean_reads, ended_at, dismissed"


async def find(tx: Tx, account_id: str) -> Recovery | None:
    """The account's newest recovery; None for an account that never had one."""
    async with tx.cursor(row_factory=class_row(Recovery)) as cursor:
        await cursor.execute(f"SELECT {_COLUMNS} FROM account_recovery WHERE account_id = %s", (account_id,))
        return await cursor.fetchone()


async def list_all(tx: Tx) -> list[Recovery]:
    """The newest recovery of each account, by account."""
    async with tx.cursor(row_factory=class_row(Recovery)) as cursor:
        await cursor.execute(f"SELECT {_COLUMNS} FROM account_recovery ORDER BY account_id")
        return await cursor.fetchall()


async def begin(tx: Tx, account_id: str, *, sign: str, quiet_s: float) -> None:
    """Begin a recovery, or begin its window anew where one goes on already.

    ``quiet_s``: for so many seconds from now on an older owner may still send.
    """
    await tx.execute(
        """INSERT INTO account_recovery AS r (account_id, sign, quiet_from)
           VALUES (%(account_id)s, %(sign)s, clock_timestamp() + make_interval(secs => %(quiet_s)s))
           ON CONFLICT (account_id) DO UPDATE SET
             sign = CASE WHEN r.ended_at IS NULL THEN r.sign ELSE excluded.sign END,
             began_at = CASE WHEN r.ended_at IS NULL THEN r.began_at ELSE clock_timestamp() END,
             quiet_from = excluded.quiet_from, clean_reads = 0, ended_at = NULL""",
        {"account_id": account_id, "sign": sign, "quiet_s": quiet_s},
    )


async def count_clean_read(tx: Tx, account_id: str) -> None:
    """One more clean read of the book that began when no older owner could send any more."""
    await tx.execute("UPDATE account_recovery SET clean_reads = clean_reads + 1 WHERE account_id = %s", (account_id,))


async def end(tx: Tx, account_id: str) -> None:
    """The recovery is over."""
    await tx.execute("UPDATE account_recovery SET ended_at = clock_timestamp() WHERE account_id = %s", (account_id,))


async def dismiss(tx: Tx, account_id: str, order_id: str) -> bool:
    """Note that an order without a tag is none of this service; False for an account that never recovered."""
    cursor = await tx.execute(
        """UPDATE account_recovery SET dismissed = dismissed || %(order_id)s::text
           WHERE account_id = %(account_id)s AND NOT dismissed @> ARRAY[%(order_id)s::text]""",
        {"account_id": account_id, "order_id": order_id},
    )
    return cursor.rowcount == 1 or await find(tx, account_id) is not None


async def is_empty(tx: Tx) -> bool:
    """Whether no order was ever accepted here."""
    cursor = await tx.execute("SELECT NOT EXISTS (SELECT 1 FROM order_task)")
    row = await cursor.fetchone()
    return row is not None and bool(row[0])


async def insert_adopted(tx: Tx, adopted: AdoptedOrder, *, task_id: UUID, account_id: str) -> None:
    """Store the task of orders that were found in the book, with the attempts under which they were sent."""
    await tx.execute(
        """INSERT INTO order_task (task_id, account_id, operation, status, purpose, trade_date, instrument, request,
             tag_base, priority, attempts, sent, send_by, order_id, children, finished_at)
           VALUES (%s, %s, 'place', 'completed', 'recovered', %s, %s, %s, %s, 2, %s, 'yes', clock_timestamp(), %s, %s,
             clock_timestamp())""",
        (
            task_id,
            account_id,
            adopted.trade_date,
            adopted.request.instrument,
            Jsonb(adopted.request.to_json()),
            adopted.tag_base,
            adopted.attempts,
            adopted.order_ids[0],
            Jsonb(children_json(adopted.children)),
        ),
    )
    await _insert_attempts(tx, adopted, task_id=task_id)


async def widen_adopted(tx: Tx, adopted: AdoptedOrder, *, task_id: UUID) -> None:
    """The same for a task whose further slices the book has shown since."""
    await tx.execute(
        "UPDATE order_task SET request = %s, children = %s, attempts = greatest(attempts, %s) WHERE task_id = %s",
        (Jsonb(adopted.request.to_json()), Jsonb(children_json(adopted.children)), adopted.attempts, task_id),
    )
    await _insert_attempts(tx, adopted, task_id=task_id)


async def _insert_attempts(tx: Tx, adopted: AdoptedOrder, *, task_id: UUID) -> None:
    """By these rows the next owner counts what was sent today."""
    async with tx.cursor() as cursor:
        await cursor.executemany(
            f"""INSERT INTO order_attempt (task_id, attempt, tag, fence, started_at, outcome, order_id, finished_at)
                VALUES (%s, %s, %s, 0, coalesce(%s, clock_timestamp()), '{AttemptOutcome.ACCEPTED}', %s,
                  clock_timestamp())
                ON CONFLICT DO NOTHING""",
            [(task_id, int(tag[-1]), tag, placed_at, order_id) for tag, order_id, placed_at in adopted.sends],
        )


async def reported_orphans(tx: Tx, account_id: str, order_ids: Sequence[str]) -> set[str]:
    """Those of these orders that have the alarm of an order without a task."""
    cursor = await tx.execute(
        f"""SELECT subject FROM order_alarm
            WHERE account_id = %s AND kind = '{Alarm.ORPHAN}' AND subject = ANY(%s)""",
        (account_id, list(order_ids)),
    )
    return {row[0] for row in await cursor.fetchall()}


async def ids_without_tag(tx: Tx, recovery: Recovery) -> Sequence[str]:
    """The orders without any tag that the book first showed while orders may have been forgotten, undismissed."""
    cursor = await tx.execute(
        """SELECT order_id FROM broker_order
           WHERE account_id = %s AND task_id IS NULL AND tag IS NULL AND document -> 'tags' = '[]'::jsonb
             AND first_seen_at >= %s::timestamptz - interval '1 minute'
             AND first_seen_at <= coalesce(%s, clock_timestamp()) AND NOT order_id = ANY(%s) ORDER BY order_id""",
        (recovery.account_id, recovery.began_at, recovery.ended_at, recovery.dismissed),
    )
    return [row[0] for row in await cursor.fetchall()]
