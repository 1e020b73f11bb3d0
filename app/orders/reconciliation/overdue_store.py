"""SQL of what time alone decides: expired claims and tasks, replacements that are obsolete, doubts of past days."""

from __future__ import annotations

from datetime import date, datetime

from app.db.postgres import Tx
from app.orders.reconciliation.read_schedule import DueWork
from app.orders.state.model import Task
from app.orders.state.replacement_store import IS_OBSOLETE
from app.orders.state.task_store import COLUMNS, NOT_SHOWN, OPEN, fetch_tasks

_CLAIM_EXPIRED = "status = 'running' AND claimed_until < clock_timestamp()"
_EXPIRED = """status IN ('pending', 'held', 'retrying') AND send_by <= clock_timestamp()
  AND (operation <> 'place' OR created_at > coalesce(%(known_since)s::timestamptz, '-infinity'))
  AND (operation = 'cancel' OR NOT EXISTS (
    SELECT 1 FROM account_recovery r WHERE r.account_id = %(account_id)s AND r.ended_at IS NULL))"""
_OBSOLETE = f"""status IN ('pending', 'held', 'retrying') AND t.replaces IS NOT NULL AND {IS_OBSOLETE}
  AND created_at > coalesce(%(known_since)s::timestamptz, '-infinity')"""
_OF_GONE_DAY = "status = 'in_doubt' AND trade_date <= %(gone_day)s"
_WITHOUT_ALARM = """status = 'in_doubt' AND last_sent_at < clock_timestamp() - make_interval(secs => %(older_s)s)
  AND NOT EXISTS (SELECT 1 FROM order_alarm a WHERE a.account_id = t.account_id AND a.kind = %(kind)s
                    AND a.subject = t.task_id::text)"""


async def find_due_work(
    tx: Tx, account_id: str, *, gone_day: date, kind: str, older_s: float, known_since: datetime | None
) -> DueWork:
    """What is due before a read of the book, in one round trip; the functions below list the tasks.

    ``gone_day``: the newest day whose book is gone. ``kind``, ``older_s``: as in ``doubts_without_alarm``.
    ``known_since``: as in ``expired_tasks``.
    """
    cursor = await tx.execute(
        f"""SELECT clock_timestamp(), EXISTS (
              SELECT 1 FROM order_task t WHERE account_id = %(account_id)s AND status IN {OPEN}
                AND ({_CLAIM_EXPIRED} OR {_EXPIRED} OR {_OBSOLETE} OR {_OF_GONE_DAY} OR {_WITHOUT_ALARM})),
              (SELECT max(created_at) FROM order_task WHERE account_id = %(account_id)s AND purpose = 'replace'
                 AND status IN ('pending', 'retrying'))""",
        {
            "account_id": account_id,
            "gone_day": gone_day,
            "kind": kind,
            "older_s": older_s,
            "known_since": known_since,
        },
    )
    row = await cursor.fetchone()
    if row is None:
        raise LookupError("the query of what is due returned no row")
    return DueWork(now=row[0], overdue=row[1], replacement_at=row[2])


async def expired_claims(tx: Tx, account_id: str) -> list[Task]:
    """Running tasks whose sender stored no answer before its claim ended: it died, or was paused for too long."""
    return await fetch_tasks(
        tx,
        f"""SELECT {COLUMNS} FROM order_task
            WHERE account_id = %(account_id)s AND {_CLAIM_EXPIRED} ORDER BY task_id""",
        {"account_id": account_id},
    )


async def expired_tasks(tx: Tx, account_id: str, *, known_since: datetime | None) -> list[Task]:
    """Unsent tasks past their ``send_by``.

    ``known_since``: placements created before it are left out, because a restored database may have forgotten that
    they were sent; None leaves none out.
    """
    return await fetch_tasks(
        tx,
        f"""SELECT {COLUMNS} FROM order_task
            WHERE account_id = %(account_id)s AND {_EXPIRED} ORDER BY task_id""",
        {"account_id": account_id, "known_since": known_since},
    )


async def obsolete_replacements(tx: Tx, account_id: str, *, known_since: datetime | None) -> list[Task]:
    """Unsent replacements of orders that filled before they could be cancelled; ``known_since`` as above."""
    return await fetch_tasks(
        tx,
        f"""SELECT {COLUMNS} FROM order_task t
            WHERE account_id = %(account_id)s AND {_OBSOLETE} ORDER BY task_id""",
        {"account_id": account_id, "known_since": known_since},
    )


async def doubts_until(tx: Tx, account_id: str, *, gone_day: date) -> list[Task]:
    """Tasks in doubt that were accepted on ``gone_day`` or before."""
    return await fetch_tasks(
        tx,
        f"""SELECT {COLUMNS} FROM order_task
            WHERE account_id = %(account_id)s AND {_OF_GONE_DAY} ORDER BY task_id""",
        {"account_id": account_id, "gone_day": gone_day},
    )


async def doubts_without_alarm(tx: Tx, account_id: str, *, kind: str, older_s: float) -> list[Task]:
    """Tasks that are in doubt for more than ``older_s`` seconds and have no alarm of this kind yet."""
    return await fetch_tasks(
        tx,
        f"""SELECT {COLUMNS} FROM order_task t
            WHERE account_id = %(account_id)s AND {_WITHOUT_ALARM} ORDER BY task_id""",
        {"account_id": account_id, "older_s": older_s, "kind": kind},
    )


async def confirmed_without_row(tx: Tx, account_id: str, *, until: date, since: date) -> list[Task]:
    """Placements of these days with an order that the broker has confirmed and the book has never shown."""
    return await fetch_tasks(
        tx,
        f"""SELECT {COLUMNS} FROM order_task t
            WHERE account_id = %s AND trade_date BETWEEN %s AND %s AND operation = 'place' AND status = 'completed'
              AND EXISTS ({NOT_SHOWN})
            ORDER BY task_id""",
        (account_id, since, until),
    )
