"""SQL of the audit trail. Entries are only ever added."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from app.db.postgres import Tx
from app.orders.state.audit import AuditEntry


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
    """Add an entry; the arguments are the fields of ``AuditEntry``. The database sets the time."""
    await tx.execute(
        """INSERT INTO admin_audit (entry_id, principal, action, subject, request_id, before, after)
           VALUES (%s, %s, %s, %s, %s, %s, %s)""",
        (entry_id, principal, action, subject, request_id, _json(before), _json(after)),
    )


def _json(document: Mapping[str, Any] | None) -> Jsonb | None:
    return None if document is None else Jsonb(dict(document))


async def audit_page(tx: Tx, *, before: UUID | None, limit: int) -> list[AuditEntry]:
    """At most ``limit`` entries, newest first; ``before`` is the last id of the page before, None for the first."""
    async with tx.cursor(row_factory=class_row(AuditEntry)) as cursor:
        await cursor.execute(
            """SELECT entry_id, occurred_at, principal, action, subject, request_id, before, after FROM admin_audit
               WHERE %(before)s::uuid IS NULL OR entry_id < %(before)s ORDER BY entry_id DESC LIMIT %(limit)s""",
            {"before": before, "limit": limit},
        )
        return await cursor.fetchall()
