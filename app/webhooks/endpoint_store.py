"""SQL of the registered endpoints, and of how they do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg.rows import kwargs_row

from app.db.postgres import Tx
from app.webhooks.model import EndpointStatus, SealedSecret, Wanted, Webhook

OLD_SECRET_HOURS = 24
"""How long the secret before a rotation signs too."""

_WANTED = "url, events, tags, ordered, max_age_s, description"
_COLUMNS = f"webhook_id, account_id, {_WANTED}, status, failures, created_at"


@dataclass(frozen=True, slots=True, kw_only=True)
class Failing:
    """An endpoint after another failed attempt; ``failing_s``: how long none has succeeded, by the database."""

    webhook_id: UUID
    ordered: bool
    failures: int
    failing_s: float


async def insert(tx: Tx, webhook_id: UUID, account_id: str, wanted: Wanted, secret: SealedSecret) -> Webhook:
    """Register an endpoint."""
    async with tx.cursor(row_factory=kwargs_row(_webhook)) as cursor:
        await cursor.execute(
            f"INSERT INTO webhook (webhook_id, account_id, {_WANTED}, secret, key_version)"
            f" VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s) RETURNING {_COLUMNS}",
            (webhook_id, account_id, *_values(wanted), secret.sealed, secret.key_version),
        )
        return await _only(cursor)


async def count_of_account(tx: Tx, account_id: str) -> int:
    """How many endpoints the account has. The caller holds the lock of its log, so none is added meanwhile."""
    row = await (await tx.execute("SELECT count(*) FROM webhook WHERE account_id = %s", (account_id,))).fetchone()
    return 0 if row is None else int(row[0])


async def read_all(tx: Tx, account_id: str | None) -> list[Webhook]:
    """The endpoints of one account or of all, the oldest first. Bounded by ten an account."""
    async with tx.cursor(row_factory=kwargs_row(_webhook)) as cursor:
        await cursor.execute(
            f"SELECT {_COLUMNS} FROM webhook WHERE %(account_id)s::text IS NULL OR account_id = %(account_id)s"
            " ORDER BY created_at, webhook_id",
            {"account_id": account_id},
        )
        return await cursor.fetchall()


async def read(tx: Tx, webhook_id: UUID) -> Webhook | None:
    """One endpoint; None where there is none."""
    async with tx.cursor(row_factory=kwargs_row(_webhook)) as cursor:
        await cursor.execute(f"SELECT {_COLUMNS} FROM webhook WHERE webhook_id = %s", (webhook_id,))
        return await cursor.fetchone()


async def update(tx: Tx, webhook_id: UUID, wanted: Wanted, status: EndpointStatus) -> Webhook | None:
    """Write what the client has decided. An endpoint that becomes active again begins without failures."""
    async with tx.cursor(row_factory=kwargs_row(_webhook)) as cursor:
        await cursor.execute(
            f"UPDATE webhook SET ({_WANTED}) = (%s, %s, %s, %s, %s, %s), status = %s,"
            " failures = CASE WHEN status = 'active' THEN failures ELSE 0 END,"
            " failing_since = CASE WHEN status = 'active' THEN failing_since END,"
            " retry_at = CASE WHEN status = 'active' THEN retry_at END"
            f" WHERE webhook_id = %s RETURNING {_COLUMNS}",
            (*_values(wanted), status.value, webhook_id),
        )
        return await cursor.fetchone()


async def rotate(tx: Tx, webhook_id: UUID, secret: SealedSecret) -> bool:
    """Put a new secret in front of the present one, which signs too for a day. False where there is no endpoint."""
    cursor = await tx.execute(
        "UPDATE webhook SET old_secret = secret, old_key_version = key_version,"
        f" old_secret_until = clock_timestamp() + interval '{OLD_SECRET_HOURS} hours', secret = %s, key_version = %s"
        " WHERE webhook_id = %s",
        (secret.sealed, secret.key_version, webhook_id),
    )
    return cursor.rowcount == 1


async def delete(tx: Tx, webhook_id: UUID) -> bool:
    """Remove an endpoint; its deliveries go with the next cleaning. False where there was none."""
    return (await tx.execute("DELETE FROM webhook WHERE webhook_id = %s", (webhook_id,))).rowcount == 1


async def note_successes(tx: Tx, webhook_ids: Sequence[UUID]) -> None:
    """These endpoints have answered well: their failures are over."""
    await tx.execute(
        "UPDATE webhook SET failures = 0, failing_since = NULL, retry_at = NULL"
        " WHERE webhook_id = ANY (%s) AND failures > 0",
        (list(webhook_ids),),
    )


async def note_failures(tx: Tx, failures: Sequence[tuple[UUID, int]]) -> list[Failing]:
    """Count failed attempts, ``(webhook_id, count)`` each; how the endpoints do now."""
    async with tx.cursor(row_factory=kwargs_row(Failing)) as cursor:
        await cursor.execute(
            "UPDATE webhook SET failures = failures + more.count,"
            " failing_since = coalesce(failing_since, clock_timestamp())"
            " FROM unnest(%s::uuid[], %s::int[]) AS more (id, count) WHERE webhook_id = more.id"
            " RETURNING webhook_id, ordered, failures,"
            " extract(epoch FROM clock_timestamp() - failing_since)::float8 AS failing_s",
            ([webhook_id for webhook_id, _ in failures], [count for _, count in failures]),
        )
        return await cursor.fetchall()


async def rest(tx: Tx, webhook_id: UUID, *, seconds: float) -> None:
    """Try the endpoint again only when so many seconds are over."""
    await tx.execute(
        "UPDATE webhook SET retry_at = clock_timestamp() + %s * interval '1 second' WHERE webhook_id = %s",
        (seconds, webhook_id),
    )


async def end(tx: Tx, webhook_id: UUID, status: EndpointStatus) -> bool:
    """Pause or disable an active endpoint. False where it was not active."""
    cursor = await tx.execute(
        "UPDATE webhook SET status = %s WHERE webhook_id = %s AND status = 'active'", (status.value, webhook_id)
    )
    return cursor.rowcount == 1


async def disable_forgotten(tx: Tx, *, keep_s: float) -> list[UUID]:
    """Disable paused endpoints whose oldest due delivery has waited longer than that; which ones."""
    cursor = await tx.execute(
        "UPDATE webhook w SET status = 'disabled' WHERE status = 'paused' AND (SELECT d.created_at"
        " FROM webhook_delivery d WHERE d.webhook_id = w.webhook_id AND d.status = 'pending' ORDER BY d.seq LIMIT 1)"
        " < clock_timestamp() - %s * interval '1 second' RETURNING webhook_id",
        (keep_s,),
    )
    return [row[0] for row in await cursor.fetchall()]


def _values(wanted: Wanted) -> tuple[object, ...]:
    return (
        wanted.url,
        list(wanted.events),
        list(wanted.tags),
        wanted.ordered,
        wanted.max_age_s,
        wanted.description,
    )


def _webhook(**row: Any) -> Webhook:
    wanted = Wanted(**{name: row.pop(name) for name in _WANTED.split(", ")})
    return Webhook(**row | {"status": EndpointStatus(row["status"])}, wanted=wanted)


async def _only(cursor: Any) -> Webhook:
    row = await cursor.fetchone()
    if row is None:
        raise LookupError("the database returned no row")
    found: Webhook = row
    return found
