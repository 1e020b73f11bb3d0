"""SQL of what operators do: the audit trail, and what a halt has to cancel."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Literal
from uuid import UUID

from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from app.db.postgres import Tx
from app.orders.state.task_store import DAYS_AHEAD, MADE_LIVE, OPEN


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """Who did what to what; ``before`` and ``after`` are JSON-ready. Never changed once written."""

    entry_id: UUID
    occurred_at: datetime
    principal: str
    action: str
    subject: str
    request_id: str | None
    before: Mapping[str, Any] | None
    after: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelTarget:
    """A live order that nobody is cancelling yet."""

    order_id: str
    instrument: str
    variety: str
    parent_order_id: str | None


async def write_audit(
    tx: Tx,
    *,
    entry_id: UUID,
    principal: str,
    action: str,
    subject: str,
    request_id: str | None,
    before: Mapping[str, Any] | None,
    after: Mapping[str, Any] | None,
) -> None:
    await tx.execute(
        """INSERT INTO admin_audit (entry_id, principal, action, subject, request_id, before, after)
           VALUES (%s, %s, %s, %s, %s, %s, %s)""",
        (entry_id, principal, action, subject, request_id, _json(before), _json(after)),
    )


def _json(document: Mapping[str, Any] | None) -> Jsonb | None:
    return None if document is None else Jsonb(dict(document))


async def audit_page(tx: Tx, *, before: UUID | None, limit: int) -> list[AuditEntry]:
    """Newest first; ``before`` is the last id of the previous page."""
    async with tx.cursor(row_factory=class_row(AuditEntry)) as cursor:
        await cursor.execute(
            """SELECT entry_id, occurred_at, principal, action, subject, request_id, before, after FROM admin_audit
               WHERE %(before)s::uuid IS NULL OR entry_id < %(before)s ORDER BY entry_id DESC LIMIT %(limit)s""",
            {"before": before, "limit": limit},
        )
        return await cursor.fetchall()


async def accounts_of_day(tx: Tx, *, trade_date: date) -> list[str]:
    """Every account that had an order today, ours or not."""
    cursor = await tx.execute(
        """SELECT account_id FROM broker_order WHERE trade_date = %(day)s
           UNION SELECT account_id FROM order_task WHERE trade_date = %(day)s ORDER BY account_id""",
        {"day": trade_date},
    )
    return [row[0] for row in await cursor.fetchall()]


SHOWS_WITHIN_S = 1
"""After a cancel was answered the book may show the order alive for this long; after that it is cancelled again."""
REFUSED_FOR_S = 30
"""After a cancel that the service asks for by itself was refused, it is asked again this much later; an operator's
word goes at once."""

_LIVE_WITHOUT_CANCEL = f"""
WITH live AS (
  SELECT task_id, order_id, (document ->> 'exchange') || ':' || (document ->> 'tradingsymbol') AS instrument,
    document ->> 'variety' AS variety, document ->> 'parent_order_id' AS parent_order_id
  FROM broker_order
  WHERE account_id = %(account_id)s AND trade_date >= %(since)s AND state NOT IN ('completed', 'cancelled', 'rejected')
    AND NOT document ? 'stale'
  UNION ALL                                    -- accepted, and the book has not shown it yet
  SELECT t.task_id, ids.order_id, t.instrument, t.request ->> 'variety', NULL
  FROM order_task t,
    LATERAL (SELECT t.order_id WHERE t.children = '[]'::jsonb
             UNION SELECT child ->> 'order_id' FROM jsonb_array_elements(t.children) child) ids (order_id)
  WHERE t.account_id = %(account_id)s AND t.trade_date BETWEEN %(since)s AND %(since)s::date + {DAYS_AHEAD}
    AND t.operation = 'place' AND t.status = 'completed' AND ids.order_id IS NOT NULL
    AND NOT EXISTS (SELECT 1 FROM broker_order b WHERE b.account_id = t.account_id AND b.order_id = ids.order_id
                      AND b.trade_date >= t.trade_date - 1)
)
SELECT order_id, instrument, variety, parent_order_id FROM live
WHERE NOT EXISTS (SELECT 1 FROM order_task c WHERE c.account_id = %(account_id)s AND c.target_order_id = live.order_id
                    AND c.operation = 'cancel' AND c.purpose <> 'replace'
                    AND (c.status IN {OPEN} OR c.finished_at > clock_timestamp() - interval '{SHOWS_WITHIN_S} s'
                      OR (NOT %(all)s AND c.status <> 'completed'
                        AND c.finished_at > clock_timestamp() - interval '{REFUSED_FOR_S} s')))
  AND (%(all)s OR EXISTS (SELECT 1 FROM order_task p WHERE p.task_id = live.task_id AND p.cancel_on_sight))
ORDER BY order_id
"""


Whose = Literal["all", "unwanted"]


async def live_without_cancel(tx: Tx, account_id: str, *, whose: Whose, since: date) -> list[CancelTarget]:
    """The account's live orders since that day that nobody is cancelling.

    ``all``: from wherever they came; ``unwanted``: those whose placement was marked ``cancel_on_sight``.
    """
    async with tx.cursor(row_factory=class_row(CancelTarget)) as cursor:
        await cursor.execute(_LIVE_WITHOUT_CANCEL, {"account_id": account_id, "since": since, "all": whose == "all"})
        return await cursor.fetchall()


async def mark_unwanted(tx: Tx, *, task_id: UUID | None = None, unanswered_of: str | None = None) -> None:
    """Cancel on sight what this placement makes, or what every unanswered placement of this account makes."""
    await tx.execute(
        """UPDATE order_task SET cancel_on_sight = true, updated_at = clock_timestamp()
           WHERE operation = 'place' AND NOT cancel_on_sight
             AND (task_id = %(task_id)s OR (account_id = %(account_id)s AND status IN ('running', 'in_doubt')))""",
        {"task_id": task_id, "account_id": unanswered_of},
    )


async def is_live(tx: Tx, task_id: UUID) -> bool:
    """Whether an order of this placement lives at the broker, as far as the book has told."""
    cursor = await tx.execute(
        f"""SELECT EXISTS (
              SELECT 1 FROM order_task t LEFT JOIN broker_order b USING (task_id)
              WHERE t.task_id = %s AND {MADE_LIVE})""",
        (task_id,),
    )
    row = await cursor.fetchone()
    return row is not None and bool(row[0])


async def count_unanswered(tx: Tx, account_id: str) -> int:
    """Placements that are being sent, or of unknown outcome: they may still become orders."""
    cursor = await tx.execute(
        """SELECT count(*) FROM order_task
           WHERE account_id = %s AND operation = 'place' AND status IN ('running', 'in_doubt')""",
        (account_id,),
    )
    row = await cursor.fetchone()
    return 0 if row is None else int(row[0])
